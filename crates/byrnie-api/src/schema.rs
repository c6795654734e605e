//! The published schema of every kind.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::kinds::{
    AuthorizationPolicy, FaultPolicy, Mesh, Namespace, RateLimitPolicy, Service, ServiceAccount,
    ServiceProfile, ServiceSubset, TrafficPolicy, Workload,
};

/// The schema of a kind, its metadata included. Objects of the Gateway API's kinds are described by its CRDs, the
/// others by our types.
pub fn schema(kind: Kind) -> &'static Value {
    static SCHEMAS: [OnceLock<Value>; KINDS_LEN] = [const { OnceLock::new() }; KINDS_LEN];
    SCHEMAS[kind as usize].get_or_init(|| {
        let mut schema = plain_schema(kind);
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["properties"]["metadata"] = metadata_schema();
        schema
    })
}

const KINDS_LEN: usize = 21;

fn plain_schema(kind: Kind) -> Value {
    // The files are part of the program; a test reads each.
    let crd = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    match kind {
        Kind::GatewayClass => crd(include_str!("../schemas/gatewayclass.json")),
        Kind::Gateway => crd(include_str!("../schemas/gateway.json")),
        Kind::ListenerSet => crd(include_str!("../schemas/listenerset.json")),
        Kind::HTTPRoute => crd(include_str!("../schemas/httproute.json")),
        Kind::GRPCRoute => crd(include_str!("../schemas/grpcroute.json")),
        Kind::TCPRoute => crd(include_str!("../schemas/tcproute.json")),
        Kind::TLSRoute => crd(include_str!("../schemas/tlsroute.json")),
        Kind::UDPRoute => crd(include_str!("../schemas/udproute.json")),
        Kind::ReferenceGrant => crd(include_str!("../schemas/referencegrant.json")),
        Kind::BackendTLSPolicy => crd(include_str!("../schemas/backendtlspolicy.json")),
        Kind::Namespace => derived::<Namespace>(),
        Kind::Service => derived::<Service>(),
        Kind::ServiceAccount => derived::<ServiceAccount>(),
        Kind::Mesh => derived::<Mesh>(),
        Kind::Workload => derived::<Workload>(),
        Kind::TrafficPolicy => derived::<TrafficPolicy>(),
        Kind::AuthorizationPolicy => derived::<AuthorizationPolicy>(),
        Kind::ServiceProfile => derived::<ServiceProfile>(),
        Kind::ServiceSubset => derived::<ServiceSubset>(),
        Kind::RateLimitPolicy => derived::<RateLimitPolicy>(),
        Kind::FaultPolicy => derived::<FaultPolicy>(),
    }
}

/// Fields and values (`path=value`) that the Gateway API has in its experimental channel only, without list indices.
pub(crate) fn experimental_only(kind: Kind) -> &'static [String] {
    static ONLY: OnceLock<BTreeMap<String, Vec<String>>> = OnceLock::new();
    let read = || serde_json::from_str(include_str!("../schemas/experimental.json")).unwrap_or_default();
    ONLY.get_or_init(read).get(kind.info().name).map(Vec::as_slice).unwrap_or_default()
}

/// The schema of a Rust type in the shape of a CRD's.
fn derived<T: schemars::JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::openapi3().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    simplify(&mut schema);
    schema
}

/// Enums with a description for each value come as `oneOf` of constants; a CRD knows only `enum`. The
/// descriptions are kept beside it for the reference pages.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(object) => {
            object.shift_remove("title");
            object.shift_remove("nullable");
            if let Some(Value::Array(options)) = object.shift_remove("oneOf") {
                let mut names = Vec::new();
                let mut texts = Vec::new();
                for option in &options {
                    let name =
                        option.get("const").or_else(|| option["enum"].get(0)).cloned().unwrap_or_default();
                    texts.push(option["description"].clone());
                    names.push(name);
                }
                object.insert("type".to_owned(), json!("string"));
                object.insert("enum".to_owned(), Value::Array(names));
                object.insert("x-byrnie-enum-docs".to_owned(), Value::Array(texts));
            }
            // An optional enum or object is `anyOf: [type, null]` with its own description beside.
            for key in ["allOf", "anyOf"] {
                let Some(Value::Array(mut options)) = object.shift_remove(key) else {
                    continue;
                };
                options.retain(|option| option["enum"] != json!([null]));
                if let [Value::Object(only)] = options.as_slice() {
                    only.iter().for_each(|(name, value)| {
                        object.entry(name.clone()).or_insert_with(|| value.clone());
                    });
                    return simplify(schema);
                }
                object.insert(key.to_owned(), Value::Array(options));
            }
            object.values_mut().for_each(simplify);
        }
        _ => {}
    }
}

fn metadata_schema() -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    json!({
        "type": "object",
        "properties": {
            "name": text,
            "namespace": text,
            "generateName": text,
            "labels": texts,
            "annotations": texts,
            "finalizers": {"type": "array", "items": text},
            "ownerReferences": {"type": "array", "items": {
                "type": "object",
                "required": ["apiVersion", "kind", "name", "uid"],
                "properties": {
                    "apiVersion": text, "kind": text, "name": text, "uid": text,
                    "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"},
                },
            }},
        },
    })
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::kind::KINDS;

    fn patterns(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(object) => {
                found.extend(object.get("pattern").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|inner| patterns(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| patterns(inner, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_is_there_and_every_pattern_compiles() {
        assert_eq!(KINDS.len(), KINDS_LEN);
        for row in KINDS {
            let schema = schema(row.kind);
            assert!(schema["properties"]["metadata"].is_object(), "{}", row.name);
            assert!(schema["properties"].as_object().is_some_and(|fields| fields.len() > 3), "{}", row.name);
            let mut found = Vec::new();
            patterns(schema, &mut found);
            for pattern in found {
                assert!(Regex::new(&pattern).is_ok(), "{pattern}");
            }
        }
    }

    #[test]
    fn every_field_of_the_tables_is_in_the_schema() {
        for row in KINDS {
            for field in row.acted_on.iter().chain(row.not_acted_on).chain(row.cluster_only) {
                let mut place = schema(row.kind);
                for part in field.split('.') {
                    while place["type"] == "array" {
                        place = &place["items"];
                    }
                    place = &place["properties"][part];
                    assert!(place.is_object(), "{} {field}", row.name);
                }
            }
        }
    }

    #[test]
    fn our_schemas_have_only_what_a_crd_can_say() {
        for row in KINDS.iter().filter(|row| row.group != crate::kind::GATEWAY_GROUP) {
            let text = schema(row.kind).to_string();
            for word in ["oneOf", "anyOf", "allOf", "$ref", "const", "nullable"] {
                assert!(!text.contains(&format!("{word:?}:")), "{} has {word}", row.name);
            }
        }
    }
}
