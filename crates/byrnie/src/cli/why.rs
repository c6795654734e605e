//! `byrnie why SRC DST`: what would happen to a request, and which rule decides.

use byrnie_control::api::{ListQuery, WhyQuery, WhyResponse, WhyVerdict};

use crate::cli::args::{Global, ReportFormat, WhyArgs};
use crate::cli::failure::Failure;
use crate::cli::files::{self, Document};
use crate::cli::{Context, objects};
use crate::output;
use crate::output::style::{Tone, stdout};

/// Where the objects are: in files, or in the running mesh.
enum World {
    Files(Vec<Document>),
    Mesh(Context),
}

/// Asks and prints the steps. That a request would be denied is an answer, not a failure: the exit code is 0.
pub async fn run(global: &Global, args: &WhyArgs) -> Result<(), Failure> {
    let (dst, port) = split_port(&args.dst)?;
    let world = match args.files.as_slice() {
        [] => World::Mesh(Context::new(global)?),
        files => World::Files(files::good(files)?),
    };
    let (namespace, src) = locate(&world, args, &args.src, &["Workload", "Gateway"]).await?;
    let (dst_namespace, dst) = locate(&world, args, dst, &["Service", "Workload"]).await?;
    let query = WhyQuery {
        namespace,
        src,
        dst_namespace,
        dst,
        port,
        method: Some(args.method.clone()),
        path: Some(args.path.clone()),
        host: args.host.clone(),
        headers: (!args.headers.is_empty()).then(|| args.headers.join("\n")),
    };
    let answer = match &world {
        World::Files(documents) => {
            byrnie_control::why_files(objects::of(documents)?, &query).map_err(Failure::from)?
        }
        World::Mesh(context) => context.client.why(&query).await.map_err(|body| context.refused(body))?,
    };
    if args.output == ReportFormat::Json {
        return output::json(&answer);
    }
    output::data(&text(&query, &answer))
}

/// The namespaces that have an object of this kind and name.
async fn namespaces(world: &World, kind: &str, name: &str) -> Result<Vec<String>, Failure> {
    match world {
        World::Files(documents) => {
            let names = documents.iter().map(Document::names).filter(|(k, _, n)| *k == kind && *n == name);
            Ok(names.map(|(_, namespace, _)| namespace.to_owned()).collect())
        }
        World::Mesh(context) => {
            let query = ListQuery { name: Some(name.to_owned()), ..ListQuery::default() };
            let list = context.client.list(kind, &query).await.map_err(|body| context.refused(body))?;
            let namespace =
                |object: &serde_json::Value| object["metadata"]["namespace"].as_str().map(str::to_owned);
            Ok(list.items.iter().filter_map(namespace).collect())
        }
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), Failure> {
    let Some((name, port)) = text.rsplit_once(':') else {
        return Ok((text, None));
    };
    match port.parse() {
        Ok(port @ 1..) => Ok((name, Some(port))),
        _ => Err(Failure::argument(
            format!("`{port}` is no port"),
            "write NAME:PORT with a port of 1 to 65535",
        )),
    }
}

/// Namespace and name: as typed, by -n, or the one namespace that has an object of this name.
async fn locate(
    world: &World,
    args: &WhyArgs,
    text: &str,
    kinds: &[&str],
) -> Result<(String, String), Failure> {
    if let Some((namespace, name)) = text.split_once('/') {
        return Ok((namespace.to_owned(), name.to_owned()));
    }
    if let Some(namespace) = &args.namespace {
        return Ok((namespace.clone(), text.to_owned()));
    }
    for kind in kinds {
        match namespaces(world, kind, text).await?.as_slice() {
            [] => {}
            [namespace] => return Ok((namespace.clone(), text.to_owned())),
            several => {
                let message = format!("{} namespaces have a {kind} `{text}`", several.len());
                return Err(Failure::argument(message, format!("write one of {}", choices(several, text))));
            }
        }
    }
    Ok(("default".to_owned(), text.to_owned()))
}

fn choices(namespaces: &[String], name: &str) -> String {
    let all: Vec<String> = namespaces.iter().map(|namespace| format!("{namespace}/{name}")).collect();
    all.join(", ")
}

fn text(query: &WhyQuery, answer: &WhyResponse) -> String {
    let (word, tone) = match answer.verdict {
        WhyVerdict::Allowed => ("allowed", Tone::Good),
        WhyVerdict::Denied => ("denied", Tone::Bad),
        WhyVerdict::Unreachable => ("unreachable", Tone::Bad),
    };
    let mut text = format!(
        "{}/{} -> {}/{}: {}\n{}\n\n",
        query.namespace,
        query.src,
        query.dst_namespace,
        query.dst,
        stdout(tone, word),
        answer.summary
    );
    let width = answer.steps.iter().map(|step| step.step.chars().count()).max().unwrap_or(0);
    for step in &answer.steps {
        let mark = if step.ok { stdout(Tone::Good, "√") } else { stdout(Tone::Bad, "×") };
        let gap = if step.rule.is_empty() || step.detail.is_empty() { "" } else { ": " };
        text.push_str(&format!("{mark} {:width$}   {}{gap}{}\n", step.step, step.rule, step.detail));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use byrnie_control::api::WhyStep;

    #[test]
    fn an_answer_names_the_rule_that_decides() {
        let query = WhyQuery {
            namespace: "shop".into(),
            src: "bot".into(),
            dst_namespace: "shop".into(),
            dst: "web".into(),
            ..WhyQuery::default()
        };
        let step = |step: &str, ok, rule: &str, detail: &str| WhyStep {
            step: step.into(),
            ok,
            rule: rule.into(),
            detail: detail.into(),
        };
        let answer = WhyResponse {
            verdict: WhyVerdict::Denied,
            summary: "policy shop/no-bots denies bot".into(),
            steps: vec![
                step("identity", true, "spiffe://cluster.local/ns/shop/sa/bot", ""),
                step("policy", false, "shop/no-bots", "DENY rule 1 matches"),
            ],
        };
        let expected = "\
shop/bot -> shop/web: denied
policy shop/no-bots denies bot

√ identity   spiffe://cluster.local/ns/shop/sa/bot
× policy     shop/no-bots: DENY rule 1 matches
";
        assert_eq!(text(&query, &answer), expected);
    }

    #[test]
    fn ports() {
        assert_eq!(split_port("web:80").ok(), Some(("web", Some(80))));
        assert_eq!(split_port("shop/web").ok(), Some(("shop/web", None)));
        assert!(split_port("web:0").is_err());
        assert!(split_port("web:http").is_err());
    }
}
