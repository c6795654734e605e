//! `byrnie describe`: one object in words.

mod effective;
mod words;

use std::fmt::Write as _;

use byrnie_control::api::{FindingItem, ListQuery};
use serde_json::Value;

use crate::cli::Context;
use crate::cli::args::DescribeArgs;
use crate::cli::columns::labels;
use crate::cli::failure::Failure;
use crate::cli::get;
use crate::cli::objects;
use crate::cli::value::Target;
use crate::output::table::Table;
use crate::output::{self, number};

/// Prints each object: its fields, its conditions, what belongs to it, what is to be said about it.
pub async fn run(context: &Context, args: &DescribeArgs) -> Result<(), Failure> {
    let target = Target::parse(&args.resource.kind, &args.resource.names)?;
    let items = get::list(context, &target, &args.select).await?;
    if items.is_empty() {
        output::say(&format!("no {} found", target.kind));
        return Ok(());
    }
    let findings = context.client.findings().await.map_err(|body| context.refused(body))?.items;
    let world = match items.iter().any(effective::has_values) {
        true => Some(effective::World::new(objects::live(context).await?)),
        false => None,
    };
    for (index, item) in items.iter().enumerate() {
        let mut text = if index == 0 { String::new() } else { "\n\n".to_owned() };
        text.push_str(&describe(item, &findings)?);
        if item["kind"] == "Service" {
            text.push_str(&endpoints(context, item).await?);
        }
        if let Some(world) = &world {
            text.push_str(&world.describe(item)?);
        }
        output::data(&text)?;
    }
    Ok(())
}

fn describe(object: &Value, findings: &[FindingItem]) -> Result<String, Failure> {
    let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:<14}{value}", format!("{name}:"));
        }
    };
    line("Kind", object["kind"].as_str().unwrap_or_default());
    line("Name", &meta("name"));
    line("Namespace", &meta("namespace"));
    line("Labels", &labels(object));
    line("Created", &meta("creationTimestamp"));
    line("Generation", &object["metadata"]["generation"].as_u64().map(|n| n.to_string()).unwrap_or_default());
    block(&mut text, "Spec", &object["spec"])?;
    let mut status = object["status"].clone();
    conditions(&mut text, "Conditions", &status["conditions"]);
    for group in ["parents", "ancestors"] {
        for parent in status[group].as_array().into_iter().flatten() {
            let reference = if group == "parents" { &parent["parentRef"] } else { &parent["ancestorRef"] };
            let kind = reference["kind"].as_str().unwrap_or("Gateway");
            let heading = format!("Conditions at {kind} {}", reference["name"].as_str().unwrap_or_default());
            conditions(&mut text, &heading, &parent["conditions"]);
        }
    }
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|field, _| !matches!(field.as_str(), "conditions" | "parents" | "ancestors"));
        block(&mut text, "Status", &status)?;
    }
    about(&mut text, object, findings);
    Ok(text)
}

/// A field as YAML, indented by two.
fn block(text: &mut String, heading: &str, value: &Value) -> Result<(), Failure> {
    let empty = match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if !empty {
        text.push_str(heading);
        text.push_str(":\n");
        indent(text, &output::to_yaml(value)?);
    }
    Ok(())
}

fn indent(text: &mut String, block: &str) {
    for line in block.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
}

fn conditions(text: &mut String, heading: &str, conditions: &Value) {
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", ">AGE", "MESSAGE"]);
    for condition in conditions.as_array().into_iter().flatten() {
        let field = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        let age = number::age_of(&field("lastTransitionTime"));
        table.row([field("type"), field("status"), field("reason"), age, field("message")]);
    }
    if !table.is_empty() {
        text.push_str(heading);
        text.push_str(":\n");
        indent(text, &table.render());
    }
}

/// Findings about this object.
fn about(text: &mut String, object: &Value, findings: &[FindingItem]) {
    let is = |finding: &&FindingItem| {
        object["kind"] == finding.kind.as_str()
            && object["metadata"]["name"] == finding.name.as_str()
            && object["metadata"]["namespace"].as_str().unwrap_or_default() == finding.namespace
    };
    let mut findings = findings.iter().filter(is).peekable();
    if findings.peek().is_some() {
        text.push_str("Findings:\n");
    }
    for finding in findings {
        let place = if finding.path.is_empty() { String::new() } else { format!(" {}:", finding.path) };
        let _ = writeln!(text, "  {}[{}]{place} {}", finding.severity, finding.code, finding.message);
        if !finding.remedy.is_empty() {
            let _ = writeln!(text, "    help: {}", finding.remedy);
        }
    }
}

/// The workloads that a Service selects.
async fn endpoints(context: &Context, service: &Value) -> Result<String, Failure> {
    let selector = service["spec"]["selector"].as_object();
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        return Ok("Workloads:    none (the Service has no selector)\n".to_owned());
    };
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    let query = ListQuery {
        namespace: service["metadata"]["namespace"].as_str().map(str::to_owned),
        label_selector: Some(selector.iter().map(pair).collect::<Vec<_>>().join(",")),
        ..ListQuery::default()
    };
    let workloads = context.client.list("Workload", &query).await.map_err(|body| context.refused(body))?;
    if workloads.items.is_empty() {
        return Ok("Workloads:    none match the selector\n".to_owned());
    }
    let mut table = Table::new(&["NAME", "ADDRESS", "MESH_ADDRESS"]);
    for workload in &workloads.items {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mesh = text(&workload["status"]["proxy"]["meshAddress"]);
        table.row([text(&workload["metadata"]["name"]), text(&workload["spec"]["address"]), mesh]);
    }
    let mut text = "Workloads:\n".to_owned();
    indent(&mut text, &table.render());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_in_words() {
        let route = json!({"kind": "HTTPRoute", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"hostnames": ["a.example"]},
            "status": {"parents": [{"parentRef": {"name": "front"}, "conditions": [
                {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "all well"}]}]}});
        let finding = FindingItem {
            code: "BYR0100".into(),
            severity: "warning".into(),
            kind: "HTTPRoute".into(),
            namespace: "shop".into(),
            name: "front".into(),
            path: "spec.rules[0]".into(),
            message: "no backend".into(),
            remedy: "add one".into(),
            index: None,
        };
        let other = FindingItem { name: "back".into(), ..finding.clone() };
        let text = describe(&route, &[other, finding]).unwrap_or_default();
        let expected = "\
Kind:         HTTPRoute
Name:         front
Namespace:    shop
Spec:
  hostnames:
  - a.example
Conditions at Gateway front:
  TYPE       STATUS   REASON     AGE   MESSAGE
  Accepted   True     Accepted     -   all well
Findings:
  warning[BYR0100] spec.rules[0]: no backend
    help: add one
";
        assert_eq!(text, expected);
    }
}
