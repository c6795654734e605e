//! The examples of the Gateway API's guides, each a file that is applied as it is, and asked as its guide says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::{Bytes, Echo, Mesh, Origin, Response, free_port, get, skip, until};

macro_rules! guide {
    ($name:literal) => {
        include_str!(concat!("guides/", $name, ".yaml"))
    };
}

const GRPC_SERVER: &str = include_str!("clients/grpc_server.py");

/// The Services of `base.yaml` behind one Gateway.
struct Guide {
    mesh: Mesh,
    address: String,
    ports: BTreeMap<&'static str, u16>,
    v1: Origin,
    v2: Origin,
    _store: Origin,
}

impl Guide {
    fn start() -> Self {
        let (v1, v2, store) = (Origin::start("v1"), Origin::start("v2"), Origin::start("store"));
        let port = free_port();
        let ports: BTreeMap<&'static str, u16> =
            [("PORT", port), ("V1", v1.port), ("V2", v2.port), ("STORE", store.port)].into();
        let mesh = Mesh::start(&filled(guide!("base"), &ports));
        Self { mesh, address: format!("127.0.0.1:{port}"), ports, v1, v2, _store: store }
    }

    /// Applies a file; it is obeyed when this returns.
    fn apply(&self, file: &str) -> &Self {
        self.mesh.apply(&filled(file, &self.ports));
        self
    }

    fn with(mut self, name: &'static str, port: u16) -> Self {
        self.ports.insert(name, port);
        self
    }

    fn get(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        ask(&self.address, host, path, headers)
    }

