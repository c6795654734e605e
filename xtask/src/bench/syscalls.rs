//! System calls for each request, as `strace -c` counts them: with one request at a time, and at saturation.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Options;
use super::load::{self, Work};
use super::origin::Origin;
use super::peers::{self, Place, Row};
use super::report::{NOT_MEASURED, absent};
use super::table::{number, table};

/// Requests one after the other.
const IN_TURN: u64 = 1000;
/// Each takes a few system calls, and each of these some hundred times what it takes without strace.
const PATIENCE: Duration = Duration::from_secs(10);
/// What bulk is counted by.
const MIB: f64 = 1_048_576.0;

/// The kinds of calls that the table has columns for; the rest is *other*.
const KINDS: [(&str, &[&str]); 4] = [
    ("reads", &["read", "readv", "recv", "recvfrom", "recvmsg"]),
    ("writes", &["write", "writev", "send", "sendto", "sendmsg", "sendfile", "splice"]),
    ("epoll_wait", &["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
    ("futex", &["futex"]),
];

/// How often a system call was made, and how often in vain.
type Counts = BTreeMap<String, (u64, u64)>;

/// Measures and returns the report.
pub fn run(options: &Options, program: &Path, scratch: &Path) -> anyhow::Result<String> {
    if !crate::tools::works("strace") {
        return Ok("- missing: strace is not installed (`apt-get install strace`)\n".to_owned());
    }
    let origin = Origin::start()?;
    let place = Place { directory: scratch.to_owned(), workers: 1, origin: &origin };
    let field = peers::start(&place, Some(program), options);
    let mut notes: Vec<String> = field.missing.iter().map(|line| absent(line)).collect();
    let (mut one_by_one, mut saturated) = (Vec::new(), Vec::new());
    for row in field.rows.iter().filter(|row| !row.pids.is_empty()) {
        eprintln!("{}", row.name());
        // What is opened once is not counted.
        let warm = load::saturate(row.work, row.to, Duration::from_millis(500), 1).map(drop);
        let saturate = || Ok(load::saturate(row.work, row.to, options.duration(), 1)?.done);
        let both = warm.and_then(|()| Ok((in_turn(row, scratch)?, count(row, scratch, saturate)?)));
        match both {
            Ok((one, many)) => {
                one_by_one.extend(one.map(|one| cells(row, one)));
                saturated.push(cells(row, many));
            }
            Err(error) => notes.push(format!("{NOT_MEASURED}: {}: {error:#}", row.name())),
        }
    }
    Ok(report(options, &one_by_one, &saturated, &notes))
}

/// Requests one after the other; only of works that have such a form.
fn in_turn(row: &Row, scratch: &Path) -> anyhow::Result<Option<(Counts, u64)>> {
    let load = || match row.work {
        Work::Grpc => load::calls_in_turn(row.to, IN_TURN),
        _ => load::gets_in_turn(row.to, IN_TURN, PATIENCE),
    };
    match row.work {
        Work::Hop | Work::Pair | Work::Grpc => count(row, scratch, || load().map(|()| IN_TURN)).map(Some),
        Work::Connect | Work::Http2 | Work::Stream | Work::Tcp => Ok(None),
    }
}

/// What the processes of a row call while `load` does something, and how many units that was.
fn count(
    row: &Row,
    scratch: &Path,
    load: impl FnOnce() -> anyhow::Result<u64>,
) -> anyhow::Result<(Counts, u64)> {
    let tracer = Tracer::attach(&row.pids, scratch)?;
    let done = load()?;
    let text = tracer.detach()?;
    let counts = parse(&text).with_context(|| format!("strace wrote {text}"))?;
    Ok((counts, done.max(1)))
}

/// `strace -c`, attached.
struct Tracer {
    child: Child,
    out: PathBuf,
}

impl Tracer {
    /// Attaches to all threads of these processes, and waits until it has.
    fn attach(pids: &[u32], scratch: &Path) -> anyhow::Result<Self> {
        let out = scratch.join("strace.txt");
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-o"]).arg(&out);
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting strace")?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr of strace")?).lines();
        for pid in pids {
            let line = lines.next().context("strace has ended: may it trace here?")??;
            // `strace: Process 7 attached with 3 threads`
            if !line.contains("attached") {
                let _ = child.kill();
                let _ = child.wait();
                bail!("strace -p {pid}: {line}");
            }
        }
        // It goes on talking of threads; nobody must block it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, out })
    }

    /// Ends it; what it has counted.
    fn detach(mut self) -> anyhow::Result<String> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("strace's process id")?;
        kill_process(pid, Signal::INT)?;
        self.child.wait()?;
        std::fs::read_to_string(&self.out).context("what strace has counted")
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Nothing to do where it has ended; else it must not stay attached.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the table of `strace -c`.
fn parse(text: &str) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // `% time, seconds, usecs/call, calls, [errors,] syscall`; the head and the rules have no number there.
        let (Some(name), Some(Ok(calls))) = (fields.last(), fields.get(3).map(|calls| calls.parse())) else {
            continue;
        };
        let vain = if fields.len() > 5 { fields[4].parse().context("errors")? } else { 0 };
        if *name != "total" {
            counts.insert((*name).to_owned(), (calls, vain));
        }
    }
    if counts.is_empty() {
        bail!("nothing was counted");
    }
    Ok(counts)
}

