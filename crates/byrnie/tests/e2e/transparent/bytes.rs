//! Bytes are bytes, whichever way they come to the proxies: half-closes, resets, refusals, who it was; one suite, two
//! modes. And a server that vanishes from the network.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use byrnie_testkit::{Expect, Ground, Mode, Way, can_run};

use super::{PROGRAM, caller, captured, server, service};
use crate::harness::free_port;

/// A peer that has vanished is noticed within this time.
const VANISHED: Duration = Duration::from_secs(10);

/// Reads until its client has nothing more to say, and only then answers with what it heard; resets whoever says
/// `reset`; repeats whatever begins with `echo`.
const SERVER: &str = "
import socket, struct, sys, threading
def serve(connection):
    heard = connection.recv(4096)
    if heard == b'reset':
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        return connection.close()
    while heard.startswith(b'echo'):
        connection.sendall(heard)
        heard = connection.recv(4096)
    while more := connection.recv(4096):
        heard += more
    connection.sendall(b'after the end: ' + heard)
    connection.close()
with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

/// Says its words one by one, ends its half, and prints what it hears until the end, or how that came.
const CLIENT: &str = "
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as connection:
        connection.sendall(sys.argv[3].encode())
        if sys.argv[3] != 'reset':
            connection.shutdown(socket.SHUT_WR)
        heard = b''
        while more := connection.recv(4096):
            heard += more
        print(heard.decode(), 'and the end')
except ConnectionResetError:
    print('a reset')
";

const DENY: &str = "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: friends, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: bytes}]
  action: DENY
  rules: [{from: [{identities: [\"spiffe://cluster.local/ns/shop/sa/stranger\"]}]}]
";

fn suite(mode: Mode) {
    let port = free_port();
    let command = ["python3", "-c", SERVER, &port.to_string()];
    let objects = [
        server("bytes-1", "bytes", port, &command, ""),
        caller("friend"),
        caller("stranger"),
        service("bytes", 7, "tcp"),
        DENY.to_owned(),
    ];
    let ground = Ground::start(PROGRAM, mode, "", &objects.concat());
    let connections = "byrnie_tcp_connections_total";
    let says = |caller: &str, word: &str, want: &Expect<'_>| {
        let (host, port) = ground.name(caller, "bytes", 7);
        let program = ["python3", "-c", CLIENT, &host, &port.to_string(), word];
        ground.expect(&Expect { caller, program: &program, ..want.clone() });
    };
    says(
        "friend",
        "hello",
        &Expect {
            prints: "after the end: hello and the end",
            metric: Some((
                "bytes-1",
                connections,
                &[
                    "direction=\"inbound\"",
                    "service=\"bytes\"",
                    "secured=\"true\"",
                    "peer_id=\"spiffe://cluster.local/ns/shop/sa/friend\"",
                ],
            )),
            logged: Some((
                "bytes-1",
                &[
                    "TCP",
                    "spiffe://cluster.local/ns/shop/sa/friend",
                    "spiffe://cluster.local/ns/shop/sa/bytes",
                ],
            )),
            ..Expect::default()
        },
    );
    says("friend", "reset", &Expect { prints: "a reset", ..Expect::default() });
    says(
        "stranger",
        "hello",
        &Expect {
            prints: "a reset",
            metric: Some((
                "bytes-1",
                "byrnie_authorization_total",
                &["decision=\"deny\"", "policy=\"shop/friends\""],
            )),
            logged: Some(("bytes-1", &["TCP", "BYR0210", "shop/friends"])),
            ..Expect::default()
        },
    );
}

#[test]
fn explicit() {
    if can_run(&["python3"]) {
        suite(Mode::Explicit);
    }
}

#[test]
fn transparent() {
    if can_run(&["python3"]) {
        suite(Mode::Transparent);
    }
}

/// Holds a connection that works, says so, and says how it ended.
const HOLD: &str = "
import socket
with socket.create_connection(('bytes', 7), timeout=60) as connection:
    connection.sendall(b'echo')
    print(connection.recv(4096).decode(), flush=True)
    try:
        print('ended: %r' % connection.recv(4096))
    except ConnectionResetError:
        print('a reset')
";

#[test]
fn a_server_that_vanishes_is_noticed() {
    if !can_run(&["python3"]) {
        return;
    }
    let command = ["python3", "-c", SERVER, "7"];
    let objects = [server("bytes-1", "bytes", 7, &command, ""), caller("caller"), service("bytes", 7, "tcp")];
    let ground = captured("", &objects);
    ground.expect(&Expect {
        caller: "caller",
        program: &["python3", "-c", CLIENT, "bytes", "7", "hello"],
        prints: "after the end: hello",
        ..Expect::default()
    });
    let mut hold = ground.command("caller", &["python3", "-c", HOLD]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(hold.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "echo");
    let begun = Instant::now();
    let fault = ground.lose("bytes-1", Way::Both);
    assert_eq!(lines.next().unwrap().unwrap(), "a reset");
    let took = begun.elapsed();
    drop(fault);
    assert!(took < VANISHED, "{took:?}");
    assert!(hold.wait().unwrap().success());
}
