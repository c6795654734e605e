//! Load without mercy: no retries, connections kept for as long as the server lets them live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Connection, until};

/// Between two requests on one connection: enough to notice everything, and it leaves the processor to the mesh.
const PACE: Duration = Duration::from_millis(5);
/// Failures that are kept word for word.
const SHOWN: usize = 5;

/// Clients that ask on and on.
pub struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Report>>,
}

/// What they saw.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests, failed ones too.
    pub requests: u64,
    /// Answers other than 200, and connections that ended in the middle or unannounced.
    pub failed: u64,
    /// The first failures, with the time since the load began.
    pub failures: Vec<String>,
    /// Connections opened.
    pub connections: u64,
    /// The longest time that one request took.
    pub slowest: Duration,
}

impl Load {
    /// `clients` clients, each with a connection of its own; returns when each has had an answer.
    pub fn start(address: &str, path: &str, clients: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU64::new(0));
        let start = || {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            let (address, path) = (address.to_owned(), path.to_owned());
            std::thread::spawn(move || work(&address, &path, &stop, &asked))
        };
        let clients_running = (0..clients).map(|_| start()).collect();
        let load = Self { stop, asked, clients: clients_running };
        load.more(clients);
        load
    }

    /// Waits until that many further requests have ended, so that what the test did just before was seen by some.
    pub fn more(&self, requests: u64) {
        let goal = self.asked.load(Ordering::Relaxed) + requests;
        until("the load goes on", || (self.asked.load(Ordering::Relaxed) >= goal).then_some(()));
    }

    /// Ends it.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Report::default();
        for client in self.clients {
            let report = client.join().unwrap();
            all.requests += report.requests;
            all.failed += report.failed;
            all.failures.extend(report.failures);
            all.connections += report.connections;
            all.slowest = all.slowest.max(report.slowest);
        }
        all
    }

    /// Ends it; fails the test when a single request failed.
    #[track_caller]
    pub fn stop_unharmed(self) -> Report {
        let report = self.stop();
        assert!(report.requests > 0 && report.failed == 0, "{report:#?}");
        report
    }
}

fn work(address: &str, path: &str, stop: &AtomicBool, asked: &AtomicU64) -> Report {
    let mut report = Report::default();
    let mut connection: Option<Connection> = None;
    let began = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = match connection.take() {
            Some(connection) => Ok(connection),
            None => {
                report.connections += 1;
                Connection::open(address)
            }
        };
        let answer = answer.and_then(|mut open| {
            let response = open.get(path, &[])?;
            // A closing that is announced is good manners.
            if response.header("connection") != Some("close") {
                connection = Some(open);
            }
            Ok(response)
        });
        report.requests += 1;
        let failure = match answer {
            Ok(response) if response.status == 200 => None,
            Ok(response) => Some(format!("{} {:?} {}", response.status, response.headers, response.body)),
            Err(error) => Some(format!("{error:?}")),
        };
        report.slowest = report.slowest.max(start.elapsed());
        if let Some(failure) = failure {
            report.failed += 1;
            if report.failures.len() < SHOWN {
                report.failures.push(format!("after {:?}: {failure}", began.elapsed()));
            }
        }
        asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(PACE);
    }
    report
}