    /// Who answers.
    fn who(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> String {
        who(&self.get(host, path, headers))
    }

    /// `Accepted=True/Accepted` and so on, of a route towards its first parent, observed at its generation: proxies may
    /// obey before the status is written.
    fn parent(&self, kind: &str, name: &str, namespace: &str) -> Vec<String> {
        let conditions = until("its status is that of its generation", || {
            let object = self.mesh.byrnie(&["get", kind, name, "-n", namespace, "-o", "json"]).json();
            let conditions = object["status"]["parents"][0]["conditions"].as_array()?.clone();
            let generation = &object["metadata"]["generation"];
            conditions.iter().all(|c| c["observedGeneration"] == *generation).then_some(conditions)
        });
        let text = |c: &serde_json::Value, field: &str| c[field].as_str().unwrap().to_owned();
        conditions
            .iter()
            .map(|c| format!("{}={}/{}", text(c, "type"), text(c, "status"), text(c, "reason")))
            .collect()
    }
}

fn filled(text: &str, ports: &BTreeMap<&'static str, u16>) -> String {
    // The longer name first: `$V1` must not end as `$V` and 1.
    let mut names: Vec<_> = ports.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names
        .iter()
        .fold(text.to_owned(), |text, (name, port)| text.replace(&format!("${name}"), &port.to_string()))
}

fn ask(address: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut all = vec![("Host", host)];
    all.extend(headers);
    // 503 while a proxy that has just started is on its way to its endpoints.
    until("an answer other than 503", || get(address, path, &all).ok().filter(|answer| answer.status != 503))
}

fn who(answer: &Response) -> String {
    match answer.status {
        200 => answer.body.split(' ').next().unwrap().to_owned(),
        status => status.to_string(),
    }
}

#[test]
fn simple_gateway_and_http_routing() {
    let guide = Guide::start();
    assert_eq!(guide.who("any.host", "/", &[]), "404");
    guide.apply(guide!("simple-gateway"));
    assert_eq!(guide.who("any.host", "/any", &[]), "v1");
    assert_eq!(
        guide.parent("httproute", "foo", "default"),
        ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"]
    );
    guide.apply(guide!("http-routing"));
    for (host, path, headers, wanted) in [
        ("foo.example.com", "/login", &[][..], "v1"),
        ("foo.example.com", "/login/deep", &[], "v1"),
        ("FOO.example.com.:80", "/login", &[], "v1"),
        ("foo.example.com", "/logins", &[], "404"),
        ("foo.example.com", "/", &[], "404"),
        ("bar.example.com", "/", &[], "v1"),
        ("bar.example.com", "/", &[("env", "canary")], "v2"),
        ("bar.example.com", "/", &[("Env", "canary")], "v2"),
        ("bar.example.com", "/", &[("env", "Canary")], "v1"),
        ("baz.example.com", "/login", &[], "404"),
    ] {
        assert_eq!(guide.who(host, path, headers), wanted, "{host} {path} {headers:?}");
    }
}

#[test]
fn redirects_rewrites_and_header_modifiers() {
    let guide = Guide::start();
    guide.apply(guide!("redirects-and-rewrites"));
    let port = guide.ports["PORT"];
    for (path, status, location) in [
        ("/cayenne/teaspoon?x=1", 302, format!("http://redirect.example:{port}/paprika?x=1")),
        ("/old/a", 308, format!("http://redirect.example:{port}/new/a")),
        ("/else", 301, "https://redirect.example/else".to_owned()),
    ] {
        let answer = guide.get("redirect.example", path, &[]);
        assert_eq!((answer.status, answer.header("location")), (status, Some(location.as_str())), "{path}");
    }
    let answer = guide.get("rewrite.example", "/one/more?x=1", &[]);
    assert!(answer.body.starts_with("v1 GET /two/more?x=1\n"), "{answer:?}");
    assert!(answer.body.to_lowercase().contains("host: elsewhere.example\n"), "{answer:?}");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = guide.get("rewrite.example", "/each/a", &[]);
        seen.insert(answer.body.lines().next().unwrap().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["v1 GET /of-v1", "v2 GET /of-v2/a"]);

    guide.apply(guide!("header-modifiers"));
    let answer = guide.get("any", "/", &[("my-header", "own"), ("my-set", "own"), ("x-request", "1")]);
    let mut said: Vec<&str> =
        answer.body.lines().filter(|l| l.starts_with("my-") || l.starts_with("x-request")).collect();
    said.sort();
    assert!(answer.body.contains("backend: v1\n"), "{answer:?}");
    assert_eq!(answer.header("x-header-add"), Some("added"));
    assert!(said.contains(&"my-set: bar") && !said.iter().any(|l| l.starts_with("x-request")), "{said:?}");
    assert!(said.join(",").contains("own") && said.join(",").contains("foo"), "{said:?}");
}

#[test]
fn traffic_splitting_blue_green_and_segmentation() {
    let guide = Guide::start();
    guide.apply(guide!("traffic-splitting"));
    let shares = |headers: &[(&str, &str)]| {
        let answers: Vec<String> = (0..200).map(|_| guide.who("any", "/", headers)).collect();
        assert!(answers.iter().all(|who| who == "v1" || who == "v2"), "{answers:?}");
        answers.iter().filter(|who| *who == "v2").count()
    };
    let canary = shares(&[]);
    assert!((16..=24).contains(&canary), "{canary} of 200");
    assert_eq!(shares(&[("traffic", "test")]), 200);
    guide.apply(guide!("blue-green"));
    assert_eq!(shares(&[]), 200);
    guide.apply(guide!("segmentation"));
    for (cookie, wanted) in
        [("group=b", "v2"), ("id=7; group=b; x=y", "v2"), ("group=a", "v1"), ("xgroup=b", "v1"), ("", "v1")]
    {
        for _ in 0..5 {
            assert_eq!(guide.who("any", "/", &[("Cookie", cookie)]), wanted, "{cookie}");
        }
    }
    let subset = guide.mesh.byrnie(&["get", "servicesubset", "web-b", "-n", "default", "-o", "json"]).json();
    assert_eq!(subset["status"]["conditions"][0]["status"], "True");
}

#[test]
fn multiple_services_and_cross_namespace_routing() {
    let guide = Guide::start().with("SHARED", free_port());
    guide.apply(guide!("multiple-services"));
    for (path, wanted) in
        [("/v1", "v1"), ("/v2/x", "v2"), ("/missing", "500"), ("/nothing", "500"), ("/other", "404")]
    {
        assert_eq!(guide.who("any", path, &[]), wanted, "{path}");
    }
    let said = guide.parent("httproute", "foo", "default");
    assert_eq!(said, ["Accepted=True/Accepted", "ResolvedRefs=False/BackendNotFound"]);

    guide.apply(guide!("cross-namespace"));
    let shared = format!("127.0.0.1:{}", guide.ports["SHARED"]);
    until("the Gateway listens", || get(&shared, "/", &[]).ok());
    // The grant is for store only; the route that was not let in is nowhere.
    for (path, wanted) in [("/store", "store"), ("/web", "500"), ("/backend", "404")] {
        assert_eq!(who(&ask(&shared, "any", path, &[])), wanted, "{path}");
    }
    let said = guide.parent("httproute", "store", "site-ns");
    assert_eq!(said, ["Accepted=True/Accepted", "ResolvedRefs=False/RefNotPermitted"]);
    let said = guide.parent("httproute", "not-let-in", "backend");
    assert_eq!(said[0], "Accepted=False/NotAllowedByListeners");
    guide.mesh.byrnie(&["delete", "referencegrant", "site", "-n", "backend"]).ok();
    until("the grant is gone", || (who(&ask(&shared, "any", "/store", &[])) == "500").then_some(()));
}

#[test]
fn a_listener_set_adds_a_port_to_a_gateway() {
    let guide = Guide::start().with("EXTRA", free_port());
    guide.apply(guide!("simple-gateway"));
    guide.apply(guide!("listener-set"));
    let extra = format!("127.0.0.1:{}", guide.ports["EXTRA"]);
    until("the added listener listens", || get(&extra, "/", &[]).ok());
    assert_eq!(who(&ask(&extra, "any", "/", &[])), "store");
    assert_eq!(guide.who("any", "/", &[]), "v1", "the Gateway's own listener has its own routes");
    until("its status counts its route", || {
        let set = guide.mesh.byrnie(&["get", "listenerset", "team", "-n", "backend", "-o", "json"]).json();
        (set["status"]["listeners"][0]["attachedRoutes"] == 1).then_some(())
    });
    guide.mesh.byrnie(&["delete", "listenerset", "team", "-n", "backend"]).ok();
    until("its port is closed", || get(&extra, "/", &[]).is_err().then_some(()));
}

#[test]
fn listeners_are_isolated_and_odd_routes_do_as_the_standard_asks() {
    let guide = Guide::start().with("EDGE", free_port());
    guide.apply(guide!("listener-isolation"));
    let edge = format!("127.0.0.1:{}", guide.ports["EDGE"]);
    until("it listens", || get(&edge, "/", &[]).ok());
    let hosts = [
        ("bar.com", "/empty"),
        ("bar.example.com", "/wild"),
        ("bar.foo.example.com", "/foo"),
        ("abc.foo.example.com", "/abc"),
    ];
    for (host, own) in hosts {
        for (_, path) in hosts {
            let wanted = if path == own { "v1" } else { "404" };
            assert_eq!(who(&ask(&edge, host, path, &[])), wanted, "{host} {path}");
        }
    }
    for (host, path, headers, wanted) in [
        ("odd.org", "/first", &[("version", "one")][..], "v1"),
        ("odd.org", "/first", &[("version", "two")], "404"),
        ("a.odd.org", "/color", &[("Color", "red")], "v2"),
        ("b.a.odd.org", "/color", &[("color", "black")], "v2"),
        ("ODD.ORG.:80", "/color", &[("color", "blue")], "v2"),
        ("odd.org", "/color", &[("color", "blueish")], "404"),
        ("odd.org", "/?animal=whale&animal=fish", &[], "v1"),
        ("odd.org", "/?animal=wh%61le", &[], "v1"),
        ("odd.org", "/?animal=fish&animal=whale", &[], "404"),
        ("odd.org", "/securely", &[], "404"),
    ] {
        assert_eq!(who(&ask(&edge, host, path, headers)), wanted, "{host} {path} {headers:?}");
    }
    let moved = ask(&edge, "odd.org", "/secure/a?x=1", &[]);
    assert_eq!((moved.status, moved.header("location")), (308, Some("https://odd.org/a?x=1")));
    let added = ask(&edge, "odd.org", "/add", &[("x-gone", "1"), ("x-add", "zero")]).body;
    assert!(added.contains("x-add: zero\n") && added.contains("x-add: one\n"), "{added}");
    assert!(!added.contains("two") && !added.contains("x-gone"), "{added}");
    let route = guide.mesh.byrnie(&["get", "httproute", "odd", "-n", "default", "-o", "json"]).json();
    let said: Vec<String> = route["status"]["parents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parent| {
            let accepted = &parent["conditions"][0];
            assert_eq!(accepted["type"], "Accepted");
            format!("{} {}", parent["parentRef"]["name"], accepted["reason"]).replace('"', "")
        })
        .collect();
    let wanted = [
        "isolated Accepted",
        "isolated NoMatchingParent",
        "isolated NoMatchingParent",
        "missing NoMatchingParent",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn timeouts_retries_and_cors() {
    let guide = Guide::start();
    guide.apply(guide!("timeouts-and-retries"));
    assert_eq!(guide.who("any", "/retry", &[]).len(), 2);
    let answer = get(&guide.address, "/hang", &[("Host", "any")]).unwrap();
    assert_eq!(answer.status, 504, "{answer:?}");
    guide.v2.fail(true);
    for _ in 0..20 {
        // Where one of two answers 503, another try finds the other.
        let answer = get(&guide.address, "/retry", &[("Host", "any")]).unwrap();
        assert_eq!((answer.status, who(&answer).as_str()), (200, "v1"));
    }
    assert_eq!(get(&guide.address, "/once", &[("Host", "any")]).unwrap().status, 503);
    guide.v2.fail(false);
    let _ = &guide.v1;

    guide.apply(guide!("cors"));
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("curl is not installed");
    }
    let curl = |args: &[&str]| {
        let url = format!("http://{}/", guide.address);
        let mut all = vec!["-sS", "-i", "--max-time", "10", &url];
        all.extend(args);
        let output = Command::new("curl").args(all).output().unwrap();
        String::from_utf8(output.stdout).unwrap().to_lowercase()
    };
    let asks = ["-H", "Access-Control-Request-Method: PUT", "-H", "Access-Control-Request-Headers: x-token"];
    let mut preflight = vec!["-X", "OPTIONS", "-H", "Origin: https://a.bar.com"];
    preflight.extend(asks);
    let answer = curl(&preflight);
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    for line in [
        "access-control-allow-origin: https://a.bar.com\r\n",
        "access-control-allow-methods: get, put\r\n",
        "access-control-allow-headers: x-token\r\n",
        "access-control-allow-credentials: true\r\n",
        "access-control-max-age: 1728\r\n",
    ] {
        assert!(answer.contains(line), "{line} {answer}");
    }
    preflight[3] = "Origin: https://evil.com";
    assert!(
        !curl(&preflight).contains("access-control-allow"),
        "an origin that is not allowed is told nothing"
    );
    let answer = curl(&["-H", "Origin: https://www.foo.com"]);
    assert!(answer.contains("access-control-allow-origin: https://www.foo.com\r\n"), "{answer}");
    assert!(
        answer.contains("access-control-expose-headers: x-total\r\n") && answer.contains("v1 get /"),
        "{answer}"
    );
}

/// Counts the requests that it answers with 500.
fn shadow() -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
    let shared = Arc::clone(&count);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let count = Arc::clone(&shared);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        count.fetch_add(1, Ordering::Relaxed);
                        head.clear();
                        let _ = stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
                    }
                }
            });
        }
    });
    (port, count)
}

