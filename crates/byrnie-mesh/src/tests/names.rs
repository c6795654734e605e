//! `Names`: only in transparent mode, one shard for each change.

use byrnie_api::{ObjectKey, codes};
use byrnie_plan::{Name, name_shard};
use serde_json::json;

use super::*;

fn addressed(name: &str, address: &str) -> Object {
    let service = service(name, "web", json!([{"name": "b", "port": 443}, {"name": "a", "port": 80}]));
    service.with_status(Some(json!({"virtualAddresses": [address]}))).unwrap()
}

fn find(compiler: &Compiler, service: &str) -> Option<Name> {
    let service = name(service);
    let key = Key::Names(name_shard(&service.namespace, &service.name));
    match compiler.resource(&key) {
        Some(Resource::Names(names)) => names.names.iter().find(|name| name.service == service).cloned(),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_has_its_name_address_and_ports() {
    let mut compiler = transparent();
    apply(&mut compiler, &[addressed("shop/web", "240.240.0.7")]);
    let expected = Name {
        service: name("shop/web"),
        addresses: vec!["240.240.0.7".parse().unwrap()],
        ports: vec![80, 443],
        alias: None,
    };
    assert_eq!(find(&compiler, "shop/web"), Some(expected));
    compiler.apply(&[Change::Deleted(ObjectKey::new(byrnie_api::Kind::Service, "shop", "web"))]);
    assert_eq!(find(&compiler, "shop/web"), None);
    assert!(!compiler.resources().any(|resource| matches!(resource, Resource::Names(_))));
}

#[test]
fn an_external_name_is_an_alias_without_address() {
    let mut compiler = transparent();
    let spec = json!({"type": "ExternalName", "externalName": "db.example.com"});
    let object = object("Service", "shop/db", 1, spec);
    let object = object.with_status(Some(json!({"virtualAddresses": ["240.240.0.9"]}))).unwrap();
    apply(&mut compiler, &[object]);
    let name = find(&compiler, "shop/db").unwrap();
    assert_eq!((name.addresses, name.alias.as_deref()), (vec![], Some("db.example.com")));
}

#[test]
fn without_capture_there_are_no_names() {
    let mut compiler = Compiler::new(Options { run_id: RUN.to_owned(), transparent: false });
    apply(&mut compiler, &[addressed("shop/web", "240.240.0.7")]);
    assert!(!compiler.resources().any(|resource| matches!(resource, Resource::Names(_))));
}

#[test]
fn one_service_of_ten_thousand_changes_one_shard() {
    let mut compiler = transparent();
    let objects: Vec<Object> = (0..10_000)
        .map(|i| addressed(&format!("shop/s{i}"), &format!("240.240.{}.{}", i / 256, i % 256)))
        .collect();
    apply(&mut compiler, &objects);
    let output = apply(&mut compiler, &[addressed("shop/s17", "240.240.200.1")]);
    assert_eq!(output.updates.len(), 1);
    let Some(Resource::Names(names)) = &output.updates[0].resource else { panic!("{output:?}") };
    assert!(names.names.len() < 300, "{}", names.names.len());
}

#[test]
fn a_service_without_address_is_a_finding() {
    let mut compiler = transparent();
    let condition = json!({"type": "Addressed", "status": "False", "reason": "Exhausted", "message": "all taken",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let object = service("shop/web", "web", json!([{"port": 80}]));
    let object = object.with_status(Some(json!({"conditions": [condition]}))).unwrap();
    apply(&mut compiler, &[object]);
    let finding = compiler.findings().find(|f| f.code == codes::ADDRESSES_EXHAUSTED).unwrap();
    assert_eq!((finding.message.as_str(), finding.severity), ("all taken", byrnie_api::Severity::Error));
    assert_eq!(find(&compiler, "shop/web").unwrap().addresses, Vec::<std::net::IpAddr>::new());
}
