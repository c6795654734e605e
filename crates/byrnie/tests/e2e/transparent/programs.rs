//! Programs that nobody here wrote, unmodified, dialing names and ports that they would dial without a mesh.

use byrnie_testkit::{Expect, can_run, skip, until};

use super::{caller, captured, curl, server, service};

/// A banner of a server that speaks first is through within this time.
const BANNER_MS: f64 = 200.0;

const NGINX: &str = r#"
d=$(mktemp -d)
cat > $d/nginx.conf <<'END'
daemon off; pid nginx.pid; error_log stderr; events {}
http {
  access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server { listen 127.0.0.1:80; location / { return 200 "nginx $request_uri\n"; } }
}
END
exec nginx -e stderr -p $d -c $d/nginx.conf
"#;

const SSHD: &str = "d=$(mktemp -d); ssh-keygen -q -t ed25519 -N '' -f $d/key; \
                    exec /usr/sbin/sshd -D -e -p 2222 -f /dev/null -h $d/key -o PidFile=none";

const BANNER: &str = "
import socket, time
begun = time.time()
with socket.create_connection(('ssh', 22), timeout=10) as connection:
    said = connection.recv(8).decode()
    print(said, (time.time() - begun) * 1000)
";

#[test]
fn nginx_for_curl_wrk_and_h2load() {
    if !can_run(&["nginx", "curl", "wrk", "h2load"]) {
        return;
    }
    // A server that has lost nothing but its privileges still serves port 80.
    let objects = [
        server("web-1", "web", 80, &["sh", "-c", NGINX], "runAs: www-data"),
        caller("caller"),
        service("web", 80, "http"),
    ];
    let ground = captured("", &objects);
    for name in ["web", "web.shop", "web.shop.svc.cluster.local"] {
        ground.expect(&Expect {
            caller: "caller",
            program: &curl(&format!("http://{name}/by-name")),
            prints: "nginx /by-name\n",
            metric: Some((
                "web-1",
                "byrnie_requests_total",
                &[
                    "direction=\"inbound\"",
                    "secured=\"true\"",
                    "peer_id=\"spiffe://cluster.local/ns/shop/sa/caller\"",
                    "code=\"200\"",
                ],
            )),
            logged: Some(("caller", &["/by-name", "shop/web"])),
        });
    }
    let wrk = ground.run("caller", &["wrk", "-t1", "-c8", "-d2s", "http://web/wrk"]).ok();
    assert!(
        wrk.contains("Requests/sec") && !wrk.contains("Non-2xx") && !wrk.contains("Socket errors"),
        "{wrk}"
    );
    let h2load = ground.run("caller", &["h2load", "-n500", "-c4", "-m10", "http://web/h2"]).ok();
    assert!(h2load.contains("500 succeeded, 0 failed"), "{h2load}");
}

#[test]
fn redis_and_nothing_of_it_on_the_wire() {
    if !can_run(&["redis-server", "redis-cli", "redis-benchmark", "tcpdump"]) {
        return;
    }
    let redis = ["redis-server", "--save", "", "--dir", "/tmp", "--loglevel", "warning"];
    let objects = [
        server("cache-1", "cache", 6379, &redis, "runAs: nobody"),
        caller("caller"),
        service("cache", 6379, "tcp"),
    ];
    let ground = captured("", &objects);
    ground.expect(&Expect {
        caller: "caller",
        program: &["redis-cli", "-h", "cache", "ping"],
        prints: "PONG",
        metric: Some((
            "cache-1",
            "byrnie_tcp_connections_total",
            &["direction=\"inbound\"", "secured=\"true\"", "service=\"cache\""],
        )),
        logged: Some(("caller", &["TCP", "shop/cache"])),
    });
    // What one never sees in TLS by chance.
    let secret = "plaintext-that-must-not-be-seen";
    let links = [ground.sniff("caller"), ground.sniff("cache-1")];
    assert_eq!(ground.run("caller", &["redis-cli", "-h", "cache", "set", "key", secret]).ok().trim(), "OK");
    assert_eq!(ground.run("caller", &["redis-cli", "-h", "cache", "get", "key"]).ok().trim(), secret);
    for seen in links.map(byrnie_testkit::Sniff::stop) {
        let has = |part: &[u8]| seen.windows(part.len()).any(|window| window == part);
        assert!(!has(secret.as_bytes()), "the payload is on the wire");
        // Port 15008 in a TCP header, and a record of application data of TLS 1.2 and up.
        assert!(has(&15008_u16.to_be_bytes()) && has(&[0x17, 0x03, 0x03]), "no TLS on the mesh port");
    }
    let bench = ["redis-benchmark", "-h", "cache", "-n", "2000", "-c", "10", "-t", "set,get", "-q"];
    let bench = ground.run("caller", &bench).ok();
    assert_eq!(bench.matches("requests per second").count(), 2, "{bench}");
}

#[test]
fn a_python_grpc_server_and_client() {
    if !can_run(&["python3"]) || !has_python("grpc") {
        return;
    }
    const SERVER: &str = include_str!("../clients/grpc_server.py");
    const CLIENT: &str = include_str!("../clients/grpc_client.py");
    let objects = [
        server("talk-1", "talk", 50051, &["python3", "-c", SERVER, "50051"], ""),
        caller("caller"),
        service("talk", 50051, "grpc"),
    ];
    let ground = captured("", &objects);
    ground.expect(&Expect {
        caller: "caller",
        program: &["python3", "-c", CLIENT, "talk.shop:50051"],
        prints: "all four kinds\n",
        metric: Some(("talk-1", "byrnie_requests_total", &["secured=\"true\"", "grpc_status=\"0\""])),
        logged: Some(("talk-1", &["spiffe://cluster.local/ns/shop/sa/caller"])),
    });
}

#[test]
fn a_websocket_server_from_pypi() {
    if !can_run(&["python3"]) || !has_python("websockets") {
        return;
    }
    const SERVER: &str = include_str!("../clients/ws_server.py");
    const CLIENT: &str = include_str!("../clients/ws_client.py");
    let objects = [
        server("chat-1", "chat", 8765, &["python3", "-c", SERVER, "8765"], ""),
        caller("caller"),
        service("chat", 80, "http"),
    ];
    let ground = captured("", &objects);
    ground.expect(&Expect {
        caller: "caller",
        program: &["python3", "-c", CLIENT, "ws://chat/chat"],
        prints: "text, bytes, ping, close\n",
        ..Expect::default()
    });
}

#[test]
fn openssh_speaks_first() {
    if !can_run(&["sshd", "ssh-keygen", "python3"]) {
        return;
    }
    // Nothing is declared: the port might as well speak HTTP.
    let objects = [
        server("ssh-1", "ssh", 2222, &["sh", "-c", SSHD], "runAs: nobody"),
        caller("caller"),
        service("ssh", 22, ""),
    ];
    let ground = captured("", &objects);
    let banner = || {
        let said = ground.run("caller", &["python3", "-c", BANNER]);
        let (banner, took) = said.out.trim().rsplit_once(' ')?;
        (banner == "SSH-2.0-").then(|| took.parse::<f64>().unwrap())
    };
    until("the server says its banner", banner);
    // The best of some: the machine may be busy with something else.
    let took = (0..8).filter_map(|_| banner()).fold(f64::MAX, f64::min);
    assert!(took < BANNER_MS, "the banner took {took} ms");
}

/// Whether Python has this module; else the test is counted as skipped.
fn has_python(module: &str) -> bool {
    let found = std::process::Command::new("python3").args(["-c", &format!("import {module}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        skip(&format!("python3 has no module {module}"));
    }
    found
}
