//! `byrnie proxy-config`, and who may ask the admin server what.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Connection, Load, Mesh, Origin, free_port, get, until, yaml};

struct Shop {
    mesh: Mesh,
    gateway: String,
    web: Origin,
}

fn shop(more: &str) -> Shop {
    let (web, port) = (Origin::start("web"), free_port());
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::workload("web-2", "web", web.port, ""),
        yaml::caller("caller", ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
        more.to_owned(),
    ];
    let mesh = Mesh::start(&text.concat());
    let gateway = format!("127.0.0.1:{port}");
    until("it answers", || (get(&gateway, "/", &[]).ok()?.status == 200).then_some(()));
    Shop { mesh, gateway, web }
}

impl Shop {
    /// The Gateway's admin server, and what opens it.
    fn admin(&self) -> (String, String) {
        let admin = self.mesh.proxy("front").unwrap()["admin"].as_str().unwrap().to_owned();
        let token_file = self.mesh.sandbox.processes().into_iter().find_map(|line| {
            let (_, rest) = line.split_once("shop/front ")?;
            Some(format!("{}/admin.token", rest.split_once("--state-dir ")?.1.split(' ').next()?))
        });
        (admin, std::fs::read_to_string(token_file.unwrap()).unwrap())
    }

    fn items(&self, section: &str, name: &str) -> Vec<Value> {
        let list = self.mesh.byrnie(&["proxy-config", section, name, "-o", "json"]).json();
        list["items"].as_array().unwrap().clone()
    }
}

#[test]
fn every_section_of_every_proxy_and_no_key_in_any() {
    let policy = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{to: [{methods: [DELETE]}]}]}
";
    let shop = shop(policy);
    let _open = Connection::open(&shop.gateway).unwrap();
    let listeners = shop.items("listeners", "gateway/front");
    assert!(
        listeners.iter().any(|l| l["entrance"] == "gateway" && l["protocol"] == "HTTP"),
        "{listeners:#?}"
    );
    let routes = shop.items("routes", "front");
    assert_eq!((&routes[0]["match"], &routes[0]["destination"]), (&"/*".into(), &"shop/web:80".into()));
    let endpoints = shop.items("endpoints", "front");
    assert_eq!(endpoints.len(), 2, "{endpoints:#?}");
    assert!(endpoints.iter().all(|e| e["hop"] == "mTLS" && e["status"] == "HEALTHY"), "{endpoints:#?}");
    let pools = shop.items("pools", "gateway/front");
    assert!(pools.iter().any(|pool| pool["connections"].as_u64() > Some(0)), "{pools:#?}");
    let certificates = shop.items("certificates", "web-1");
    let kinds: Vec<&Value> = certificates.iter().map(|c| &c["type"]).collect();
    assert_eq!(kinds, [&Value::from("workload"), &"root".into()]);
    assert!(certificates.iter().all(|c| c["valid"] == true && c["serial"] != ""), "{certificates:#?}");
    let policies = shop.items("policy", "web-1");
    assert!(policies[0]["name"].as_str().unwrap().ends_with("readers") && policies[0]["action"] == "DENY");
    let connections = shop.items("connections", "front");
    assert!(connections.iter().any(|c| c["entrance"] == "gateway"), "{connections:#?}");
    let table = shop.mesh.byrnie(&["proxy-config", "endpoints", "front"]).ok();
    assert!(table.starts_with("ENDPOINT"), "{table}");
    let all = shop.mesh.byrnie(&["proxy-config", "listeners", "-o", "yaml"]).ok();
    for name in ["front", "web-1", "web-2", "caller"] {
        assert!(all.contains(&format!("proxy: {name}\n")), "{all}");
    }
    let refused = shop.mesh.byrnie(&["proxy-config", "routes", "nobody"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("BYR0444"), "{refused:?}");
}

#[test]
fn an_ejected_endpoint_is_shown() {
    let policy = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: shop}
spec: {targetRefs: [{kind: Service, name: web}], outlierEjection: {consecutiveFailures: 2, baseEjection: 60s}}
";
    let shop = shop(policy);
    shop.web.fail(true);
    until("one of two is ejected", || {
        let _ = get(&shop.gateway, "/", &[]);
        let endpoints = shop.items("endpoints", "front");
        endpoints.iter().any(|e| e["status"] == "EJECTED" && e["outlierCheck"] == "FAILED").then_some(())
    });
}

/// A sum over the items.
fn sum(items: &[Value], field: &str) -> u64 {
    items.iter().map(|item| item[field].as_u64().unwrap()).sum()
}

/// Requests that are answered once the application is told to let go.
fn waiting(address: &str, count: usize) -> Vec<TcpStream> {
    let ask = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    };
    (0..count).map(ask).collect()
}

