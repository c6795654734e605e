//! A peer that vanishes: from one moment on all packets to and from it are dropped, and nobody says a word.
//!
//! Runs itself once more in a network namespace of its own, where it may set rules; needs root and nft for that.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::mesh::{Pair, application, run, until};

/// Set in the namespace.
const INSIDE: &str = "BYRNIE_TEST_NAMESPACE";

/// By then it must have been noticed. By default the kernel does so after 7 s.
const LIMIT: Duration = Duration::from_secs(10);

/// Where packets are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    /// Between the client and its proxy.
    Client,
    /// Between the two proxies.
    Hop,
    /// Between the server's proxy and the application.
    Application,
}

#[test]
fn a_vanished_peer_is_noticed_within_ten_seconds() {
    if std::env::var_os(INSIDE).is_some() {
        let everything = [Lost::Client, Lost::Hop, Lost::Application];
        return run(async {
            let all = everything.iter().flat_map(|lost| [(*lost, false), (*lost, true)]);
            let scenes = join_all(all.map(|(lost, busy)| Scene::open(lost, busy))).await;
            lose(scenes.iter().map(|scene| scene.port));
            let clock = Clock::start();
            join_all(scenes.into_iter().map(|scene| scene.vanishes(&clock))).await;
        });
    }
    let name = "tcp::tests::vanished::a_vanished_peer_is_noticed_within_ten_seconds";
    let script = "ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture";
    let mut inside = Command::new("unshare");
    inside.args(["--net", "--", "sh", "-c", script]).arg(std::env::current_exe().unwrap()).arg(name);
    let possible = Command::new("unshare").args(["--net", "--", "nft", "list", "ruleset"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return skip("dropping packets needs root, unshare and nft");
    }
    let output = inside.env(INSIDE, "1").output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// As the end-to-end tests do it: `cargo xtask test` reads the file.
fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("BYRNIE_SKIPPED_TESTS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
}

/// From now on all packets from and to these ports are lost, of all at once: each program takes its time to start.
fn lose(ports: impl Iterator<Item = u16>) {
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    let ports = ports.join(", ");
    let script = format!(
        "table inet lost {{ chain in {{ type filter hook input priority 0; tcp sport {{ {ports} }} drop; \
         tcp dport {{ {ports} }} drop; }}; }}"
    );
    let output = Command::new("nft").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Since the packets were lost, and for how much of that this thread did not run although it was to: what the machine
/// gave to others is no part of what is measured.
struct Clock {
    begun: Instant,
    late: Rc<Cell<Duration>>,
}

impl Clock {
    fn start() -> Self {
        let late = Rc::new(Cell::new(Duration::ZERO));
        let noted = Rc::clone(&late);
        tokio::task::spawn_local(async move {
            let pause = Duration::from_millis(20);
            loop {
                let before = Instant::now();
                tokio::time::sleep(pause).await;
                noted.set(noted.get() + before.elapsed().saturating_sub(pause));
            }
        });
        Self { begun: Instant::now(), late }
    }

    #[track_caller]
    fn noticed_in_time(&self, at: Instant, what: &str) {
        let (after, late) = (at - self.begun, self.late.get());
        assert!(after < LIMIT + late, "{what}: after {after:?}, of which {late:?} went to others");
    }
}

/// How a connection ended for one of its ends, and when.
type End = (std::io::Result<usize>, Instant);

/// One connection through two proxies; `busy`: both ends never stop sending.
struct Scene {
    lost: Lost,
    what: String,
    pair: Pair,
    client: JoinHandle<End>,
    heard: mpsc::UnboundedReceiver<(u16, Option<End>)>,
    /// Of the connection whose packets are to be lost.
    port: u16,
}

impl Scene {
    async fn open(lost: Lost, busy: bool) -> Self {
        let (told, mut heard) = mpsc::unbounded_channel::<(u16, Option<End>)>();
        let server = application(move |stream: TcpStream| {
            let told = told.clone();
            async move {
                let port = stream.peer_addr().unwrap().port();
                told.send((port, None)).unwrap();
                told.send((port, Some(talk(stream, busy).await))).unwrap();
            }
        });
        let pair = Pair::new(server.await).await;
        let mut stream = pair.connect().await;
        let own = stream.local_addr().unwrap().port();
        // There and back once: everything is connected.
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        let (application, None) = heard.recv().await.unwrap() else { panic!("it has ended") };
        let port = match lost {
            Lost::Client => own,
            Lost::Hop => pair.endpoint.plan.address.port(),
            Lost::Application => application,
        };
        let client = tokio::task::spawn_local(talk(stream, busy));
        Self { lost, what: format!("{lost:?}, busy {busy}"), pair, client, heard, port }
    }

    async fn vanishes(self, clock: &Clock) {
        let Self { lost, what, pair, client, mut heard, .. } = self;
        let reset = |end: std::io::Result<usize>| {
            assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset), "{what}");
        };
        if lost != Lost::Client {
            let (ended, at) = client.await.unwrap();
            reset(ended);
            clock.noticed_in_time(at, &what);
        }
        if lost != Lost::Application {
            let (_, Some((ended, at))) = heard.recv().await.unwrap() else { panic!("it has begun twice") };
            reset(ended);
            clock.noticed_in_time(at, &what);
        }
        // Each proxy names the side that it lost.
        if lost != Lost::Application {
            let worker = if lost == Lost::Client { &pair.client } else { &pair.server };
            until("a vanished client is counted", || worker.process.counters.client_vanished.get() == 1)
                .await;
        }
        if lost != Lost::Client {
            let worker = if lost == Lost::Hop { &pair.client } else { &pair.server };
            until("a vanished server is counted", || worker.process.counters.server_vanished.get() == 1)
                .await;
        }
    }
}

/// Says one byte and hears what comes; busy: says one all the time. Until it ends.
async fn talk(mut stream: TcpStream, busy: bool) -> End {
    let (mut reader, mut writer) = stream.split();
    let ended = tokio::select! {
        ended = hear(&mut reader) => ended,
        ended = say(&mut writer, busy) => ended,
    };
    // Whoever writes after the reset hears of it like this.
    let ended = ended.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => ErrorKind::ConnectionReset.into(),
        _ => error,
    });
    (ended, Instant::now())
}

async fn hear(reader: &mut ReadHalf<'_>) -> std::io::Result<usize> {
    let mut buffer = vec![0; 65_536];
    while reader.read(&mut buffer).await? > 0 {}
    Ok(0)
}

async fn say(writer: &mut WriteHalf<'_>, busy: bool) -> std::io::Result<usize> {
    writer.write_all(b"y").await?;
    if !busy {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        writer.write_all(b"y").await?;
    }
}
