//! What happens to the mesh meanwhile: hot restarts of each proxy in turn, and changes of its configuration.
//! Certificates live for 10 s, so each proxy gets a new one every 5 to 7 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::mesh::{Mesh, route};
use super::tally::{Tally, What};

/// Whose process is replaced, in turn.
const PROXIES: [&str; 5] = ["gateway/front", "proxy/web-1", "proxy/chat-1", "proxy/grpc-1", "proxy/bytes-1"];
/// Between two changes.
const CHANGE: Duration = Duration::from_secs(3);

/// Begins.
pub fn start(
    mesh: &Arc<Mesh>,
    restart: Duration,
    tally: &Arc<Tally>,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<()>> {
    let restarts = {
        let mesh = Arc::clone(mesh);
        move |round: u64| {
            let name = PROXIES[usize::try_from(round).unwrap_or(0) % PROXIES.len()];
            mesh.byrnie(&["restart", name], "")
        }
    };
    let changes = {
        let mesh = Arc::clone(mesh);
        move |round: u64| mesh.byrnie(&["apply", "-f", "-", "--wait"], &route(round))
    };
    vec![
        every(restart, What::Restarts, tally, stop, restarts),
        every(CHANGE, What::Changes, tally, stop, changes),
    ]
}

fn every(
    pause: Duration,
    what: What,
    tally: &Arc<Tally>,
    stop: &Arc<AtomicBool>,
    act: impl Fn(u64) -> anyhow::Result<()> + Send + 'static,
) -> JoinHandle<()> {
    let (tally, stop) = (Arc::clone(tally), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut round = 0;
        while !stop.load(Relaxed) {
            let began = Instant::now();
            tally.count(what, act(round));
            round += 1;
            while began.elapsed() < pause && !stop.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    })
}
