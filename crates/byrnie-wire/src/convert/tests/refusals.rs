//! Each way a resource can be wrong names its field and its code.

use byrnie_plan::{Key, ObjectName};
use prost::Message;

use super::{Version, decode};
use crate::generated as pb;
use pb::resource::Kind;

/// Reads the message as the resource of that key, and says how it was refused.
fn refusal(key: &Key, kind: Option<Kind>) -> (String, &'static str) {
    let bytes = pb::Resource { kind }.encode_to_vec();
    let error = decode(key, Version::of(&bytes), &bytes).expect_err("must be refused");
    assert!(error.to_string().contains(&error.path), "{error}");
    (error.path.clone(), error.code())
}

fn web() -> ObjectName {
    ObjectName::new("shop", "web")
}

fn service(change: impl FnOnce(&mut pb::Service)) -> (String, &'static str) {
    let mut service = super::super::service::to_proto(&byrnie_plan::Service {
        name: web(),
        ports: vec![byrnie_plan::ServicePort {
            name: String::new(),
            port: 80,
            protocol: byrnie_plan::AppProtocol::Detect,
        }],
        settings: Default::default(),
        controls: None,
        overrides: byrnie_plan::InboundOverrides::default(),
    });
    change(&mut service);
    refusal(&Key::Service(web()), Some(Kind::Service(service)))
}

#[test]
fn services() {
    let is = |path: &str, code| (path.to_owned(), code);
    assert_eq!(service(|s| s.name = "web".into()), is("name", "BYR0354"));
    assert_eq!(service(|s| s.name = "shop/db".into()), is("", "BYR0357"));
    assert_eq!(service(|s| s.settings = None), is("settings", "BYR0351"));
    assert_eq!(service(|s| s.ports[0].port = 0), is("ports[0].port", "BYR0353"));
    assert_eq!(service(|s| s.ports[0].port = 65_536), is("ports[0].port", "BYR0353"));
    assert_eq!(service(|s| s.ports[0].protocol = 0), is("ports[0].protocol", "BYR0352"));
    assert_eq!(service(|s| s.ports[0].protocol = 99), is("ports[0].protocol", "BYR0352"));
    assert_eq!(service(|s| s.ports.push(s.ports[0].clone())), is("ports[1]", "BYR0358"));
    assert_eq!(service(|s| s.ports[0].name = "x".repeat(16_385)), is("ports[0].name", "BYR0355"));
    assert_eq!(service(|s| s.ports = vec![s.ports[0].clone(); 16_385]), is("ports", "BYR0355"));
}

#[test]
fn traffic_settings() {
    let with = |change: fn(&mut pb::TrafficSettings)| service(|s| change(s.settings.as_mut().unwrap()));
    let is = |path: &str, code| (format!("settings.{path}"), code);
    assert_eq!(with(|s| s.connect_timeout_ns = None), is("connect_timeout", "BYR0351"));
    assert_eq!(with(|s| s.balancer = 77), is("balancer", "BYR0352"));
    assert_eq!(with(|s| s.balancer = pb::BalancerKind::Maglev as i32), is("hash_source", "BYR0351"));
    assert_eq!(with(|s| s.hash_source = Some(pb::HashSource::default())), is("hash_source", "BYR0354"));
    let empty_oneof: fn(&mut pb::TrafficSettings) = |s| {
        s.balancer = pb::BalancerKind::RingHash as i32;
        s.hash_source = Some(pb::HashSource { source: None });
    };
    assert_eq!(with(empty_oneof), is("hash_source.source", "BYR0351"));
    assert_eq!(with(|s| s.limits = None), is("limits", "BYR0351"));
    assert_eq!(with(|s| s.limits.as_mut().unwrap().max_pending = None), is("limits.max_pending", "BYR0351"));
    assert_eq!(with(|s| s.retry.as_mut().unwrap().statuses = vec![99]), is("retry.statuses[0]", "BYR0353"));
    assert_eq!(
        with(|s| s.outlier = Some(pb::Outlier::default())),
        is("outlier.consecutive_failures", "BYR0351")
    );
}

