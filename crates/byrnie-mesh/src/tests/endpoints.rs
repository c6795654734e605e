//! Services, endpoints, inbound ports.

use byrnie_api::codes;
use byrnie_plan::{AppProtocol, Hop, Key, Resource};
use serde_json::{Value, json};

use super::*;

#[test]
fn target_ports_by_number_name_and_default() {
    let ports = json!([{"name": "http", "port": 8080}, {"name": "admin", "port": 9000}]);
    for (service_port, wanted) in [
        (json!({"port": 80, "targetPort": 8080}), Some(8080)),
        (json!({"port": 80, "targetPort": "admin"}), Some(9000)),
        (json!({"port": 80, "targetPort": "9000"}), Some(9000)),
        (json!({"port": 8080}), Some(8080)),
        (json!({"port": 80}), None),
        (json!({"port": 80, "targetPort": "metrics"}), None),
        (json!({"port": 80, "targetPort": 0}), None),
        (json!({"port": 80, "targetPort": 70000}), None),
    ] {
        let compiler = compile(&[
            workload("shop/web-1", json!({"app": "web"}), 40_001, json!({"ports": ports})),
            service("shop/web", "web", json!([service_port])),
        ]);
        let found = endpoints(&compiler, "shop/web").ports[0].endpoints.first().map(|e| e.app_port);
        assert_eq!(found, wanted, "{service_port}");
        assert_eq!(has_code(&compiler, codes::TARGET_PORT_UNKNOWN), wanted.is_none(), "{service_port}");
    }
}

#[test]
fn who_is_an_endpoint() {
    let spec = json!({"serviceAccount": "web", "ports": [{"port": 80}]});
    let meshed = |status: Value| {
        with_labels("Workload", "shop/web-1", 1, json!({"app": "web"}), spec.clone())
            .with_status(Some(status))
            .unwrap()
    };
    let plain = json!({"ports": [{"port": 80}], "proxy": "none", "address": "192.0.2.1"});
    for (why, object, wanted) in [
        (
            "of this run",
            meshed(json!({"proxy": {"meshAddress": "127.0.0.1:4", "run": RUN}})),
            Some("127.0.0.1:4"),
        ),
        ("of another run", meshed(json!({"proxy": {"meshAddress": "127.0.0.1:4", "run": "run-0"}})), None),
        ("not reported yet", meshed(json!({})), None),
        ("not an address", meshed(json!({"proxy": {"meshAddress": "nowhere", "run": RUN}})), None),
        (
            "not ready",
            meshed(json!({
                "proxy": {"meshAddress": "127.0.0.1:4", "run": RUN},
                "conditions": [{"type": "Ready", "status": "False", "reason": "x", "message": ""}],
            })),
            None,
        ),
        ("other labels", workload("shop/web-1", json!({"app": "api"}), 4, spec.clone()), None),
        ("other namespace", workload("store/web-1", json!({"app": "web"}), 4, spec.clone()), None),
        (
            "plain",
            with_labels("Workload", "shop/web-1", 1, json!({"app": "web"}), plain),
            Some("192.0.2.1:80"),
        ),
    ] {
        let compiler = compile(&[object, service("shop/web", "web", json!([{"port": 80}]))]);
        let found = endpoints(&compiler, "shop/web").ports[0].endpoints.first();
        assert_eq!(found.map(|e| e.address.to_string()).as_deref(), wanted, "{why}");
        match found.map(|e| &e.hop) {
            Some(Hop::Plaintext) => assert_eq!(why, "plain"),
            Some(Hop::Mesh { identity, .. }) => {
                assert_eq!(identity.to_string(), "spiffe://cluster.local/ns/shop/sa/web");
            }
            None => {}
        }
    }
}