#[test]
fn pools_show_what_is_under_way() {
    let plain = Origin::start("plain");
    let more = [
        yaml::workload("plain-1", "plain", plain.port, "proxy: none"),
        yaml::service("plain", "http"),
        yaml::policy("TrafficPolicy", "plain", "{kind: Service, name: plain}", "limits: {maxConnections: 1}"),
    ];
    let shop = shop(&more.concat());
    let numbers = |proxy: &str, service: &str| {
        let mut pools = shop.items("pools", proxy);
        pools.retain(|pool| pool["cluster"] == service);
        ["connections", "inFlight", "pending"].map(|field| sum(&pools, field))
    };
    let total = |field: &str| {
        let list = shop.mesh.byrnie(&["proxy-status", "front", "-o", "json"]).json();
        list["items"][0]["pools"][field].as_u64().unwrap()
    };
    let open = waiting(&shop.gateway, 5);
    until("the gateway has five under way", || {
        (numbers("gateway/front", "shop/web:80")[1] == 5).then_some(())
    });
    // Over HTTP/2 they share the connections to two peers; to each application HTTP/1 has one for each.
    assert!((1..=2).contains(&numbers("gateway/front", "shop/web:80")[0]));
    until("and so have the servers, together", || {
        let servers = ["web-1", "web-2"].map(|name| shop.items("pools", name)).concat();
        (sum(&servers, "inFlight") == 5 && sum(&servers, "connections") >= 5).then_some(())
    });
    until("and it is reported", || (total("inFlight") == 5).then_some(()));
    let wide = shop.mesh.byrnie(&["proxy-status", "front", "-o", "wide"]).ok();
    assert!(wide.contains("IN_FLIGHT"), "{wide}");
    shop.web.let_go();
    until("they are over", || (numbers("gateway/front", "shop/web:80")[1] == 0).then_some(()));
    until("and that is reported", || (total("inFlight") == 0).then_some(()));
    // One connection is allowed, so the others wait.
    drop(open);
    let address = shop.mesh.upstream("caller", "plain");
    until("it is known", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    let open = waiting(&address, 3);
    // Who waits is in flight, too: the balancer has chosen its endpoint.
    until("one has it and two wait", || (numbers("caller", "shop/plain:80") == [1, 3, 2]).then_some(()));
    plain.let_go();
    until("nobody waits", || (numbers("caller", "shop/plain:80")[1..] == [0, 0]).then_some(()));
    drop(open);
}

#[test]
fn settings_for_what_comes_in_are_shown_with_their_origin() {
    let policy = |name: &str, target: &str, inbound: &str| {
        yaml::policy("TrafficPolicy", name, &format!("{{{target}}}"), &format!("inbound: {{{inbound}}}"))
    };
    let more = [
        yaml::settings("proxy: {maxHeaders: 90}"),
        policy("edge", "kind: Gateway, name: front", "trustedHops: 1"),
        policy("own", "kind: Workload, name: web-1", "headerTimeout: 90s, proxyProtocol: {send: v1}"),
        policy("calls", "kind: Service, name: web", "maxHeaders: 40"),
    ];
    let shop = shop(&more.concat());
    let has = |proxy: &str, at: &str, field: &str, value: &str, origin: &str| {
        until(&format!("{field} at {at} of {proxy}"), || {
            let items = shop.items("settings", proxy);
            let item = items.iter().find(|item| item["at"] == at && item["field"] == field)?;
            (item["value"] == value && item["origin"] == origin).then_some(())
        });
    };
    has("gateway/front", "proxy", "trustedHops", "1", "TrafficPolicy shop/edge (Gateway shop/front)");
    has("gateway/front", "proxy", "maxHeaders", "90", "Mesh default spec.proxy.maxHeaders");
    has("gateway/front", "proxy", "allowConnect", "false", "default");
    let own = "TrafficPolicy shop/own (Workload shop/web-1)";
    has("web-1", "proxy", "headerTimeout", "1m30s", own);
    has("web-1", "proxy", "proxyProtocol.send", "v1", own);
    let port = format!("port {}", shop.web.port);
    has("web-1", &port, "maxHeaders", "40", "TrafficPolicy shop/calls (Service shop/web)");
    let table = shop.mesh.byrnie(&["proxy-config", "settings", "web-1"]).ok();
    assert!(table.starts_with("AT ") && table.contains(own), "{table}");
    // The same words of what would happen to a request, and of the objects.
    let why = shop.mesh.byrnie(&["why", "front", "web", "-n", "shop"]).ok();
    let line = |place: &str| {
        let found = why.lines().find(|line| line.contains("inbound") && line.contains(place));
        found.unwrap_or_else(|| panic!("{place}: {why}")).to_owned()
    };
    assert!(
        line("Gateway shop/front:").contains("trustedHops 1 (TrafficPolicy shop/edge (Gateway shop/front))")
    );
    assert!(line("Gateway shop/front:").contains("maxHeaders 90 (Mesh default spec.proxy.maxHeaders)"));
    assert!(line("shop/web-1 port").contains(&format!("headerTimeout 1m30s ({own})")), "{why}");
    assert!(line("shop/web-2 port").contains("maxHeaders 40 (TrafficPolicy shop/calls (Service shop/web))"));
    let described = shop.mesh.byrnie(&["describe", "workload", "web-1", "-n", "shop"]).ok();
    let row = described.lines().find(|line| line.contains("proxy.headerTimeout")).unwrap().to_owned();
    assert!(row.contains("1m30s") && row.ends_with(own), "{row}");
    let (_, of_port) = described.split_once(&format!("Effective values of {port}:")).unwrap();
    assert!(of_port.contains("proxy.maxHeaders") && of_port.contains("shop/calls"), "{described}");
}

/// Status and body of a request as it stands here.
fn raw(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Bug class 45 of reliability.md.
#[test]
fn the_admin_server_tells_its_secrets_to_nobody() {
    let shop = shop("");
    let (admin, token) = shop.admin();
    for path in ["/metrics", "/ready", "/live"] {
        assert_eq!(get(&admin, path, &[]).unwrap().status, 200, "{path}");
    }
    let ask = |method: &str, path: &str, host: &str, token: &str| {
        let token = if token.is_empty() { String::new() } else { format!("byrnie-admin-token: {token}\r\n") };
        raw(&admin, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}Connection: close\r\n\r\n"))
    };
    let paths = [
        "/config",
        "/config/endpoints",
        "/config/settings",
        "/connections",
        "/log-level",
        "/profile/cpu",
        "/profile/heap",
        "/profile/threads",
        "/profile/memory",
        "/shutdown",
        "/",
    ];
    for path in paths {
        // What an application can be made to fetch (SSRF) has no token.
        assert_eq!(ask("GET", path, "127.0.0.1", "").0, 401, "{path}");
        assert_eq!(ask("GET", path, "localhost:1", &"0".repeat(64)).0, 401, "{path}");
        // What a page can be made to fetch (DNS rebinding) has another Host.
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", ""] {
            assert_eq!(ask("GET", path, host, &token).0, 403, "{path} {host}");
        }
    }
    let (status, dump) = ask("GET", "/config", "127.0.0.1", &token);
    assert_eq!(status, 200);
    let parsed: Value = serde_json::from_str(&dump).unwrap();
    assert!(parsed["endpoints"].as_array().is_some_and(|endpoints| endpoints.len() == 2), "{dump}");
    for secret in ["PRIVATE", "pkcs8", "key\"", token.as_str(), "MIG", "MHc"] {
        assert!(!dump.contains(secret), "{secret} in {dump}");
    }
    assert_eq!(ask("GET", "/config/nothing", "localhost", &token).0, 404);
    assert_eq!(ask("POST", "/config", "localhost", &token).0, 405);
    assert!(ask("GET", "/profile/memory", "[::1]:1", &token).1.contains("Rss"));
    assert!(ask("GET", "/profile/threads?seconds=1", "localhost", &token).1.contains("worker-0"));
    assert_eq!(ask("GET", "/log-level", "localhost", &token).1, "info\n");
    let put = format!(
        "PUT /log-level HTTP/1.1\r\nHost: localhost\r\nbyrnie-admin-token: {token}\r\nContent-Length: 5\r\n\
         Connection: close\r\n\r\ndebug"
    );
    assert_eq!(raw(&admin, &put), (200, "debug\n".to_owned()));
    assert_eq!(raw(&admin, &put.replace("\r\n\r\ndebug", "\r\n\r\n=,=,=")).0, 400);
}

#[test]
fn a_busy_proxy_says_where_its_time_and_memory_go() {
    let shop = shop("");
    let (admin, token) = shop.admin();
    let profile = |what: &str| {
        let head = format!("GET /profile/{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        raw(&admin, &format!("{head}byrnie-admin-token: {token}\r\n\r\n"))
    };
    let load = Load::start(&shop.gateway, "/", 2);
    let folded = until("samples of a worker", || {
        let (status, folded) = profile("cpu?seconds=1");
        assert_eq!(status, 200);
        folded.contains("worker-0;").then_some(folded)
    });
    for line in folded.lines() {
        let (stack, count) = line.rsplit_once(' ').unwrap();
        assert!(stack.contains(';') && count.parse::<u64>().unwrap() > 0, "{line}");
    }
    assert!(folded.contains("byrnie_proxy::"), "functions have names: {folded:.2000}");
    // One at a time: of two that meet one is refused.
    let folded = until("one is taken and another one refused", || {
        let mut both = std::thread::scope(|scope| {
            [0, 1].map(|_| scope.spawn(|| profile("heap?seconds=2"))).map(|one| one.join().unwrap())
        });
        both.sort();
        let [(200, folded), (409, _)] = both else { return None };
        Some(folded)
    });
    assert!(folded.lines().all(|line| line.starts_with("heap;")), "{folded:.2000}");
    // Traffic goes on meanwhile.
    load.stop_unharmed();
}
