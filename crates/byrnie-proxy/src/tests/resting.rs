//! Connections of HTTP/1 on which nothing happens: they keep no codec, and nobody notices.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use byrnie_net::cgroup::Memory;
use byrnie_plan::{MeshSettings, TrafficSettings};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::client::{Client, ask, get, post};
use super::kit::{as_seen, counted, direct, origin, read_head, text};
use super::limits::{gated, with};
use super::upgrades::{ASK, chat};
use crate::tcp::tests::mesh::{application, run, until};
use crate::worker::Worker;

const MIB: u64 = 1 << 20;

/// The watchdog looks every 50 ms.
fn soon() -> MeshSettings {
    MeshSettings { header_timeout: Duration::from_millis(200), ..MeshSettings::default() }
}

fn resting(worker: &Worker) -> i64 {
    worker.process.counters.resting.get()
}

/// A control group of 64 MiB that says what the test wants.
pub(super) struct Group {
    dir: TempDir,
    memory: Memory,
    worker: Rc<Worker>,
}

impl Group {
    pub(super) fn around(worker: &Rc<Worker>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("memory.max"), (64 * MIB).to_string()).unwrap();
        let memory = Memory::of(dir.path()).unwrap();
        worker.process.overload.watch_closely(&memory);
        let group = Self { dir, memory, worker: Rc::clone(worker) };
        group.uses(8);
        group
    }

    fn uses(&self, mib: u64) {
        fs::write(self.dir.path().join("memory.current"), (mib * MIB).to_string()).unwrap();
        self.worker.process.overload.little().unwrap().note(self.memory.read().unwrap());
    }
}

#[test]
fn a_quiet_connection_rests_and_goes_on_as_before() {
    run(async {
        let (worker, address) = direct(TrafficSettings::default(), &[origin(as_seen).await]).await;
        with(&worker, soon());
        let mut client = Client::to(address).await;
        for round in 0..3 {
            let answer = client.ask(post("/a", "body")).await;
            assert!(answer.text().ends_with("body"), "round {round}: {}", answer.text());
            until("it rests", || resting(&worker) == 1).await;
        }
        // In pieces, and more than one.
        let (first, second) = (get("/b"), get("/c"));
        let (begin, end) = first.split_at(7);
        client.say(begin).await;
        until("it listens", || resting(&worker) == 0).await;
        client.say(format!("{end}{second}")).await;
        assert!(client.answer().await.text().starts_with("GET /b "));
        assert!(client.answer().await.text().starts_with("GET /c "));
        until("it rests", || resting(&worker) == 1).await;
        // As strict as before, and as patient.
        let answer = client.ask("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
        assert_eq!(answer.status, 400);
        let mut slow = Client::to(address).await;
        slow.ask(get("/")).await;
        until("it rests", || resting(&worker) == 1).await;
        slow.say("GET / HTTP/1.1\r\n").await;
        assert_eq!(slow.rest().await, b"");
        assert_eq!(worker.process.counters.limit_header_timeout.get(), 1);
        until("nothing is left", || worker.process.counters.downstream.get() == 0 && resting(&worker) == 0)
            .await;
    });
}

#[test]
fn who_waits_for_an_answer_does_not_rest_and_who_leaves_is_gone() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(TrafficSettings::default(), &[app]).await;
        with(&worker, soon());
        let mut client = Client::to(address).await;
        client.say(get("/")).await;
        until("it is served", || waiting.get() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(resting(&worker), 0);
        gate.add_permits(1);
        assert_eq!(client.answer().await.text(), "ok");
        until("it rests", || resting(&worker) == 1).await;
        drop(client);
        until("it is gone", || worker.process.counters.downstream.get() == 0 && resting(&worker) == 0).await;
        // One that rests has nothing that a process that leaves could wait for.
        let mut client = Client::to(address).await;
        gate.add_permits(1);
        client.ask(get("/")).await;
        until("it rests", || resting(&worker) == 1).await;
        worker.process.parting.cancel();
        assert_eq!(client.rest().await, b"");
    });
}

#[test]
fn an_upgrade_after_a_rest() {
    run(async {
        let (worker, address) = direct(TrafficSettings::default(), &[application(chat).await]).await;
        let _group = Group::around(&worker);
        let mut client = Client::to(address).await;
        assert_eq!(client.ask(get("/")).await.text(), "ok");
        until("it rests", || resting(&worker) == 1).await;
        client.say(format!("{ASK}early")).await;
        assert_eq!(client.head().await.status, 101);
        assert_eq!(client.take(12).await, b"welcomeearly");
        assert_eq!(resting(&worker), 0, "it became something else");
    });
}

#[test]
fn with_little_memory_every_pause_is_a_rest() {
    run(async {
        let app = origin(async |_| text("x".repeat(300_000))).await;
        let (worker, address) = direct(TrafficSettings::default(), &[app]).await;
        let _group = Group::around(&worker);
        let mut clients = Vec::new();
        for _ in 0..5 {
            let mut client = Client::to(address).await;
            client.say(get("/")).await;
            clients.push(client);
        }
        for client in &mut clients {
            assert_eq!(client.answer().await.body.len(), 300_000);
        }
        until("all rest", || resting(&worker) == 5).await;
        for client in &mut clients {
            assert_eq!(client.ask(get("/")).await.body.len(), 300_000);
        }
        until("all rest", || resting(&worker) == 5).await;
    });
}

