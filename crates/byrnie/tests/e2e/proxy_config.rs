//! `byrnie proxy-config`, and who may ask the admin server what.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Connection, Mesh, Origin, free_port, get, until, yaml};

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
    let admin = shop.mesh.proxy("front").unwrap()["admin"].as_str().unwrap().to_owned();
    let token_file = shop.mesh.sandbox.processes().into_iter().find_map(|line| {
        let (_, rest) = line.split_once("shop/front ")?;
        Some(format!("{}/admin.token", rest.split_once("--state-dir ")?.1.split(' ').next()?))
    });
    let token = std::fs::read_to_string(token_file.unwrap()).unwrap();
    for path in ["/metrics", "/ready", "/live"] {
        assert_eq!(get(&admin, path, &[]).unwrap().status, 200, "{path}");
    }
    let ask = |method: &str, path: &str, host: &str, token: &str| {
        let token = if token.is_empty() { String::new() } else { format!("byrnie-admin-token: {token}\r\n") };
        raw(&admin, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}Connection: close\r\n\r\n"))
    };
    let paths =
        ["/config", "/config/endpoints", "/connections", "/log-level", "/profile/heap", "/shutdown", "/"];
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
    assert!(ask("GET", "/profile/heap", "[::1]:1", &token).1.contains("Rss"));
    assert!(ask("GET", "/profile/cpu?seconds=1", "localhost", &token).1.contains("worker-0"));
    assert_eq!(ask("GET", "/log-level", "localhost", &token).1, "info\n");
    let put = format!(
        "PUT /log-level HTTP/1.1\r\nHost: localhost\r\nbyrnie-admin-token: {token}\r\nContent-Length: 5\r\n\
         Connection: close\r\n\r\ndebug"
    );
    assert_eq!(raw(&admin, &put), (200, "debug\n".to_owned()));
    assert_eq!(raw(&admin, &put.replace("\r\n\r\ndebug", "\r\n\r\n=,=,=")).0, 400);
}
