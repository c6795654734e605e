//! What every proxy of HTTP and bytes must let through: any protocol to switch to, connections that say nothing for
//! long, old and odd forms of requests. TLS passed through by name: `guides.rs`; clients of HTTP/1.0 and HTTP/2:
//! `clients.rs`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::harness::{Bytes, Echo, Mesh, Origin, free_port, until, yaml};

/// Agrees to switch to whatever it is asked for, and echoes.
fn agreeable() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let token = head.lines().find_map(|line| line.strip_prefix("upgrade: ").map(str::to_owned));
                let answer = match token {
                    Some(token) => {
                        format!("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {token}\r\n")
                    }
                    None => "200 OK\r\nContent-Length: 0\r\n".to_owned(),
                };
                stream.write_all(format!("HTTP/1.1 {answer}\r\n").as_bytes()).unwrap();
                let mut reader = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut reader, &mut stream);
            });
        }
    });
    port
}

#[test]
fn any_protocol_may_be_switched_to_and_old_forms_are_understood() {
    let (port, web) = (free_port(), Origin::start("web"));
    let text = [
        yaml::workload("any-1", "any", agreeable(), ""),
        yaml::workload("web-1", "web", web.port, ""),
        yaml::caller("a", ""),
        yaml::service("any", "http"),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("any", "front"),
    ];
    let mesh = Mesh::start(&text.concat());
    let (gateway, any) = (format!("127.0.0.1:{port}"), mesh.upstream("a", "any"));
    for address in [&gateway, &any] {
        for token in ["acme/2.1", "tcp", "dns-over-something", "x!#$%&'*+-.^_`|~"] {
            until(token, || {
                let mut client = Bytes::try_open(address).ok()?;
                let ask =
                    format!("GET / HTTP/1.1\r\nHost: any\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n");
                client.send(&ask).ok()?;
                client.receive_line().ok().filter(|line| line.starts_with("HTTP/1.1 101 "))?;
                let mut lines = Vec::new();
                while lines.last().is_none_or(|line| line != "\r\n") {
                    lines.push(client.receive_line().ok()?.to_lowercase());
                }
                assert!(lines.contains(&format!("upgrade: {token}\r\n")), "{lines:?}");
                client.echoes("\u{1}\u{2} whatever is spoken there").ok()
            });
        }
    }
    let web = mesh.upstream("a", "web");
    for (request, seen) in [
        ("GET http://web.shop/x?y HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", "web GET /x?y\n"),
        ("GET /old HTTP/1.0\r\n\r\n", "web GET /old\n"),
    ] {
        let mut client = Bytes::open(&web);
        client.send(request).unwrap();
        let answer = client.rest();
        assert!(
            answer.lines().next().is_some_and(|line| line.contains(" 200 ")) && answer.contains(seen),
            "{request}: {answer}"
        );
    }
}

#[test]
fn a_connection_of_bytes_may_say_nothing_for_long() {
    let (raw, chat, port) = (Echo::start(""), Echo::after_upgrade(), free_port());
    let text = [
        yaml::settings(
            "proxy: {clientIdleTimeout: 500ms, upstreamIdleTimeout: 500ms, headerTimeout: 500ms, peerTimeout: 3s}",
        ),
        yaml::workload("raw-1", "raw", raw.port, ""),
        yaml::workload("chat-1", "chat", chat.port, ""),
        yaml::caller("a", ""),
        yaml::service("raw", "tcp"),
        yaml::service("chat", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("chat", "front"),
    ];
    let mesh = Mesh::start(&text.concat());
    let address = mesh.upstream("a", "raw");
    let mut bytes = until("an echo", || {
        let mut client = Bytes::try_open(&address).ok()?;
        client.echoes("hello").ok().map(|()| client)
    });
    let mut socket = Bytes::upgrade(&mesh.upstream("a", "chat"), "/");
    socket.echoes("hello").unwrap();
    // Longer than every idle limit, and than the time in which a peer is noticed that has vanished. This one has not.
    std::thread::sleep(Duration::from_secs(7));
    bytes.echoes("still there").unwrap();
    socket.echoes("still there").unwrap();
}
