//! `TrafficPolicy.spec.inbound`: where it holds, the nearest first.

use byrnie_api::codes;
use byrnie_plan::{InboundOverrides, Key, ProxyHeader, Resource};
use serde_json::{Value, json};

use super::*;
use crate::Entry;

fn policy(name: &str, target: Value, inbound: Value) -> Object {
    object("TrafficPolicy", name, 1, json!({"targetRefs": [target], "inbound": inbound}))
}

fn headers(number: u32) -> Value {
    json!({"maxHeaders": number})
}

fn world() -> Vec<Object> {
    let listeners = json!([
        {"name": "one", "port": 80, "protocol": "HTTP", "hostname": "one.com"},
        {"name": "two", "port": 80, "protocol": "HTTP", "hostname": "two.com"},
        {"name": "three", "port": 81, "protocol": "HTTP"},
    ]);
    vec![
        workload("a/w", json!({"app": "s"}), 4143, json!({"ports": [{"port": 8080}, {"port": 9090}]})),
        service("a/s", "s", json!([{"port": 80, "targetPort": 8080}])),
        object("Gateway", "a/g", 1, json!({"gatewayClassName": "byrnie", "listeners": listeners})),
    ]
}

fn of_service(compiler: &Compiler) -> InboundOverrides {
    match compiler.resource(&Key::Service(name("a/s"))) {
        Some(Resource::Service(service)) => service.overrides.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_policies_nothing_is_said() {
    let compiler = compile(&world());
    let nothing = InboundOverrides::default();
    assert_eq!(of_service(&compiler), nothing);
    let policy = inbound(&compiler, "a/w").unwrap();
    assert!(policy.overrides == nothing && policy.ports.iter().all(|port| port.overrides == nothing));
    assert_eq!(inbound(&compiler, "a/g").unwrap().overrides, nothing);
    assert!(gateway(&compiler, "a/g").unwrap().listeners.iter().all(|l| l.overrides == nothing));
}

#[test]
fn the_nearest_policy_that_says_something_holds() {
    let mut objects = world();
    let mesh = json!({"kind": "Mesh", "name": "default"});
    let namespace = json!({"kind": "Namespace", "name": "a"});
    let mut compiler = compile(&objects);
    let mut step = |target: Value, number: u32| {
        let name = format!("a/p{number}");
        objects.push(policy(&name, target, headers(number)));
        apply(&mut compiler, &objects);
        let own = inbound(&compiler, "a/w").unwrap();
        let ports: Vec<_> = own.ports.iter().map(|port| port.overrides.max_headers).collect();
        let edge = inbound(&compiler, "a/g").unwrap().overrides.max_headers;
        let listeners = &gateway(&compiler, "a/g").unwrap().listeners;
        let listeners: Vec<_> = listeners.iter().map(|l| l.overrides.max_headers).collect();
        (own.overrides.max_headers, ports, of_service(&compiler).max_headers, edge, listeners)
    };
    let (none, some) = (None, Some);
    let all = |n| (some(n), vec![some(n), some(n)], none, some(n), vec![none, none]);
    assert_eq!(step(mesh, 10), all(10));
    assert_eq!(step(namespace, 11), all(11));
    let of_service = (some(11), vec![some(12), some(11)], some(12), some(11), vec![none, none]);
    assert_eq!(step(json!({"kind": "Service", "name": "s"}), 12), of_service);
    let of_workload = (some(13), vec![some(13), some(13)], some(12), some(11), vec![none, none]);
    assert_eq!(step(json!({"kind": "Workload", "name": "w"}), 13), of_workload);
    let (own, ports, service, edge, _) = step(json!({"kind": "Gateway", "name": "g"}), 14);
    assert_eq!((own, ports, service, edge), (some(13), vec![some(13), some(13)], some(12), some(14)));
    // Of listeners that share a port the first one that says something.
    let two = json!({"kind": "Gateway", "name": "g", "sectionName": "two"});
    assert_eq!(step(two, 15).4, vec![some(15), none]);
    let one = json!({"kind": "Gateway", "name": "g", "sectionName": "one"});
    assert_eq!(step(one, 16).4, vec![some(16), none]);
}

#[test]
fn each_setting_comes_from_a_policy_of_its_own() {
    let namespace = json!({"allowConnect": true, "proxyProtocol": {"accept": true}, "headerTimeout": "2s"});
    let own = json!({"allowConnect": false, "proxyProtocol": {"send": "v2"}, "peerIdentityHeader": true});
    let mut objects = world();
    objects.push(policy("a/far", json!({"kind": "Namespace", "name": "a"}), namespace));
    objects.push(policy("a/near", json!({"kind": "Workload", "name": "w"}), own));
    let compiler = compile(&objects);
    let expected = InboundOverrides {
        allow_connect: Some(false),
        accept_proxy_protocol: Some(true),
        send_proxy_protocol: Some(ProxyHeader::V2),
        peer_identity_header: Some(true),
        header_timeout: Some(std::time::Duration::from_secs(2)),
        ..InboundOverrides::default()
    };
    assert_eq!(inbound(&compiler, "a/w").unwrap().overrides, expected);
}

/// For people: whose word each setting is, wherever it is compiled in.
#[test]
fn each_setting_has_its_origin() {
    let mut objects = world();
    let far = json!({"allowConnect": true, "maxHeaders": 9, "proxyProtocol": {"send": "v1"}});
    objects.push(policy("a/far", json!({"kind": "Namespace", "name": "a"}), far));
    objects.push(policy("a/own", json!({"kind": "Workload", "name": "w"}), headers(10)));
    objects.push(policy(
        "a/calls",
        json!({"kind": "Service", "name": "s"}),
        json!({"detectTimeout": "1m1s"}),
    ));
    let one = json!({"kind": "Gateway", "name": "g", "sectionName": "one"});
    objects.push(policy("a/one", one, headers(11)));
    let compiler = compile(&objects);
    let check = |proxy: &str, entry: Entry, compiled: &[&InboundOverrides], expected: &[(&str, &str)]| {
        let origins = compiler.inbound_origins(&name(proxy), &entry);
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(path, origin)| ((*path).to_owned(), format!("TrafficPolicy {origin}")))
            .collect();
        assert_eq!(origins.clone().into_iter().collect::<Vec<_>>(), expected, "{proxy} {entry:?}");
        for (path, _) in compiled.iter().flat_map(|overrides| overrides.words()) {
            assert!(origins.contains_key(path), "{path} at {proxy} {entry:?}");
        }
    };
    let (far, own) = ("a/far (Namespace a)", "a/own (Workload a/w)");
    let policy = inbound(&compiler, "a/w").unwrap();
    let whole = [("allowConnect", far), ("maxHeaders", own), ("proxyProtocol.send", far)];
    check("a/w", Entry::Proxy, &[&policy.overrides], &whole);
    let calls = ("detectTimeout", "a/calls (Service a/s)");
    let port = [whole[0], calls, whole[1], whole[2]];
    check("a/w", Entry::Port(8080), &[&policy.ports[0].overrides], &port);
    check("a/w", Entry::Port(9090), &[&policy.ports[1].overrides], &whole);
    check("a/w", Entry::Service(name("a/s")), &[&of_service(&compiler)], &port);
    let listeners = &gateway(&compiler, "a/g").unwrap().listeners;
    let edge = &inbound(&compiler, "a/g").unwrap().overrides;
    let one = ("maxHeaders", "a/one (listener one of Gateway a/g)");
    let here = [whole[0], one, whole[2]];
    check("a/g", Entry::Port(80), &[edge, &listeners[0].overrides], &here);
    let around = [whole[0], ("maxHeaders", far), whole[2]];
    check("a/g", Entry::Port(81), &[edge, &listeners[1].overrides], &around);
    // Applications without a proxy are begun with what their namespace wants, whoever calls.
    assert_eq!(of_service(&compiler).send_proxy_protocol, Some(ProxyHeader::V1));
    let words = policy.ports[0].overrides.words();
    let expected = [
        ("allowConnect", "true"),
        ("proxyProtocol.send", "v1"),
        ("maxHeaders", "10"),
        ("detectTimeout", "1m1s"),
    ];
    assert_eq!(words.iter().map(|(path, value)| (*path, value.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn what_means_nothing_at_a_target_is_said() {
    let mut objects = world();
    let route = json!({"kind": "HTTPRoute", "name": "r"});
    let parents = json!([{"group": "", "kind": "Service", "name": "s"}]);
    objects.push(object("HTTPRoute", "a/r", 1, json!({"parentRefs": parents})));
    objects.push(policy("a/route", route, headers(9)));
    let edge = json!({"forwardedHeaders": "off", "maxHeaders": 9, "maxConnections": 9});
    objects.push(policy("a/service", json!({"kind": "Service", "name": "s"}), edge));
    let gateway = json!({"kind": "Gateway", "name": "g"});
    objects.push(policy("a/gateway", gateway, json!({"peerIdentityHeader": true})));
    let other = json!({"targetRefs": [{"kind": "Workload", "name": "w"}], "limits": {"maxPending": 1}});
    objects.push(object("TrafficPolicy", "a/workload", 1, other));
    let compiler = compile(&objects);
    assert!(has_code(&compiler, codes::POLICY_FIELD_POINTLESS));
    let accepted = |policy: &str| {
        let condition = &status(&compiler, "TrafficPolicy", policy)["conditions"][0];
        (condition["status"] == "True", condition["message"].as_str().unwrap_or_default().to_owned())
    };
    for (policy, path) in [
        ("a/route", "spec.inbound.maxHeaders"),
        ("a/gateway", "spec.inbound.peerIdentityHeader"),
        ("a/workload", "spec.limits"),
    ] {
        let (holds, message) = accepted(policy);
        assert!(!holds && message.starts_with(&format!("{path} has no effect at")), "{policy}: {message}");
    }
    let (holds, message) = accepted("a/service");
    assert!(
        holds && message.contains("spec.inbound.forwardedHeaders has no effect at Service a/s"),
        "{message}"
    );
}

/// What a policy's status says has no effect is not shown as if it had.
#[test]
fn what_means_nothing_at_a_target_is_in_force_nowhere() {
    let every = json!({
        "forwardedHeaders": "off", "trustedHops": 3, "peerIdentityHeader": true, "allowConnect": true,
        "proxyProtocol": {"accept": true, "send": "v1"}, "maxHeaderBytes": 9000, "maxHeaders": 9,
        "maxConcurrentStreams": 9, "maxConnections": 9, "headerTimeout": "9s", "clientIdleTimeout": "9s",
        "detectTimeout": "9s",
    });
    for target in [
        json!({"kind": "Service", "name": "s"}),
        json!({"kind": "Workload", "name": "w"}),
        json!({"kind": "Gateway", "name": "g"}),
        json!({"kind": "Gateway", "name": "g", "sectionName": "one"}),
    ] {
        let mut objects = world();
        objects.push(policy("a/p", target.clone(), every.clone()));
        let compiler = compile(&objects);
        let pointless: Vec<&str> = compiler
            .findings()
            .filter(|finding| finding.code == codes::POLICY_FIELD_POINTLESS)
            .filter_map(|finding| finding.field.strip_prefix("spec.inbound."))
            .collect();
        assert!(!pointless.is_empty(), "{target}");
        let (own, edge) = (inbound(&compiler, "a/w").unwrap(), inbound(&compiler, "a/g").unwrap());
        let listeners = &gateway(&compiler, "a/g").unwrap().listeners;
        let mut all = vec![own.overrides.clone(), edge.overrides.clone(), of_service(&compiler)];
        all.extend(own.ports.iter().map(|port| port.overrides.clone()));
        all.extend(listeners.iter().map(|listener| listener.overrides.clone()));
        let in_force: Vec<&str> =
            all.iter().flat_map(InboundOverrides::words).map(|(path, _)| path).collect();
        assert!(in_force.contains(&"maxHeaders"), "{target}");
        for path in pointless {
            assert!(!in_force.contains(&path), "{path} at {target}");
        }
        let told = compiler.inbound_origins(&name("a/g"), &Entry::Port(80));
        assert!(told.keys().all(|path| in_force.contains(&path.as_str())), "{told:?}");
    }
}
