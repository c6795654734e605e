//! What applications and logs hear of who calls, where the client's address is kept and where it is not.

use byrnie_testkit::{Expect, Ground, Mode, can_run, until};

use super::{PROGRAM, caller, server, service};

/// A server that answers by HTTP and by bytes with the address that it sees; of the family of its address.
const SEEN: &str = "
import http.server, socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = ('seen ' + self.client_address[0] + '.\\n').encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = family
def bytes():
    with socket.create_server((host, port + 1), family=family) as listener:
        while True:
            connection, peer = listener.accept()
            connection.sendall(('seen %s.' % peer[0]).encode())
            connection.close()
threading.Thread(target=bytes, daemon=True).start()
Server((host, port), Handler).serve_forever()
";

const BYTES: &str = "
import socket, sys
with socket.create_connection((sys.argv[1], 81), timeout=10) as connection:
    print(connection.recv(100).decode())
";

/// A Workload that says what it sees, and its Service of two ports.
fn seen(name: &str, host: &str, more: &str) -> String {
    let mut workload = server(name, name, 8080, &["python3", "-c", SEEN, host, "8080"], more);
    workload = workload
        .replace("address: 127.0.0.1", &format!("address: \"{host}\""))
        .replace("{name: main, port: 8080}", "{name: main, port: 8080}, {name: bytes, port: 8081}");
    let bytes = ", {name: bytes, port: 81, targetPort: bytes, appProtocol: tcp}]}";
    workload + &service(name, 80, "http").replace("]}\n", &format!("{bytes}\n"))
}

/// What an application of this name says that it sees, by HTTP and by bytes.
fn said(ground: &Ground, caller: &str, name: &str, want: &str) {
    let url = format!("http://{name}/");
    for program in [&["curl", "-sS", "--fail", "--max-time", "10", &url][..], &["python3", "-c", BYTES, name]]
    {
        ground.expect(&Expect { caller, program, prints: want, ..Expect::default() });
    }
}

#[test]
fn an_application_sees_its_clients() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let objects = [
        seen("four", "127.0.0.1", ""),
        seen("six", "::1", ""),
        seen("never", "127.0.0.1", "originalSource: false"),
        caller("one"),
        caller("two"),
    ];
    let ground = Ground::with_capture(PROGRAM, "originalSource: true", &objects.concat());
    let (one, two) = (ground.address("one"), ground.address("two"));
    // In turns: a connection to the application that shows one of them is not the other's.
    for _ in 0..3 {
        said(&ground, "one", "four", &format!("seen {one}."));
        said(&ground, "two", "four", &format!("seen {two}."));
    }
    // Who takes away the rule that brings its answers back is noticed, and it comes back.
    let gone =
        ground.namespace("four").command("ip").args(["rule", "del", "fwmark", "0x53a"]).status().unwrap();
    assert!(gone.success());
    let restored = "byrnie_capture_rules_restored_total";
    until("it is noticed", || (ground.metric("four", restored, &[]) == 1).then_some(()));
    until("the log says so", || ground.proxy_log("four").contains("BYR0272").then_some(()));
    said(&ground, "one", "four", &format!("seen {one}."));
    said(&ground, "one", "never", "seen 127.0.0.1.");
    // The application's family is the client's only where it was called by IPv6.
    let prefix = "seen fd62:7972:6e69:";
    let six = ground.run("one", &["curl", "-6", "-sS", "--fail", "--max-time", "10", "http://six/"]).ok();
    assert!(six.starts_with(prefix), "{six}");
    let script = BYTES.replace(
        "with socket",
        "sys.argv[1] = socket.getaddrinfo(sys.argv[1], 81, socket.AF_INET6)[0][4][0]\nwith socket",
    );
    let six = ground.run("one", &["python3", "-c", &script, "six"]).ok();
    assert!(six.starts_with(prefix), "{six}");
    said_somehow(&ground);
}

/// Of another family than the application's: it is served all the same.
fn said_somehow(ground: &Ground) {
    let four = ground.run("one", &["curl", "-6", "-sS", "--fail", "--max-time", "10", "http://four/"]).ok();
    assert_eq!(four, "seen 127.0.0.1.\n");
}

#[test]
fn without_it_the_servers_log_names_the_client() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let ground = Ground::start(
        PROGRAM,
        Mode::Transparent,
        "",
        &[seen("four", "127.0.0.1", ""), caller("one")].concat(),
    );
    said(&ground, "one", "four", "seen 127.0.0.1.");
    let client = ground.address("one");
    for (kind, address) in [("GET", format!("{client}\"")), ("TCP", format!("{client}:"))] {
        let names = format!("\"clientAddress\":\"{address}");
        until(&format!("a line of {kind} names it"), || {
            let log = ground.proxy_log("four");
            log.lines().any(|line| line.contains(kind) && line.contains(&names)).then_some(())
        });
    }
}