#[test]
fn mirroring_copies_and_does_nothing_else() {
    let (port, copies) = shadow();
    let guide = Guide::start().with("V2", port);
    guide.apply(guide!("base")).apply(guide!("mirroring"));
    for _ in 0..50 {
        assert_eq!(guide.who("any", "/all", &[]), "v1");
    }
    until("each was copied once", || (copies.load(Ordering::Relaxed) == 50).then_some(()));
    for _ in 0..200 {
        assert_eq!(guide.who("any", "/some", &[]), "v1");
    }
    until("about a tenth was copied", || {
        let more = copies.load(Ordering::Relaxed) - 50;
        // A binomial's deviation is 4.2: five of them.
        assert!(more <= 41, "{more}");
        (more >= 4).then_some(())
    });
}

#[test]
fn tcp_routes_by_listener_and_weight() {
    let (one, two) = (Echo::start("one\r\n"), Echo::start("two\r\n"));
    let guide = Guide::start()
        .with("ONE", one.port)
        .with("TWO", two.port)
        .with("FOO", free_port())
        .with("BAR", free_port());
    guide.apply(guide!("tcp"));
    let banner = |listener: &str| {
        let address = format!("127.0.0.1:{}", guide.ports[listener]);
        until("the banner comes", || Bytes::try_open(&address).ok()?.receive(5).ok())
    };
    (0..5).for_each(|_| assert_eq!(banner("FOO"), "one\r\n"));
    let twos = (0..40).filter(|_| banner("BAR") == "two\r\n").count();
    assert!((8..=12).contains(&twos), "{twos} of 40, a quarter is meant");
}