/// All calls, those that failed, and those of each kind, for each unit.
fn cells(row: &Row, (counts, done): (Counts, u64)) -> Vec<String> {
    let units = if row.work == Work::Tcp { done as f64 / MIB } else { done as f64 };
    let all: u64 = counts.values().map(|(calls, _)| calls).sum();
    let vain: u64 = counts.values().map(|(_, vain)| vain).sum();
    let kinds = KINDS.map(|(_, names)| {
        names.iter().filter_map(|name| counts.get(*name)).map(|(calls, _)| calls).sum::<u64>()
    });
    let other = all - kinds.iter().sum::<u64>();
    let each = |calls: u64| number(Some(calls as f64 / units));
    let mut cells = vec![row.name(), each(all)];
    cells.extend(kinds.map(each));
    cells.extend([each(other), each(vain)]);
    cells
}

fn report(
    options: &Options,
    one_by_one: &[Vec<String>],
    saturated: &[Vec<String>],
    notes: &[String],
) -> String {
    let mut text = format!(
        "System calls of all proxies of a row for each request (of `tcp`: for each MiB), one worker in each, counted by \
         `strace -c -f`: {IN_TURN} requests one after the other over one connection, and {} s at saturation. strace \
         makes each call dear, so that more requests wait at each look than without it.\n\n",
        options.seconds
    );
    let heads = |first| {
        let mut heads = vec![first, "all"];
        heads.extend(KINDS.map(|(name, _)| name));
        heads.extend(["other", "of all, in vain"]);
        heads
    };
    text += &table(&heads("one at a time"), one_by_one);
    text.push('\n');
    text += &table(&heads("at saturation"), saturated);
    text.push('\n');
    for note in notes {
        text += &format!("- {note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strace_writes() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           1       600           sendto
 40.00    0.000400           1       400       100 recvfrom
  0.00    0.000000           0         3           brk
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           1      1003       100 total
";
        let counts = parse(text).unwrap();
        assert_eq!((counts["sendto"], counts["recvfrom"], counts.len()), ((600, 0), (400, 100), 3));
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let row = Row { work: Work::Hop, peer: "byrnie", to, pids: Vec::new() };
        let cells = cells(&row, (counts, 100));
        assert_eq!(cells, ["hop/byrnie", "10.0", "4.00", "6.00", "0.00", "0.00", "0.03", "1.00"]);
        assert!(parse("strace: attach: no\n").is_err());
    }
}
