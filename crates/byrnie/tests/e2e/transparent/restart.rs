//! The proxies of captured workloads are replaced under load.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use byrnie_testkit::{Expect, can_run};

use super::{caller, captured, curl, server, service, web};

/// Requests over new connections (names asked for anew each time) and over kept ones, and one connection of bytes;
/// until its input ends. It says how many failed, and why.
const LOAD: &str = "
import http.client, socket, sys, threading, time
stop, failures, done = threading.Event(), [], [0]
def new():
    connection = http.client.HTTPConnection('web', 80, timeout=20)
    connection.connect()
    return connection
def ask(keeps):
    kept = None
    while not stop.is_set():
        try:
            connection = kept or new()
            connection.request('GET', '/load', headers={} if keeps else {'connection': 'close'})
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200 and body == b'web-1 /load\\n', (answer.status, body)
            kept = connection if keeps and not answer.will_close else None
            done[0] += 1
        except Exception as error:
            kept = None
            failures.append(repr(error))
        time.sleep(0.02)
threads = [threading.Thread(target=ask, args=(keeps,)) for keeps in (True, True, False, False)]
for thread in threads:
    thread.start()
with socket.create_connection(('echo', 7), timeout=20) as bytes:
    print('ready', flush=True)
    for line in sys.stdin:
        before = done[0]
        while done[0] < before + 40 and not failures:
            time.sleep(0.01)
        bytes.sendall(line.encode())
        said = bytes.makefile().readline()
        print('round' if said == line else 'broken: %r' % said, flush=True)
stop.set()
for thread in threads:
    thread.join()
print(len(failures), 'failed of', done[0], failures[:3], flush=True)
";

const ECHO: &str = "
import socket, threading
def echo(connection):
    while said := connection.recv(4096):
        connection.sendall(said)
with socket.create_server(('127.0.0.1', 7)) as listener:
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
";

/// A program of a workload that is told lines and says lines.
struct Talk(Child, BufReader<std::process::ChildStdout>);

impl Talk {
    fn begin(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self(child, said)
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }

    fn tell(&mut self, line: &str) -> String {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.hear()
    }
}

#[test]
fn swaps_under_load_lose_nothing() {
    if !can_run(&["curl", "python3"]) {
        return;
    }
    let objects = [
        web("web-1", "web", 8080),
        server("echo-1", "echo", 7, &["python3", "-c", ECHO], ""),
        caller("caller"),
        service("web", 80, "http"),
        service("echo", 7, "tcp"),
    ];
    let ground = captured("", &objects);
    let web = Expect {
        caller: "caller",
        program: &curl("http://web/ok"),
        prints: "web-1 /ok",
        ..Expect::default()
    };
    ground.expect(&web);
    let ping = "import socket; s = socket.create_connection(('echo', 7)); s.sendall(b'x'); print(s.recv(1))";
    ground.expect(&Expect { program: &["python3", "-c", ping], prints: "b'x'", ..web.clone() });
    let mut load = Talk::begin(ground.command("caller", &["python3", "-c", LOAD]));
    assert_eq!(load.hear(), "ready\n");
    for round in 0..3 {
        for name in ["caller", "web-1", "echo-1"] {
            let old = ground.proxy_pid(name);
            ground.byrnie(&["restart", &format!("proxy/{name}")]).ok();
            assert_ne!(ground.proxy_pid(name), old, "{name} has another process");
            assert_eq!(load.tell(&format!("{name} {round}")), "round\n", "{name} {round}");
        }
    }
    drop(load.0.stdin.take());
    let said = load.hear();
    assert!(said.starts_with("0 failed of "), "{said}");
    assert!(load.0.wait().unwrap().success());
    assert_eq!(ground.metric("web-1", "byrnie_captured_connections_total", &["direction=\"inbound\""]), 0);
    assert!(!ground.proxy_log("caller").contains("BYR0272"), "the rules were in force all the time");
}