#[test]
fn a_service_without_selector_or_workloads_says_so() {
    let compiler = compile(&[
        object("Service", "shop/empty", 1, json!({"ports": [{"port": 80}]})),
        object(
            "Service",
            "shop/alias",
            1,
            json!({"type": "ExternalName", "externalName": "x.y", "ports": [{"port": 80}]}),
        ),
        backend("shop/nobody"),
    ]);
    assert_eq!(
        codes(&compiler),
        ["BYR0120 Service shop/alias", "BYR0120 Service shop/empty", "BYR0120 Service shop/nobody"]
    );
    assert!(endpoints(&compiler, "shop/empty").ports[0].endpoints.is_empty());
}

#[test]
fn protocols_of_ports() {
    for (port, app_protocol, wanted, finding) in [
        (80, None, AppProtocol::Detect, false),
        (5432, None, AppProtocol::Tcp, false),
        (5432, Some("http"), AppProtocol::Http1, false),
        (80, Some("HTTP2"), AppProtocol::Http2, false),
        (80, Some("kubernetes.io/h2c"), AppProtocol::Http2, false),
        (80, Some("grpc"), AppProtocol::Grpc, false),
        (80, Some("kubernetes.io/ws"), AppProtocol::Http1, false),
        (80, Some("kubernetes.io/wss"), AppProtocol::Tls, false),
        (80, Some("https"), AppProtocol::Tls, false),
        (80, Some("tcp"), AppProtocol::Tcp, false),
        (80, Some("example.com/own"), AppProtocol::Tcp, true),
    ] {
        let mut entry = json!({"port": port});
        if let Some(app_protocol) = app_protocol {
            entry["appProtocol"] = app_protocol.into();
        }
        let compiler = compile(&[service("shop/web", "web", json!([entry]))]);
        let Some(Resource::Service(compiled)) = compiler.resource(&Key::Service(name("shop/web"))) else {
            panic!()
        };
        assert_eq!(compiled.ports[0].protocol, wanted, "{port} {app_protocol:?}");
        assert_eq!(has_code(&compiler, codes::APP_PROTOCOL_UNKNOWN), finding);
    }
}

#[test]
fn odd_ports_of_a_service() {
    let compiler = compile(&[service(
        "shop/web",
        "web",
        json!([
            {"name": "b", "port": 90},
            {"name": "a", "port": 80},
            {"name": "twice", "port": 90, "targetPort": 91},
            {"name": "dns", "port": 53, "protocol": "UDP"},
        ]),
    )]);
    let Some(Resource::Service(compiled)) = compiler.resource(&Key::Service(name("shop/web"))) else {
        panic!()
    };
    let ports: Vec<(u16, &str)> = compiled.ports.iter().map(|p| (p.port, p.name.as_str())).collect();
    assert_eq!(ports, [(80, "a"), (90, "b")]);
    assert!(has_code(&compiler, codes::SERVICE_PORT_TWICE) && has_code(&compiler, codes::PORT_NOT_PROXIED));
}

#[test]
fn inbound_ports_know_the_services_that_lead_to_them() {
    let compiler = compile(&[
        workload(
            "shop/web-1",
            json!({"app": "web", "tier": "front"}),
            1,
            json!({"serviceAccount": "web", "ports": [{"name": "http", "port": 8080}, {"port": 9000}]}),
        ),
        service(
            "shop/web",
            "web",
            json!([{"port": 80, "targetPort": "http", "appProtocol": "http"}, {"port": 9000}]),
        ),
        object(
            "Service",
            "shop/front",
            1,
            json!({"selector": {"tier": "front"}, "ports": [{"port": 81, "targetPort": 8080,
                "appProtocol": "grpc"}]}),
        ),
        object(
            "Service",
            "shop/other",
            1,
            json!({"selector": {"app": "web", "tier": "back"}, "ports": [{"port": 80}]}),
        ),
    ]);
    let policy = inbound(&compiler, "shop/web-1").unwrap();
    let ports: Vec<(u16, AppProtocol, Vec<String>)> = policy
        .ports
        .iter()
        .map(|p| {
            let services = p.services.iter().map(|s| format!("{}:{}", s.service.name, s.port)).collect();
            (p.port, p.protocol, services)
        })
        .collect();
    assert_eq!(
        ports,
        [
            (8080, AppProtocol::Grpc, vec!["front:81".to_owned(), "web:80".to_owned()]),
            (9000, AppProtocol::Detect, vec!["web:9000".to_owned()]),
        ]
    );
    assert!(has_code(&compiler, codes::PROTOCOLS_DIFFER));
}

