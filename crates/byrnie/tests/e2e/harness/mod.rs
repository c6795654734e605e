//! What every end-to-end test stands on: `byrnie` as a process, meshes, waiting, plain HTTP, skipping.

mod command;
mod http;
mod load;
mod mesh;
mod open_loop;
mod origin;
mod raw;
mod shop;
pub mod yaml;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use byrnie_testkit::skip;
pub use command::{Run, Sandbox};
pub use http::{Connection, Response, get};
pub use load::Load;
pub use mesh::Mesh;
pub use open_loop::OpenLoop;
pub use origin::Origin;
pub use raw::{Bytes, Echo};
pub use shop::Shop;

/// How long a predicate may take to hold. Generous: it is spent only when a test is about to fail.
pub const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Waits until `probe` gives a value; fails the test after [`DEADLINE`].
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not within {} s: {what}", DEADLINE.as_secs());
        std::thread::sleep(POLL);
    }
}

/// A port that nobody listens on now. The kernel hands the next caller another one, so tests do not meet.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Below those that the kernel gives away by itself, and a hundred for each process: nobody takes one meanwhile.
    let first = std::process::id() % 200 * 100;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