#[test]
fn tls_goes_through_by_name_and_nothing_is_served_in_plaintext_instead() {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        return skip("openssl is not installed");
    }
    let (a, b) = (TlsServer::start("a"), TlsServer::start("b"));
    let guide = Guide::start()
        .with("A", a.port)
        .with("B", b.port)
        .with("EDGE", free_port())
        .with("HTTPS", free_port());
    guide.apply(guide!("tls"));
    let edge = guide.ports["EDGE"];
    let subject = |name: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{edge}"), "-servername", name])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).replace(' ', "");
        ["a", "b"].into_iter().find(|cn| text.contains(&format!("subject=CN={cn}\n")))
    };
    until("the name leads to a", || (subject("a.example.com") == Some("a")).then_some(()));
    for (name, wanted) in [
        ("a.example.com", Some("a")),
        ("A.Example.com", Some("a")),
        ("other.example.com", Some("b")),
        ("deep.er.example.com", Some("b")),
        ("example.com", None),
        // Its listener has no route, and no other listener's route may take it.
        ("own.example.com", None),
    ] {
        assert_eq!(subject(name), wanted, "{name}");
    }
    // Who speaks no TLS is served nothing; the listener that would end TLS is not opened.
    assert!(get(&format!("127.0.0.1:{edge}"), "/", &[]).is_err());
    assert!(get(&format!("127.0.0.1:{}", guide.ports["HTTPS"]), "/", &[]).is_err());
    let gateway = guide.mesh.byrnie(&["get", "gateway", "edge", "-n", "default", "-o", "json"]).json();
    let said = &gateway["status"]["listeners"][2]["conditions"][0];
    assert_eq!((&said["status"], &said["reason"]), (&"False".into(), &"UnsupportedProtocol".into()));
    assert_eq!(guide.parent("tlsroute", "a", "default")[0], "Accepted=True/Accepted");
}

