//! Reads CRDs and prunes their schemas to what the strict reader needs.

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
