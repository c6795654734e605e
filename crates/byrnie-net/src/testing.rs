//! Real child processes for tests: this test binary again, running one test as a helper.

use std::ffi::OsString;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::Spawn;

const ROLE: &str = "BYRNIE_NET_TEST_ROLE";

/// This test binary, running only the helper test `test` (full path) in the given role.
pub(crate) fn helper(test: &str, role: &str) -> Spawn {
    let arguments = ["--exact", test, "--nocapture", "--test-threads=1", "-q"];
    Spawn::new(std::env::current_exe().unwrap(), arguments).env(ROLE, role)
}

/// The role, when this process is a helper.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// A mark for the environment of a tree of processes.
pub(crate) fn mark(name: &str) -> (OsString, OsString) {
    ("BYRNIE_NET_TEST_MARK".into(), format!("{name}-{}", std::process::id()).into())
}

/// The living processes that carry the mark.
pub(crate) fn marked(mark: &(OsString, OsString)) -> Vec<u32> {
    let wanted = format!("{}={}", mark.0.display(), mark.1.display());
    let carries = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(carries).collect()
}

/// Looks again and again until it is so; panics after 20 s.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Counts and names a test that cannot run here; `cargo xtask test` prints the list, and fails on it in CI.
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("BYRNIE_SKIPPED_TESTS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
}
