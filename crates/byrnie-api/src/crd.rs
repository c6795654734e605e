//! CustomResourceDefinitions of our own kinds.

use serde_json::{Map, Value, json};

use crate::kind::{KINDS, KindInfo, MESH_GROUP, Scope};
use crate::schema::schema;

/// File names and texts of the CRDs of `mesh.byrnie.dev`, for a Kubernetes cluster.
pub fn crds() -> Vec<(String, String)> {
    let ours = KINDS.iter().filter(|row| row.group == MESH_GROUP);
    ours.filter_map(|row| {
        let text = serde_saphyr::to_string(&crd(row)).ok()?;
        Some((format!("{}_{}.yaml", row.group, row.plural), text))
    })
    .collect()
}

fn crd(row: &KindInfo) -> Value {
    let mut schema = schema(row.kind).clone();
    prepare(&mut schema);
    schema["properties"]["metadata"] = json!({"type": "object"});
    let scope = if row.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" };
    let mut names = json!({
        "kind": row.name,
        "listKind": format!("{}List", row.name),
        "plural": row.plural,
        "singular": row.singular,
        "categories": ["byrnie"],
    });
    if !row.short_names.is_empty() {
        names["shortNames"] = json!(row.short_names);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", row.plural, row.group)},
        "spec": {
            "group": row.group,
            "names": names,
            "scope": scope,
            "versions": [{
                "name": row.version,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
            }],
        },
    })
}

/// What a structural schema may hold. Defaults are left out: the mesh fills them in itself, so that an object
/// prints the same on a laptop and in a cluster.
fn prepare(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if object.get("x-byrnie-list-or-map") == Some(&Value::Bool(true)) {
        let mut free = Map::new();
        free.extend(object.shift_remove("description").map(|text| ("description".to_owned(), text)));
        free.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
        *object = free;
        return;
    }
    for key in ["default", "x-byrnie-enum-docs"] {
        object.shift_remove(key);
    }
    if object.get("format").is_some_and(|format| format != "int32" && format != "int64") {
        object.shift_remove("format");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            prepare(inner);
        }
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(prepare);
    }
}
