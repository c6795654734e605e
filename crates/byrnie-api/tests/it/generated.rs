//! What is generated and committed fits the types.

use std::path::Path;

use serde_json::Value;

#[track_caller]
fn is_committed(dir: &str, files: Vec<(String, String)>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(dir);
    for (name, text) in files {
        let committed = std::fs::read_to_string(dir.join(&name)).unwrap_or_default();
        assert!(committed == text, "{name} is not what the types say: run `cargo xtask generate`");
    }
}

#[test]
fn pages_and_crds_are_up_to_date() {
    is_committed("docs/reference", byrnie_api::reference());
    is_committed("crds", byrnie_api::crds());
}

#[test]
fn crds_are_structural() {
    let crds = byrnie_api::crds();
    assert_eq!(crds.len(), 7);
    for (name, text) in crds {
        let crd: Value = serde_saphyr::from_str(&text).unwrap();
        let version = &crd["spec"]["versions"][0];
        assert_eq!(
            format!(
                "{}_{}.yaml",
                crd["spec"]["group"].as_str().unwrap(),
                crd["spec"]["names"]["plural"].as_str().unwrap()
            ),
            name
        );
        typed(&name, "", &version["schema"]["openAPIV3Schema"]);
        assert!(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].is_object());
    }
}

/// Every part of a structural schema has a type, or is left open explicitly.
fn typed(name: &str, path: &str, schema: &Value) {
    let open = ["x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"];
    assert!(
        schema["type"].is_string() || open.iter().any(|key| schema[*key] == true),
        "{name} {path}: {schema}"
    );
    assert!(
        schema["description"].is_string() || path.len() < 20 || path.contains('['),
        "{name} {path} says nothing"
    );
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        typed(name, &format!("{path}.{key}"), inner);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            typed(name, &format!("{path}[]"), &schema[key]);
        }
    }
}
