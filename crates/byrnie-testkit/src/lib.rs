//! A test ground: a mesh with workloads in network namespaces of their own, real faults between them, and what they
//! say, measured and logged, asserted together.
//!
//! A test says what to run ([`Ground::start`]), lets programs of a workload do something ([`Ground::run`]), and
//! compares ([`Ground::expect`]). Everything is gone with the [`Ground`], also when the test fails; each has addresses
//! of its own, so that several run at once. Must never know: how anything works inside; it sees what an operator sees.

// This is for tests only: a failed expectation is what ends a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod delay;
mod expect;
mod fault;
mod ground;
mod range;
mod sniff;

use std::io::Write;
use std::time::{Duration, Instant};

pub use delay::Delay;
pub use expect::{Expect, metric};
pub use fault::{Fault, Way};
pub use ground::{Ground, Mode, Said, keep};
pub use sniff::Sniff;

/// How long a predicate may take to hold. Generous: it is spent only when a test is about to fail.
pub const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Waits until `probe` gives a value; fails the test after [`DEADLINE`].
#[track_caller]
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

/// Counts and names a test that cannot run here; `cargo xtask test` prints the list, and fails on it in CI.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("BYRNIE_SKIPPED_TESTS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
}

/// Whether network namespaces can be made here, and these programs are installed; else the test is counted as skipped.
pub fn can_run(programs: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        skip("network namespaces need root");
        return false;
    }
    if let Err(error) = byrnie_net::capture::check() {
        skip(&error.to_string());
        return false;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root looks.
    let places: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    let missing = programs.iter().find(|program| !places.iter().any(|place| place.join(program).exists()));
    if let Some(program) = missing {
        skip(&format!("{program} is not installed"));
    }
    missing.is_none()
}