#[test]
fn who_asks_waits_for_room_and_is_refused_when_there_is_none() {
    run(async {
        let (worker, address) =
            direct(TrafficSettings::default(), &[origin(async |_| text("ok")).await]).await;
        let group = Group::around(&worker);
        let mut clients = Vec::new();
        for _ in 0..40 {
            let mut client = Client::to(address).await;
            assert_eq!(client.ask(get("/")).await.text(), "ok");
            clients.push(client);
        }
        // Between letting new connections in and refusing requests: who is there waits until others have gone.
        group.uses(58);
        for client in &mut clients {
            client.say(get("/")).await;
        }
        until("they have asked", || resting(&worker) == 0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(worker.process.overload.little().unwrap().is_wanted(), "others are asked to go");
        group.uses(8);
        for client in &mut clients {
            assert_eq!(client.answer().await.text(), "ok");
        }
        // Full, and it stays so.
        group.uses(62);
        for client in &mut clients {
            client.say(get("/")).await;
        }
        for client in &mut clients {
            let answer = client.answer().await;
            assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (503, "BYR0241"));
            assert_eq!(answer.header("connection"), "close");
        }
        assert!(worker.process.counters.limit_shed.get() >= 40);
        group.uses(8);
        until("new ones are served", || worker.process.counters.downstream.get() == 0).await;
        assert_eq!(ask(address, get("/")).await.text(), "ok");
    });
}

/// Whoever answers without reading what was sent leaves it to the codec; no connection rests before that is done with.
#[test]
fn a_body_that_nobody_read_is_no_request() {
    run(async {
        let early = application(async |mut stream: tokio::net::TcpStream| {
            while let Some(head) = read_head(&mut stream).await {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                let _ = stream.write_all(answer).await;
                if head.starts_with("POST") {
                    return;
                }
            }
        })
        .await;
        let hidden = get("/hidden");
        let (length, half) = (hidden.len(), hidden.len() / 2);
        let head = "POST / HTTP/1.1\r\nhost: web.shop\r\n";
        let chunks =
            format!("{half:x}\r\n{}\r\n{:x}\r\n{}\r\n", &hidden[..half], length - half, &hidden[half..]);
        let attacks = [
            format!("{head}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n{hidden}"),
            format!("{head}content-length: {length}\r\n\r\n{hidden}"),
            format!("{head}content-length: {}\r\n\r\n{}", length * 100, hidden.repeat(100)),
            format!("{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks.repeat(20)),
        ];
        for is_little in [false, true] {
            // Nobody to ask: the answer is there at once. And one who answers before it reads.
            for endpoints in [&[][..], &[early]] {
                let (worker, address) = direct(TrafficSettings::default(), endpoints).await;
                with(&worker, soon());
                let _group = is_little.then(|| Group::around(&worker));
                for attack in &attacks {
                    let mut client = Client::to(address).await;
                    client.ask(get("/")).await;
                    until("it rests", || resting(&worker) == 1).await;
                    client.say(attack).await;
                    client.answer().await;
                    // Whatever became of the connection, time enough for what would be served.
                    let _ = tokio::time::timeout(Duration::from_millis(100), client.rest()).await;
                    drop(client);
                    until("it is gone", || worker.process.counters.downstream.get() == 0).await;
                    let served: u64 = counted(&worker).iter().map(|delta| delta.tally.count()).sum();
                    assert_eq!(served, 2, "little memory {is_little}: {attack}");
                }
            }
        }
    });
}

#[test]
fn what_may_stand_before_a_request_is_no_rest() {
    run(async {
        for is_little in [false, true] {
            let (worker, address) =
                direct(TrafficSettings::default(), &[origin(async |_| text("ok")).await]).await;
            with(&worker, soon());
            let _group = is_little.then(|| Group::around(&worker));
            let mut client = Client::to(address).await;
            assert_eq!(client.ask(get("/")).await.text(), "ok");
            until("it rests", || resting(&worker) == 1).await;
            client.say("\r\n").await;
            until("it listens", || resting(&worker) == 0).await;
            assert_eq!(client.ask(get("/")).await.text(), "ok");
            until("it rests", || resting(&worker) == 1).await;
            client.say("\r\n").await;
            assert_eq!(client.rest().await, b"", "it has begun something, and does not go on");
            assert_eq!(worker.process.counters.limit_header_timeout.get(), 1);
        }
    });
}

#[test]
fn who_waits_in_line_is_answered_by_a_process_that_leaves() {
    run(async {
        let (worker, address) =
            direct(TrafficSettings::default(), &[origin(async |_| text("ok")).await]).await;
        let group = Group::around(&worker);
        let mut client = Client::to(address).await;
        assert_eq!(client.ask(get("/")).await.text(), "ok");
        until("it rests", || resting(&worker) == 1).await;
        group.uses(58);
        client.say(get("/")).await;
        until("it waits", || resting(&worker) == 0).await;
        worker.process.draining.cancel();
        worker.process.parting.cancel();
        tokio::time::sleep(Duration::from_millis(50)).await;
        group.uses(8);
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("ok", "close"));
        assert_eq!(client.rest().await, b"");
    });
}

#[test]
fn the_end_of_a_body_that_nobody_wants_is_not_the_beginning_of_a_head() {
    run(async {
        let (worker, address) = direct(TrafficSettings::default(), &[]).await;
        with(&worker, soon());
        let _group = Group::around(&worker);
        let mut client = Client::to(address).await;
        // More than is read before there is a codec.
        assert_eq!(client.ask(post("/", &"x".repeat(4096))).await.status, 503);
        until("it rests", || resting(&worker) == 1).await;
        // Twice as long as a head may take.
        let closed = tokio::time::timeout(soon().header_timeout * 2, client.rest()).await;
        assert!(closed.is_err(), "it is idle, and may be for minutes");
        assert_eq!(worker.process.counters.limit_header_timeout.get(), 0);
    });
}
