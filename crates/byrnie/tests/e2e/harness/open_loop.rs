//! Load at a fixed rate: requests begin when their time has come, whatever became of those before. No retries.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Connection, until};

/// Connections that take requests.
const CLIENTS: usize = 24;
/// Failures that are kept word for word.
const SHOWN: usize = 5;

/// Requests at a fixed rate.
pub struct OpenLoop {
    stop: Arc<AtomicBool>,
    pacer: JoinHandle<u64>,
    clients: Vec<JoinHandle<()>>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
    failed: AtomicU64,
}

impl OpenLoop {
    /// Begins, with so many requests per second; returns when there was an answer.
    pub fn start(address: &str, path: &str, rate: u32) -> Self {
        let (due, taken) = sync_channel(100_000);
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Seen::default()));
        let taken = Arc::new(Mutex::new(taken));
        let client = |_| {
            let (address, path) = (address.to_owned(), path.to_owned());
            let (taken, seen) = (Arc::clone(&taken), Arc::clone(&seen));
            std::thread::spawn(move || work(&address, &path, &taken, &seen))
        };
        let clients = (0..CLIENTS).map(client).collect();
        let stopped = Arc::clone(&stop);
        let pacer = std::thread::spawn(move || pace(rate, &due, &stopped));
        let load = Self { stop, pacer, clients, seen };
        load.more(1);
        load
    }

    /// Waits until that many further requests were answered, or failed.
    pub fn more(&self, requests: u64) {
        let ended = || self.seen.answered.load(Ordering::Relaxed) + self.seen.failed.load(Ordering::Relaxed);
        let goal = ended() + requests;
        until("the load goes on", || (ended() >= goal).then_some(()));
    }

    /// Ends it. Fails the test when a request failed, or was not answered. Says how many there were.
    #[track_caller]
    pub fn stop_unharmed(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let begun = self.pacer.join().unwrap();
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let answered = self.seen.answered.load(Ordering::Relaxed);
        assert!(answered == begun && begun > 0, "{begun} begun, {:#?}", self.seen);
        begun
    }
}

fn pace(rate: u32, due: &SyncSender<Instant>, stop: &AtomicBool) -> u64 {
    let (began, step) = (Instant::now(), Duration::from_secs(1) / rate);
    let mut begun = 0;
    while !stop.load(Ordering::Relaxed) {
        let at = began + step * u32::try_from(begun).unwrap();
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        due.send(at).unwrap();
        begun += 1;
    }
    begun
}

fn work(address: &str, path: &str, due: &Mutex<Receiver<Instant>>, seen: &Seen) {
    let mut connection: Option<Connection> = None;
    let began = Instant::now();
    loop {
        let next = due.lock().unwrap().recv();
        if next.is_err() {
            return;
        }
        match ask(address, path, &mut connection) {
            Ok(()) => seen.answered.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                let mut failures = seen.failures.lock().unwrap();
                if failures.len() < SHOWN {
                    failures.push(format!("after {:?}: {error}", began.elapsed()));
                }
                seen.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

fn ask(address: &str, path: &str, kept: &mut Option<Connection>) -> io::Result<()> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(address)?,
    };
    let response = connection.get(path, &[])?;
    if response.status != 200 {
        return Err(io::Error::other(format!("{response:?}")));
    }
    // A closing that is announced is good manners.
    if response.header("connection") != Some("close") {
        *kept = Some(connection);
    }
    Ok(())
}
