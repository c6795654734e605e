//! Hostile and broken input: bounded work, never a panic.

use byrnie_api::{OBJECTS_LIMIT, codes, read_bytes, read_documents, read_value};
use proptest::prelude::*;
use serde_json::{Value, json};

#[track_caller]
fn first_code(text: &str) -> byrnie_api::Code {
    let reading = read_documents(text, "f");
    assert!(reading.has_errors());
    reading.findings[0].code
}

#[test]
fn alias_bombs_are_stopped() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{},", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert_eq!(first_code(&text), codes::ALIAS_LIMIT);
}

#[test]
fn limits() {
    assert_eq!(first_code(&format!("a: {}{}", "[".repeat(80), "]".repeat(80))), codes::TOO_DEEP);
    let deep = (0..80).fold(json!(1), |inner, _| json!([inner]));
    let deep = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}, "spec": deep});
    assert_eq!(read_value(deep).findings[0].code, codes::TOO_DEEP);
    let big = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: x, annotations: {{a: {}}}}}\n",
        "y".repeat(1024 * 1024)
    );
    assert_eq!(first_code(&big), codes::TOO_LARGE);
    let many: String = (0..=OBJECTS_LIMIT)
        .map(|index| format!("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: n{index}}}}}\n"))
        .collect();
    let reading = read_documents(&many, "f");
    assert_eq!((reading.objects.len(), reading.findings.len()), (OBJECTS_LIMIT, 1));
    assert_eq!(reading.findings[0].code, codes::TOO_MANY);
    let broken = "--- 5\n".repeat(5000);
    assert!(read_documents(&broken, "f").objects.is_empty());
    // Very many findings about one object are cut short.
    let fields: String = (0..5000).map(|index| format!("f{index}: 1\n")).collect();
    let reading =
        read_documents(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: x}}\n{fields}"), "f");
    assert_eq!(reading.findings.len(), 101);
}

const SEED: &str = r#"apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a, labels: &l {a: 'b'}}
spec:
  parentRefs: [{name: front}]
  rules:
  - matches: [{path: {type: Exact, value: "/a"}}]
    timeouts: {request: 10s}
    backendRefs:
    - {name: web, port: 80, weight: 0010}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {name: b, annotations: *l}
spec:
  ports: [{port: 80}]
  env: [{name: A, value: "b"}]
  command:
  - |-
    sh -c
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_bytes_never_panic(changes in changes()) {
        let mut bytes = SEED.as_bytes().to_vec();
        for (place, byte, what) in changes {
            let index = place.index(bytes.len());
            match what {
                0 => bytes[index] = byte,
                1 => { bytes.remove(index); }
                _ => bytes.insert(index, b"[]{}:,&*!|>-#\"' \n\t%@"[usize::from(byte) % 20]),
            }
        }
        let reading = read_bytes(&bytes, "f");
        for finding in &reading.findings {
            let _ = finding.render();
        }
        for (object, _) in &reading.objects {
            // What was accepted is accepted again.
            prop_assert!(!read_value(object.to_value()).has_errors());
        }
    }

    #[test]
    fn any_value_anywhere_never_panics(path in 0..12_usize, value in json_value()) {
        let mut document = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "a"},
            "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}], "filters": [], "matches": [{}]}]},
        });
        let paths = ["", "/apiVersion", "/kind", "/metadata", "/metadata/name", "/spec", "/spec/rules", "/spec/rules/0",
            "/spec/rules/0/backendRefs", "/spec/rules/0/backendRefs/0/port", "/spec/rules/0/filters", "/spec/rules/0/matches/0"];
        if let Some(place) = document.pointer_mut(paths[path]) {
            *place = value;
        }
        for (object, _) in &read_value(document).objects {
            prop_assert!(!read_value(object.to_value()).has_errors());
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z/*.:-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let keys = prop::sample::select(vec![
            "name", "type", "path", "value", "port", "method", "headers", "x", "kind",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4).prop_map(|fields| fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Value>()),
        ]
    })
}

/// Where, which byte, and whether it is put there, removed or inserted.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8)
}