/// `openssl s_server` with a certificate for CN.
struct TlsServer {
    port: u16,
    child: std::process::Child,
    _files: tempfile::TempDir,
}

impl TlsServer {
    fn start(name: &str) -> Self {
        let (files, port) = (tempfile::tempdir().unwrap(), free_port());
        let path = |end: &str| files.path().join(end).display().to_string();
        let (key, certificate) = (path("key.pem"), path("cert.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &certificate])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let child = Command::new("openssl")
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-quiet"])
            .args(["-key", &key, "-cert", &certificate, "-www"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { port, child, _files: files };
        until("openssl listens", || Bytes::try_open(&format!("127.0.0.1:{port}")).ok());
        server
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn grpc_routes_by_service_method_and_header() {
    let mut python = Command::new("python3");
    if !python.args(["-c", "import grpc"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    {
        return skip("python3 has no module grpc");
    }
    let guide = Guide::start().with("TALK", free_port());
    let talk = guide.ports["TALK"];
    let mut server = Command::new("python3").args(["-c", GRPC_SERVER, &talk.to_string()]).spawn().unwrap();
    until("the server listens", || Bytes::try_open(&format!("127.0.0.1:{talk}")).ok());
    guide.apply(guide!("grpc"));
    let script = r#"
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.default_authority", sys.argv[2])])
call = channel.unary_unary("/test.Talk/" + sys.argv[3])
try:
    answer, context = call.with_call(b"hi", timeout=10, wait_for_ready=True, metadata=[tuple(m.split("=")) for m in sys.argv[4:]])
    print("ok", dict(context.initial_metadata()).get("x-rule"))
except grpc.RpcError as error:
    print(error.code().name)
"#;
    let call = |host: &str, method: &str, metadata: &[&str]| {
        let mut args = vec!["-c", script, &guide.address, host, method];
        args.extend(metadata);
        let output = Command::new("python3").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    until("a call is answered", || (call("talk.example.com", "Unary", &[]) == "ok talk").then_some(()));
    for (host, method, metadata, wanted) in [
        ("talk.example.com", "Missing", &["magic=foo"][..], "NOT_FOUND"),
        ("talk.example.com", "Missing", &[], "UNIMPLEMENTED"),
        ("talk.example.com", "Missing", &["magic=bar"], "UNIMPLEMENTED"),
        ("other.example.com", "Unary", &[], "UNIMPLEMENTED"),
    ] {
        assert_eq!(call(host, method, metadata), wanted, "{host} {method} {metadata:?}");
    }
    let _ = server.kill();
    let _ = server.wait();
}

#[test]
fn mesh_routes_of_producer_and_consumer() {
    let guide = Guide::start();
    guide.apply(guide!("mesh"));
    let caller = guide.mesh.upstream("caller", "web");
    let mut seen = std::collections::BTreeSet::new();
    for host in ["web", "store.backend", "ignored.example.com"] {
        // What was dialed decides, not the host.
        seen.extend((0..8).map(|_| who(&ask(&caller, host, "/split", &[]))));
        assert_eq!(who(&ask(&caller, host, "/store", &[])), "store", "no grant is needed within the mesh");
        assert_eq!(who(&ask(&caller, host, "/mine", &[])), "404", "what no route takes is refused");
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["v1", "v2"]);
    let consumer = until("the consumer has an address", || {
        let workload = guide.mesh.byrnie(&["get", "workload", "consumer", "-n", "client", "-o", "json"]);
        workload.json()["status"]["upstreams"][0]["address"].as_str().map(str::to_owned)
    });
    assert_eq!(who(&ask(&consumer, "web", "/mine", &[])), "v2");
    assert_eq!(who(&ask(&consumer, "web", "/split", &[])), "404", "its own routes replace the producer's");
}

#[test]
fn one_request_goes_elsewhere_for_who_may() {
    let guide = Guide::start();
    guide.apply(guide!("simple-gateway")).apply(guide!("override"));
    let (tester, caller) = (guide.mesh.upstream("tester", "web-v1"), guide.mesh.upstream("caller", "web-v1"));
    let wish = |address: &str, to: &str| ask(address, "web-v1", "/", &[("byrnie-override", to)]);
    for to in ["web-v2", "default/web-v2", "web-v2:80", "default/web-v2:80"] {
        let answer = wish(&tester, to);
        assert_eq!(who(&answer), "v2", "{to}");
        assert!(!answer.body.contains("byrnie-"), "the application sees nothing of it: {answer:?}");
        // Nobody else's wish is heard, and nobody's from outside.
        for other in [&caller, &guide.address] {
            let answer = wish(other, to);
            assert_eq!(who(&answer), "v1", "{to}");
            assert!(!answer.body.contains("byrnie-"), "{answer:?}");
        }
    }
    assert_eq!(who(&ask(&tester, "web-v1", "/", &[])), "v1", "only who asks for it");
    for to in ["web", "store", "backend/store", "web-v2:81", ""] {
        assert_eq!(who(&wish(&tester, to)), "404", "{to:?} is not offered, and goes nowhere else");
    }
    // The policy is for one Service: elsewhere the header is only removed.
    let other = guide.mesh.upstream("tester", "web");
    assert!(["v1", "v2"].contains(&who(&wish(&other, "store")).as_str()));
    guide.mesh.byrnie(&["delete", "trafficpolicy", "staging", "-n", "default"]).ok();
    until("the right is gone", || (who(&wish(&tester, "web-v2")) == "v1").then_some(()));
}
