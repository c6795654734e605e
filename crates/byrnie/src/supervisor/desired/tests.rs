use serde_json::{Value, json};

use super::*;

fn of(value: Value) -> Vec<String> {
    let describe = |(key, way): (UnitKey, Way)| match way {
        Way::Proxy { .. } => key.to_string(),
        Way::Command(way) => {
            format!("{key}: {}{}", way.command.join(" "), if way.meshed { "" } else { " (plain)" })
        }
    };
    units(&Object::from_value(value).unwrap(), false).into_iter().map(describe).collect()
}

fn workload(spec: Value) -> Value {
    json!({
        "apiVersion": "mesh.byrnie.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": "web-1", "namespace": "shop", "annotations": {DIRECTORY_ANNOTATION: "/srv"}},
        "spec": spec,
    })
}

fn gateway(class: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "front", "namespace": "shop"},
        "spec": {"gatewayClassName": class, "listeners": [{"name": "http", "port": 18080, "protocol": "HTTP"}]},
    })
}

#[test]
fn what_objects_ask_for() {
    for (object, want) in [
        (workload(json!({"command": ["sh", "-c"]})), vec!["proxy of shop/web-1", "shop/web-1: sh -c"]),
        (workload(json!({"ports": [{"port": 1}]})), vec!["proxy of shop/web-1"]),
        (workload(json!({"command": ["sh"], "proxy": "none"})), vec!["shop/web-1: sh (plain)"]),
        (workload(json!({"proxy": "none"})), vec![]),
        (gateway("byrnie"), vec!["gateway shop/front"]),
        (gateway("other"), vec![]),
        (json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}), vec![]),
    ] {
        assert_eq!(of(object.clone()), want, "{object}");
    }
}

#[test]
fn the_directory_and_the_variables_come_along() {
    let object =
        workload(json!({"command": ["sh"], "env": [{"name": "A", "value": "1"}], "httpProxy": true}));
    let (_, way) = units(&Object::from_value(object).unwrap(), false).pop().unwrap();
    let want = CommandWay {
        command: vec!["sh".into()],
        environment: vec![("A".into(), "1".into())],
        directory: Some("/srv".into()),
        http_proxy: true,
        meshed: true,
        serves: false,
        captured: false,
        run_as: None,
    };
    assert_eq!(way, Way::Command(want));
}

fn key(kind: Kind, name: &str) -> UnitKey {
    UnitKey { kind, namespace: "shop".into(), name: name.into() }
}

fn run(command: &str) -> Way {
    Way::Command(CommandWay { command: vec![command.into()], ..CommandWay::default() })
}

#[test]
fn steps_from_what_runs_to_what_should_run() {
    let sidecar = key(Kind::Sidecar, "web");
    let command = key(Kind::Command, "web");
    let one = |key: &UnitKey, way| BTreeMap::from([(key.clone(), way)]);
    let none = BTreeMap::new();
    for (running, desired, want) in [
        (none.clone(), none.clone(), vec![]),
        (
            none.clone(),
            one(&sidecar, Way::Proxy { captured: None }),
            vec![Step::Start(sidecar.clone(), Way::Proxy { captured: None })],
        ),
        (one(&sidecar, Way::Proxy { captured: None }), one(&sidecar, Way::Proxy { captured: None }), vec![]),
        (one(&sidecar, Way::Proxy { captured: None }), none, vec![Step::Stop(sidecar.clone())]),
        (one(&command, run("a")), one(&command, run("b")), vec![Step::Start(command.clone(), run("b"))]),
        (
            one(&command, run("a")),
            one(&sidecar, Way::Proxy { captured: None }),
            vec![Step::Stop(command.clone()), Step::Start(sidecar.clone(), Way::Proxy { captured: None })],
        ),
    ] {
        assert_eq!(steps(&running, &desired), want);
    }
}

#[test]
fn proxies_start_before_the_commands_that_wait_for_them() {
    let mut keys = [key(Kind::Command, "a"), key(Kind::Gateway, "z"), key(Kind::Sidecar, "b")];
    keys.sort();
    assert_eq!(keys.map(|key| key.kind), [Kind::Gateway, Kind::Sidecar, Kind::Command]);
}

#[test]
fn only_a_meshed_workload_with_a_command_is_captured() {
    for (spec, transparent, want) in [
        (json!({"command": ["sh"], "runAs": "www-data"}), true, vec![true, true]),
        (json!({"command": ["sh"], "runAs": "www-data"}), false, vec![false, false]),
        (json!({"ports": [{"port": 1}]}), true, vec![false]),
        (json!({"command": ["sh"], "proxy": "none"}), true, vec![false]),
    ] {
        let captured = |(_, way)| match way {
            Way::Proxy { captured } => captured.is_some(),
            Way::Command(way) => {
                assert_eq!(way.run_as.is_some(), way.captured, "nothing changes without capture");
                way.captured
            }
        };
        let object = Object::from_value(workload(spec.clone())).unwrap();
        let found: Vec<bool> = units(&object, transparent).into_iter().map(captured).collect();
        assert_eq!(found, want, "{spec} {transparent}");
    }
}