fn endpoint(change: impl FnOnce(&mut pb::Endpoint)) -> (String, &'static str) {
    let mut endpoint = pb::Endpoint {
        workload: "shop/web-1".into(),
        address: Some(pb::Address { ip: vec![127, 0, 0, 1], port: 1 }),
        app_port: 80,
        hop: Some(pb::endpoint::Hop::Mesh(pb::MeshHop {
            identity: "spiffe://cluster.local/ns/shop/sa/web".into(),
            dialect: pb::Dialect::Byrnie as i32,
        })),
        ..pb::Endpoint::default()
    };
    change(&mut endpoint);
    let ports = vec![pb::PortEndpoints { port: 80, endpoints: vec![endpoint] }];
    let endpoints = pb::Endpoints { service: "shop/web".into(), ports };
    let (path, code) = refusal(&Key::Endpoints(web()), Some(Kind::Endpoints(endpoints)));
    (path.strip_prefix("ports[0].endpoints[0].").unwrap_or(&path).to_owned(), code)
}

/// An endpoint whose hop cannot be read must never become a plaintext one.
#[test]
fn endpoints() {
    use pb::endpoint::Hop;
    let mesh = |identity: &str, dialect| Some(Hop::Mesh(pb::MeshHop { identity: identity.into(), dialect }));
    let is = |path: &str, code| (path.to_owned(), code);
    assert_eq!(endpoint(|e| e.hop = None), is("hop", "BYR0351"));
    assert_eq!(endpoint(|e| e.hop = mesh("", 1)), is("hop.identity", "BYR0354"));
    let no_mesh_identity = "spiffe://cluster.local/ns/shop/sa/web/extra";
    assert_eq!(endpoint(|e| e.hop = mesh(no_mesh_identity, 1)), is("hop.identity", "BYR0354"));
    assert_eq!(endpoint(|e| e.hop = mesh("spiffe://a/ns/b/sa/c", 3)), is("hop.dialect", "BYR0352"));
    assert_eq!(endpoint(|e| e.address = None), is("address", "BYR0351"));
    assert_eq!(endpoint(|e| e.address.as_mut().unwrap().ip = vec![1; 5]), is("address.ip", "BYR0354"));
    assert_eq!(endpoint(|e| e.address.as_mut().unwrap().port = 70_000), is("address.port", "BYR0353"));
    assert_eq!(endpoint(|e| e.app_port = 0), is("app_port", "BYR0353"));
    assert_eq!(endpoint(|e| e.labels = vec![pb::Label::default()]), is("labels[0].key", "BYR0351"));
}