#[test]
fn a_plain_workload_has_no_policy() {
    let compiler = compile(&[with_labels("Workload", "shop/w", 1, json!({}), json!({"proxy": "none"}))]);
    assert!(inbound(&compiler, "shop/w").is_none());
}

#[test]
fn the_mesh_decides_trust_domain_and_default() {
    let mesh =
        object("Mesh", "default", 1, json!({"trustDomain": "example.org", "defaultInboundPolicy": "deny"}));
    let other = object("Mesh", "other", 0, json!({"trustDomain": "example.com"}));
    let mut compiler = compile(&first_file());
    let output = apply(&mut compiler, &[mesh, other]);
    let keys: Vec<String> = output.updates.iter().map(|u| u.key.to_string()).collect();
    assert_eq!(keys, ["Endpoints/shop/web", "InboundPolicy/shop/front", "InboundPolicy/shop/web-1"]);
    let policy = inbound(&compiler, "shop/web-1").unwrap();
    assert_eq!(policy.identity.trust_domain, "example.org");
    assert_eq!(policy.default_action, byrnie_plan::DefaultAction::Deny);
    assert_eq!(codes(&compiler), ["BYR0143 Mesh other"]);
    assert_eq!(conditions(&status(&compiler, "Mesh", "other")["conditions"]), ["Accepted=False/Conflicted"]);
}

#[test]
fn localities_uids_and_health_checks_reach_the_proxies() {
    use byrnie_plan::{HealthProtocol, InboundPolicy};
    let spec = json!({"ports": [{"port": 80}], "locality": "eu/eu-1", "healthChecks": [
        {"protocol": "http", "path": "/healthz", "interval": "2s", "unhealthyThreshold": 5},
        {"protocol": "grpc", "port": 9000, "service": "shop.Cart"},
        {"protocol": "tcp"}]});
    let gateway =
        json!({"gatewayClassName": "byrnie", "listeners": [{"name": "h", "port": 8000, "protocol": "HTTP"}]});
    let mut gateway = object("Gateway", "a/g", 1, gateway).to_value();
    gateway["metadata"]["annotations"] = json!({"byrnie.dev/locality": "us/us-2"});
    let gateway = Object::from_value(gateway).unwrap();
    let web = service("a/web", "web", json!([{"port": 80}]));
    let compiler = compile(&[workload("a/w", json!({"app": "web"}), 15008, spec), web, gateway]);
    let Some(Resource::Endpoints(found)) = compiler.resource(&Key::Endpoints(name("a/web"))) else {
        panic!()
    };
    assert_eq!(found.ports[0].endpoints[0].locality, "eu/eu-1");
    let policy = |of: &str| -> InboundPolicy {
        match compiler.resource(&Key::InboundPolicy(name(of))) {
            Some(Resource::InboundPolicy(policy)) => (**policy).clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(policy("a/g").locality, "us/us-2");
    let own = policy("a/w");
    assert_eq!(own.locality, "eu/eu-1");
    let [http, grpc, tcp] = &own.health_checks[..] else { panic!("{own:?}") };
    assert_eq!(http.protocol, HealthProtocol::Http { path: "/healthz".to_owned(), host: String::new() });
    assert_eq!((http.address.port(), http.unhealthy_threshold, http.healthy_threshold), (80, 5, 1));
    assert_eq!(grpc.protocol, HealthProtocol::Grpc { service: "shop.Cart".to_owned() });
    assert_eq!((grpc.address.port(), tcp.address.port()), (9000, 80));
    assert_eq!(tcp.interval, std::time::Duration::from_secs(10));
}
