//! Reads CRDs and prunes their schemas to what the strict reader needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// One kind of the Gateway API.
pub struct Crd {
    /// For example `HTTPRoute`.
    pub kind: String,
    /// The `openAPIV3Schema` of version v1 (of the newest version that is served, where there is no v1).
    pub schema: Value,
}

impl Crd {
    /// The schema without descriptions and CEL rules: the first are large, the second are checked by hand.
    pub fn pruned_schema(&self) -> Value {
        let mut schema = self.schema.clone();
        prune(&mut schema);
        schema
    }
}

/// All CRDs of a directory, by kind.
pub fn read_crds(dir: &Path) -> Result<Vec<Crd>> {
    let mut crds = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("cannot read {}", path.display()))?;
        for document in documents.iter().filter(|d| d["kind"] == "CustomResourceDefinition") {
            // The group of purely experimental kinds has no version v1.
            if document["spec"]["group"] != "gateway.networking.k8s.io" {
                continue;
            }
            crds.push(read_crd(document).with_context(|| format!("in {}", path.display()))?);
        }
    }
    crds.sort_by(|a, b| a.kind.cmp(&b.kind));
    Ok(crds)
}

fn read_crd(document: &Value) -> Result<Crd> {
    let spec = &document["spec"];
    let kind = spec["names"]["kind"].as_str().context("no kind")?.to_owned();
    let versions = spec["versions"].as_array().context("no versions")?;
    let version = versions.iter().find(|v| v["name"] == "v1").context("no version v1")?;
    Ok(Crd { kind, schema: version["schema"]["openAPIV3Schema"].clone() })
}

/// What the experimental channel has and the standard one has not, by kind: `path` of a field, `path=value` of a value.
/// Only the outermost of what is new is named.
pub fn experimental_only(standard: &[Crd], experimental: &[Crd]) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for crd in standard {
        let Some(other) = experimental.iter().find(|other| other.kind == crd.kind) else { continue };
        let mut found = Vec::new();
        compare(&crd.schema, &other.schema, "", &mut found);
        found.retain(|path| path.starts_with("spec."));
        found.sort();
        if !found.is_empty() {
            all.insert(crd.kind.clone(), found);
        }
    }
    all
}

/// Every CEL rule about a `spec`: `Kind path: message`, so that a test can ask for an object that each refuses.
pub fn rules(crds: &[Crd]) -> String {
    let mut all = Vec::new();
    for crd in crds {
        rules_below(&crd.schema["properties"]["spec"], &format!("{} spec", crd.kind), &mut all);
    }
    all.sort();
    all.dedup();
    all.concat()
}

fn rules_below(schema: &Value, path: &str, all: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().unwrap_or_default();
        all.push(format!("{path}: {message}\n"));
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        rules_below(inner, &format!("{path}.{name}"), all);
    }
    if schema["items"].is_object() {
        rules_below(&schema["items"], &format!("{path}[]"), all);
    }
}

fn compare(standard: &Value, experimental: &Value, path: &str, found: &mut Vec<String>) {
    let values = |schema: &Value| schema["enum"].as_array().cloned().unwrap_or_default();
    let known = values(standard);
    if !known.is_empty() {
        let new = values(experimental).into_iter().filter(|value| !known.contains(value));
        found.extend(new.filter_map(|value| Some(format!("{path}={}", value.as_str()?))));
    }
    for (name, inner) in experimental["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match standard["properties"].get(name) {
            Some(known) => compare(known, inner, &path, found),
            None => found.push(path),
        }
    }
    if experimental["items"].is_object() {
        compare(&standard["items"], &experimental["items"], path, found);
    }
}

fn prune(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for key in ["description", "x-kubernetes-validations", "x-kubernetes-map-type"] {
        object.shift_remove(key);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            prune(inner);
        }
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        prune_all(properties);
    }
    for key in ["anyOf", "allOf", "oneOf"] {
        for inner in object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            prune(inner);
        }
    }
}

fn prune_all(properties: &mut Map<String, Value>) {
    for (_, inner) in properties.iter_mut() {
        prune(inner);
    }
}