fn matching(change: impl FnOnce(&mut pb::HttpMatch)) -> (String, &'static str) {
    let mut one = pb::HttpMatch {
        host: Some(pb::HostPattern { pattern: Some(pb::host_pattern::Pattern::Any(pb::Flag {})) }),
        path: Some(pb::PathMatch { r#match: Some(pb::path_match::Match::Prefix("/".into())) }),
        ..pb::HttpMatch::default()
    };
    change(&mut one);
    let name = pb::RouteName { kind: 1, route: "shop/r".into(), rule: "0".into() };
    let rule = pb::HttpRule { name: Some(name), ..pb::HttpRule::default() };
    let http = pb::HttpTable { matches: vec![one], rules: vec![rule], scopes: Vec::new() };
    let ports = vec![pb::PortRoutes { port: 80, http: Some(http), tcp: Vec::new() }];
    let routes = pb::Routes { service: "shop/web".into(), client_namespace: None, ports };
    let key = Key::Routes { service: web(), client_namespace: None };
    let (path, code) = refusal(&key, Some(Kind::Routes(routes)));
    (path.strip_prefix("ports[0].http.matches[0].").unwrap_or(&path).to_owned(), code)
}

/// A part of a match that cannot be read must never become "matches everything".
#[test]
fn matches() {
    let is = |path: &str, code| (path.to_owned(), code);
    assert_eq!(matching(|m| m.host = None), is("host", "BYR0351"));
    assert_eq!(matching(|m| m.host = Some(pb::HostPattern { pattern: None })), is("host.pattern", "BYR0351"));
    assert_eq!(matching(|m| m.path = None), is("path", "BYR0351"));
    assert_eq!(matching(|m| m.path = Some(pb::PathMatch { r#match: None })), is("path.match", "BYR0351"));
    assert_eq!(matching(|m| m.method = Some(String::new())), is("method", "BYR0351"));
    let header = pb::HeaderMatch { name: "x".into(), value: Some(pb::ValueMatch { r#match: None }) };
    assert_eq!(matching(|m| m.headers = vec![header]), is("headers[0].value.match", "BYR0351"));
    let query = pb::QueryMatch { name: String::new(), value: None };
    assert_eq!(matching(|m| m.queries = vec![query]), is("queries[0].name", "BYR0351"));
    assert_eq!(matching(|m| m.rule = 1), is("rule", "BYR0353"));
    assert_eq!(matching(|m| m.host_scope = 1), is("host_scope", "BYR0353"));
}

fn rule(change: impl FnOnce(&mut pb::HttpRule)) -> (String, &'static str) {
    let name = pb::RouteName { kind: 1, route: "shop/r".into(), rule: "0".into() };
    let mut rule = pb::HttpRule { name: Some(name), ..pb::HttpRule::default() };
    change(&mut rule);
    let http = pb::HttpTable { rules: vec![rule], ..pb::HttpTable::default() };
    let listener = pb::GatewayListener { port: 80, protocol: 1, http: Some(http), ..Default::default() };
    let routes = pb::GatewayRoutes { gateway: "shop/web".into(), listeners: vec![listener] };
    let (path, code) = refusal(&Key::GatewayRoutes(web()), Some(Kind::GatewayRoutes(routes)));
    (path.strip_prefix("listeners[0].http.rules[0].").unwrap_or(&path).to_owned(), code)
}

#[test]
fn rules_and_filters() {
    use pb::filter::Filter;
    let filters = |filter: Option<Filter>| rule(|r| r.filters = vec![pb::Filter { filter }]);
    let is = |path: &str, code| (path.to_owned(), code);
    assert_eq!(rule(|r| r.name = None), is("name", "BYR0351"));
    assert_eq!(rule(|r| r.name.as_mut().unwrap().kind = 9), is("name.kind", "BYR0352"));
    assert_eq!(rule(|r| r.backends = vec![pb::Backend::default()]), is("backends[0].target", "BYR0351"));
    assert_eq!(filters(None), is("filters[0].filter", "BYR0351"));
    let redirect = |status| pb::Redirect { status, ..pb::Redirect::default() };
    assert_eq!(filters(Some(Filter::Redirect(redirect(200)))), is("filters[0].redirect.status", "BYR0354"));
    let redirect = pb::Redirect { port: Some(0), ..redirect(301) };
    assert_eq!(filters(Some(Filter::Redirect(redirect))), is("filters[0].redirect.port", "BYR0353"));
    let mirror = pb::Mirror::default();
    assert_eq!(filters(Some(Filter::Mirror(mirror))), is("filters[0].mirror.denominator", "BYR0353"));
    let target = pb::BackendTarget { target: Some(pb::backend_target::Target::Invalid(99)) };
    let backend = pb::Backend { target: Some(target), ..pb::Backend::default() };
    assert_eq!(rule(|r| r.backends = vec![backend]), is("backends[0].target.invalid", "BYR0352"));
}

fn policy(change: impl FnOnce(&mut pb::InboundPolicy)) -> (String, &'static str) {
    let rule =
        pb::AuthorizationRule { from: vec![pb::Source::default()], to: vec![pb::Operation::default()] };
    let one = pb::AuthorizationPolicy { name: "shop/p".into(), action: 2, rules: vec![rule], dry_run: false };
    let mut policy = pb::InboundPolicy {
        workload: "shop/web".into(),
        identity: "spiffe://cluster.local/ns/shop/sa/web".into(),
        authorization: vec![one],
        default_action: 3,
        ..pb::InboundPolicy::default()
    };
    change(&mut policy);
    refusal(&Key::InboundPolicy(web()), Some(Kind::InboundPolicy(policy)))
}

#[test]
fn authorization() {
    use pb::text_match::Match;
    let from = |text: Option<Match>| {
        policy(|p| p.authorization[0].rules[0].from[0].identities = vec![pb::TextMatch { r#match: text }])
    };
    let is = |path: &str, code| (path.to_owned(), code);
    let at = |path: &str, code| (format!("authorization[0].{path}"), code);
    assert_eq!(policy(|p| p.default_action = 0), is("default_action", "BYR0352"));
    assert_eq!(policy(|p| p.identity = "spiffe://x".into()), is("identity", "BYR0354"));
    assert_eq!(policy(|p| p.authorization[0].action = 4), at("action", "BYR0352"));
    assert_eq!(policy(|p| p.authorization[0].name.clear()), at("name", "BYR0351"));
    assert_eq!(from(None), at("rules[0].from[0].identities[0].match", "BYR0351"));
    assert_eq!(from(Some(Match::Prefix("".into()))), at("rules[0].from[0].identities[0].match", "BYR0351"));
    let ports: fn(&mut pb::InboundPolicy) = |p| p.authorization[0].rules[0].to[0].not_ports = vec![65_536];
    assert_eq!(policy(ports), at("rules[0].to[0].not_ports[0]", "BYR0353"));
}

#[test]
fn whole_resources() {
    assert_eq!(refusal(&Key::TrustBundle, None), ("kind".to_owned(), "BYR0351"));
    let bundle =
        |roots| Some(Kind::TrustBundle(pb::TrustBundle { trust_domain: "a".into(), roots_der: roots }));
    assert_eq!(refusal(&Key::MeshSettings, bundle(vec![vec![1]])), (String::new(), "BYR0357"));
    assert_eq!(refusal(&Key::TrustBundle, bundle(vec![vec![]])), ("roots_der[0]".to_owned(), "BYR0351"));
    assert_eq!(refusal(&Key::TrustBundle, bundle(vec![vec![1]; 65])), ("roots_der".to_owned(), "BYR0355"));
    let settings = Some(Kind::MeshSettings(pb::MeshSettings { access_log: 1, ..Default::default() }));
    assert_eq!(refusal(&Key::MeshSettings, settings), ("access_log_format".to_owned(), "BYR0352"));
}

/// What a newer control plane has added is refused, not overlooked.
#[test]
fn unknown_fields() {
    let bundle = byrnie_plan::TrustBundle { trust_domain: "a".into(), roots_der: vec![vec![1]] };
    let encoded = super::encode(&byrnie_plan::Resource::TrustBundle(bundle));
    let mut bytes = encoded.bytes.to_vec();
    // Field 1000, varint 1.
    bytes.extend_from_slice(&[0xc0, 0x3e, 0x01]);
    let error = decode(&Key::TrustBundle, Version::of(&bytes), &bytes).unwrap_err();
    assert_eq!(error.code(), "BYR0356");
    let oversize = vec![0; super::super::MAX_RESOURCE_BYTES + 1];
    assert_eq!(decode(&Key::TrustBundle, encoded.version, &oversize).unwrap_err().code(), "BYR0355");
    assert_eq!(decode(&Key::TrustBundle, encoded.version, &[0xff]).unwrap_err().code(), "BYR0350");
}
