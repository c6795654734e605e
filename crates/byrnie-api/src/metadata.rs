//! Metadata on input: what is dropped, what is checked, which namespace is meant.

use crate::codes;
use crate::kind::Kind;
use crate::names::{is_dns_label, is_dns_subdomain, is_label_key, is_label_value};
use crate::node::{At, Data, Entry, Node};
use crate::read::error_at;
use crate::walk::Issue;

/// What a server writes and a person does not: dropped on input.
const SERVER_SET: &[&str] = &[
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

pub(crate) fn drop_server_set(node: &mut Node) {
    let Data::Map(entries) = &mut node.data else {
        return;
    };
    entries.retain(|entry| entry.key != "status");
    if let Some(metadata) = entries.iter_mut().find(|entry| entry.key == "metadata")
        && let Data::Map(fields) = &mut metadata.value.data
    {
        fields.retain(|field| !SERVER_SET.contains(&field.key.as_str()));
    }
}

/// Checks the name, fills in the namespace, checks labels and annotations. Types are left to the schema.
pub(crate) fn read_metadata(kind: Kind, node: &mut Node) -> Vec<Issue> {
    let at = node.at;
    let mut issues = Vec::new();
    let Data::Map(entries) = &mut node.data else {
        return issues;
    };
    let metadata = entries.iter_mut().find(|entry| entry.key == "metadata");
    let Some(Entry { value: metadata, .. }) = metadata else {
        issues.push(error_at(codes::MISSING, "metadata", "this field is required", at));
        return issues;
    };
    let metadata_at = metadata.at;
    let Data::Map(fields) = &mut metadata.data else {
        if matches!(metadata.data, Data::Null) {
            issues.push(error_at(codes::MISSING, "metadata.name", "this field is required", metadata_at));
        }
        return issues;
    };
    let is_given = |entry: &&Entry| !matches!(entry.value.data, Data::Null);
    match fields.iter().filter(is_given).find(|field| field.key == "name") {
        None => issues.push(error_at(codes::MISSING, "metadata.name", "this field is required", metadata_at)),
        Some(Entry { value: Node { data: Data::Text(name), at }, .. }) => {
            issues.extend(check_name(kind, name, *at))
        }
        Some(_) => {}
    }
    let given = fields.iter().filter(is_given).find(|field| field.key == "namespace");
    let namespace = given.map(|field| (field.value.text().unwrap_or("-").to_owned(), field.value.at));
    match (kind.is_namespaced(), namespace) {
        (true, None) => insert_default_namespace(fields),
        (true, Some((text, _))) if text.is_empty() => insert_default_namespace(fields),
        (true, Some((text, at))) if !is_dns_label(&text) => {
            issues.push(error_at(
                codes::BAD_NAMESPACE,
                "metadata.namespace",
                format!("{text:.64?} is no DNS label"),
                at,
            ));
        }
        (false, Some((text, at))) if !text.is_empty() => {
            let message = format!("a {kind} belongs to the whole mesh, not to a namespace");
            issues.push(error_at(codes::BAD_NAMESPACE, "metadata.namespace", message, at));
        }
        (false, _) => fields.retain(|field| field.key != "namespace"),
        (true, Some(_)) => {}
    }
    for field in fields.iter() {
        match field.key.as_str() {
            "labels" => issues.extend(check_labels("metadata.labels", &field.value, true)),
            "annotations" => issues.extend(check_labels("metadata.annotations", &field.value, false)),
            _ => {}
        }
    }
    issues
}

fn insert_default_namespace(fields: &mut Vec<Entry>) {
    fields.retain(|field| field.key != "namespace");
    let after_name = fields.iter().position(|field| field.key == "name").map_or(0, |index| index + 1);
    let value = Node { data: Data::Text("default".to_owned()), at: At::default() };
    fields.insert(after_name, Entry { key: "namespace".to_owned(), key_at: At::default(), value });
}

fn check_name(kind: Kind, name: &str, at: At) -> Option<Issue> {
    if kind == Kind::Mesh && name != "default" {
        let message = format!("a Mesh named {name:.64?} counts for nothing");
        return Some(error_at(codes::MESH_NAME, "metadata.name", message, at));
    }
    // What becomes a DNS name or a part of one must be a label.
    let label = matches!(kind, Kind::Namespace | Kind::Service);
    let good = if label { is_dns_label(name) } else { is_dns_subdomain(name) };
    let form = if label { "no DNS label" } else { "no DNS subdomain" };
    (!good).then(|| error_at(codes::BAD_NAME, "metadata.name", format!("{name:.64?} is {form}"), at))
}

fn check_labels(path: &str, node: &Node, values_too: bool) -> Vec<Issue> {
    let Data::Map(entries) = &node.data else {
        return Vec::new();
    };
    let mut issues = Vec::new();
    for entry in entries {
        let path = format!("{path}[{}]", entry.key);
        if !is_label_key(&entry.key) {
            issues.push(error_at(
                codes::BAD_LABEL,
                &path,
                format!("{:.64?} is no good key", entry.key),
                entry.key_at,
            ));
        }
        if let Some(value) = entry.value.text().filter(|value| values_too && !is_label_value(value)) {
            issues.push(error_at(
                codes::BAD_LABEL,
                &path,
                format!("{value:.64?} is no good value"),
                entry.value.at,
            ));
        }
    }
    issues
}
