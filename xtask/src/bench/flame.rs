//! Where the time of a path goes: stacks of Byrnie's proxies under load, as a flame graph for each path and a table of
//! shares. Needs `perf` (linux-perf) and inferno's programs (`cargo install inferno`); neither is part of the tests.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::load::{self, Work};
use super::origin::Origin;
use super::peers::{Place, Row, byrnie};
use super::table::{number, table};
use crate::shell::root;

/// Samples a second; odd, so that it does not beat with timers.
const SAMPLES: u32 = 497;
/// Frames narrower than this share of the picture, in percent, are left out of it.
const NARROWEST: &str = "0.4";

/// Who is met first from the innermost frame outwards names the share. Its order decides: what `http` does for hyper is
/// the look-up in a header map, not hyper's own work.
const PARTS: [(&str, &[&str]); 9] = [
    ("kernel", &["_[k]"]),
    ("TLS", &["rustls::", "aws_lc", "aes_", "gcm_", "ChaCha"]),
    ("allocator", &["mi_", "__rust_alloc", "__rust_dealloc", "alloc::alloc"]),
    ("copies", &["memcpy", "memmove"]),
    ("http (header maps)", &["http::"]),
    ("hyper and httparse", &["hyper::", "httparse::"]),
    ("h2", &["h2::"]),
    ("tokio", &["tokio::", "mio::"]),
    ("Byrnie", &["byrnie"]),
];

/// Measures, writes the pictures to docs/flames where `write` says so, and returns the report.
pub fn run(program: &Path, scratch: &Path, time: Duration, write: bool) -> anyhow::Result<String> {
    let origin = Origin::start()?;
    let place = Place { directory: scratch.to_owned(), workers: 1, origin: &origin };
    let peer = byrnie::start(&place, program)?;
    let pictures = if write { root().join("docs/flames") } else { scratch.join("flames") };
    std::fs::create_dir_all(&pictures)?;
    let mut shares = Vec::new();
    for row in peer.rows() {
        load::saturate(row.work, row.to, Duration::from_secs(1), 1)?;
        let stacks = record(row, scratch, time)?;
        let picture = pictures.join(format!("{}.svg", row.work.name()));
        draw(&stacks, row, &picture)?;
        eprintln!("{}", picture.display());
        let text = std::fs::read_to_string(&stacks)?;
        shares.push((row.work, share(&text)));
    }
    Ok(text(&shares))
}

/// Stacks of the row's processes while it is under load, one line for each with its count.
fn record(row: &Row, scratch: &Path, time: Duration) -> anyhow::Result<PathBuf> {
    let (data, stacks) = (scratch.join("perf.data"), scratch.join(format!("{}.folded", row.work.name())));
    let pids = row.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "--call-graph", "dwarf,16384", "-F", &SAMPLES.to_string(), "-p", &pids]);
    perf.arg("-o").arg(&data).args(["--", "sleep", &time.as_secs().to_string()]);
    let mut recording = perf.stderr(Stdio::null()).spawn().context("perf is not installed")?;
    load::saturate(row.work, row.to, time + Duration::from_secs(1), 1)?;
    if !recording.wait()?.success() {
        bail!("perf record failed; may it sample here (kernel.perf_event_paranoid)?");
    }
    let mut script = Command::new("perf");
    script.args(["script", "--no-inline", "-i"]).arg(&data).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut script = script.spawn()?;
    let from = script.stdout.take().context("perf script")?;
    let mut collapse = Command::new("inferno-collapse-perf");
    collapse.arg("--kernel").stdin(from).stdout(File::create(&stacks)?).stderr(Stdio::null());
    let collapsed = collapse.status().context("inferno is not installed (cargo install inferno)")?;
    if !script.wait()?.success() || !collapsed.success() {
        bail!("the stacks cannot be read");
    }
    Ok(stacks)
}

fn draw(stacks: &Path, row: &Row, picture: &Path) -> anyhow::Result<()> {
    let mut draw = Command::new("inferno-flamegraph");
    draw.args(["--deterministic", "--minwidth", NARROWEST, "--title"]);
    draw.arg(format!("{}: CPU of the proxies, one worker", row.work.name())).arg(stacks);
    let status = draw.stdout(File::create(picture)?).stderr(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "inferno-flamegraph failed");
    Ok(())
}

/// The share of each part in percent, and of the rest.
fn share(folded: &str) -> BTreeMap<&'static str, f64> {
    let mut counts: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut all = 0.0;
    for (stack, count) in folded.lines().filter_map(|line| line.rsplit_once(' ')) {
        let count: f64 = count.parse().unwrap_or(0.0);
        *counts.entry(part(stack)).or_default() += count;
        all += count;
    }
    counts.values_mut().for_each(|count| *count *= 100.0 / f64::max(all, 1.0));
    counts
}

fn part(stack: &str) -> &'static str {
    let of = |frame: &str| {
        let named = |(_, words): &&(&str, &[&str])| words.iter().any(|word| frame.contains(word));
        PARTS.iter().find(named).map(|(name, _)| *name)
    };
    stack.rsplit(';').find_map(of).unwrap_or("other")
}

fn text(shares: &[(Work, BTreeMap<&'static str, f64>)]) -> String {
    let heads: Vec<String> = std::iter::once("% of the proxies' CPU".to_owned())
        .chain(shares.iter().map(|(work, _)| format!("[{0}](flames/{0}.svg)", work.name())))
        .collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let names = PARTS.iter().map(|(name, _)| *name).chain(["other"]);
    let rows = names.map(|name| {
        let cells = shares.iter().map(|(_, share)| number(share.get(name).copied()));
        std::iter::once(name.to_owned()).chain(cells).collect()
    });
    table(&heads, &rows.collect::<Vec<Vec<String>>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_frame_that_is_known_names_the_share() {
        let folded = "byrnie;tokio::run;byrnie_proxy::serve;hyper::poll;__memcpy_avx 1\n\
                      byrnie;tokio::run;byrnie_proxy::serve;hyper::poll;do_syscall_64_[k];tcp_recvmsg_[k] 2\n\
                      byrnie;tokio::run;hyper::poll;core::str::from_utf8 1\n";
        let share = share(folded);
        assert_eq!(share["copies"], 25.0);
        assert_eq!(share["kernel"], 50.0);
        assert_eq!(share["hyper and httparse"], 25.0);
        assert_eq!(part("main;start_thread"), "other");
    }
}
