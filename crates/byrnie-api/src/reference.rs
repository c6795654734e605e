//! The reference pages: one for each kind, written from the types' docs.

use std::fmt::Write;

use serde_json::Value;

use crate::code_pages::code_page;
use crate::codes::CODES;
use crate::kind::{GATEWAY_GROUP, KINDS, KindInfo, Scope};
use crate::schema::schema;
use crate::walk::is_acted_on;

const HEADER: &str = "<!-- Written by `cargo xtask generate` from the types; do not edit. -->\n\n";

/// File names and texts of the pages under `docs/reference/`.
pub fn reference() -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> =
        KINDS.iter().map(|row| (format!("{}.md", row.singular), kind_page(row))).collect();
    pages.push(("README.md".to_owned(), index_page()));
    let codes = CODES.iter().filter_map(|row| {
        let page = code_page(row.code)?;
        Some((format!("codes/{}.md", row.code), format!("{HEADER}{page}")))
    });
    pages.extend(codes);
    pages
}

fn index_page() -> String {
    let mut page = format!("{HEADER}# Reference\n\n| kind | apiVersion | short | |\n|---|---|---|---|\n");
    for row in KINDS {
        let summary = first_sentence(&summary(row));
        let (link, version) = (format!("[{}]({}.md)", row.name, row.singular), row.kind.api_version());
        page.push_str(&format!("| {link} | `{version}` | {} | {summary} |\n", row.short_names.join(", ")));
    }
    page.push_str("\nEvery code of a finding or refusal: [errors](../errors.md).\n");
    page
}

fn summary(row: &KindInfo) -> String {
    let described = schema(row.kind)["description"].as_str().map(str::to_owned);
    described.unwrap_or_else(|| {
        format!("Of the Gateway API v1.7.0, standard channel; see its documentation for {}.", row.name)
    })
}

fn first_sentence(text: &str) -> String {
    let line = one_line(text);
    line.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
}

fn kind_page(row: &KindInfo) -> String {
    let scope = if row.scope == Scope::Namespaced { "in a namespace" } else { "one for the whole mesh" };
    let mut page = format!("{HEADER}# {}\n\n{}\n\n", row.name, summary(row));
    page.push_str(&format!("`apiVersion: {}`, {scope}", row.kind.api_version()));
    if !row.short_names.is_empty() {
        page.push_str(&format!(", short {}", row.short_names.join(", ")));
    }
    page.push_str(".\n");
    let theirs = row.group == GATEWAY_GROUP;
    let third = if theirs { "acted on" } else { "meaning" };
    page.push_str(&format!("\n| field | type | {third} |\n|---|---|---|\n"));
    for (name, property) in schema(row.kind)["properties"].as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            field_rows(&mut page, row, name, name, property, theirs);
        }
    }
    if !theirs && let Some(status) = schema(row.kind)["properties"].get("status") {
        page.push_str("\n## Status\n\nWritten by the mesh; ignored on input.\n\n| field | type | meaning |\n|---|---|---|\n");
        field_rows(&mut page, row, "status", "status", status, false);
    }
    if let Some(example) = example(row.singular) {
        let _ = write!(page, "\n## Example\n\n```yaml\n{example}```\n");
    }
    page
}

macro_rules! examples {
    ($($singular:literal)*) => {
        /// An object of a kind, by the kind's singular; a test reads each.
        fn example(singular: &str) -> Option<&'static str> {
            match singular {
                $($singular => Some(include_str!(concat!("../kind-examples/", $singular, ".yaml"))),)*
                _ => None,
            }
        }
    };
}

examples! {
    "namespace" "service" "serviceaccount" "gatewayclass" "gateway" "httproute" "grpcroute" "tcproute"
    "referencegrant" "mesh" "workload" "trafficpolicy" "authorizationpolicy" "serviceprofile" "ratelimitpolicy"
    "faultpolicy" "servicesubset" "listenerset" "tlsroute"
}

fn field_rows(page: &mut String, row: &KindInfo, path: &str, plain_path: &str, schema: &Value, theirs: bool) {
    let last = if theirs {
        if is_acted_on(row, plain_path) { "yes".to_owned() } else { "no".to_owned() }
    } else {
        meaning(schema)
    };
    page.push_str(&format!("| `{path}` | {} | {last} |\n", type_of(schema)));
    let mut inner = (schema, path.to_owned());
    while inner.0["type"] == "array" {
        inner = (&inner.0["items"], format!("{}[]", inner.1));
    }
    let (schema, path) = inner;
    // The parts of a condition are the same everywhere.
    if path.ends_with("conditions[]") || path.ends_with("loadBalancer.ingress[]") {
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        field_rows(page, row, &format!("{path}.{name}"), &format!("{plain_path}.{name}"), property, theirs);
    }
}

fn meaning(schema: &Value) -> String {
    let mut text = one_line(schema["description"].as_str().unwrap_or_default());
    let values = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let docs = schema["x-byrnie-enum-docs"].as_array();
    for (index, value) in values.enumerate() {
        let about = docs.and_then(|docs| docs.get(index)?.as_str()).map(one_line).unwrap_or_default();
        // YAML 1.1 reads this one as false.
        let quotes = if value == "off" { "\"" } else { "" };
        let _ = write!(text, "<br>`{quotes}{value}{quotes}`: {about}");
    }
    text
}

fn type_of(schema: &Value) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "number or text".to_owned();
    }
    if schema["pattern"] == crate::duration::DURATION_PATTERN {
        return "duration".to_owned();
    }
    let range = |low: &str, high: &str, what: &str| match (schema[low].as_i64(), schema[high].as_i64()) {
        (Some(low), Some(high)) => format!(", {low} to {high}{what}"),
        (Some(low), None) if low > 0 => format!(", at least {low}{what}"),
        (None, Some(high)) => format!(", at most {high}{what}"),
        _ => String::new(),
    };
    match schema["type"].as_str() {
        Some("array") => {
            format!("list of {}{}", type_of(&schema["items"]), range("minItems", "maxItems", " items"))
        }
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&schema["additionalProperties"]))
        }
        Some("string") if schema["enum"].is_array() => "one of".to_owned(),
        Some("string") if schema["format"] == "ip" => "IP address".to_owned(),
        Some("string") => format!("text{}", range("minLength", "maxLength", " characters")),
        Some("integer") => format!("number{}", range("minimum", "maximum", "")),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind of which the mesh acts on something has an example, and it can be applied without a word.
    #[test]
    fn every_kind_that_is_acted_on_has_an_example() {
        for row in KINDS {
            let Some(example) = example(row.singular) else {
                assert!(row.acted_on.is_empty(), "{} has no example", row.name);
                continue;
            };
            let reading = crate::read_documents(example, "example.yaml");
            assert_eq!(reading.findings, [], "{}", row.name);
            assert_eq!(reading.objects.len(), 1);
            assert_eq!(reading.objects[0].0.kind(), row.kind);
        }
    }
}
