//! `cargo xtask soak --overload`: a proxy with 64 MiB and a fifth of a processor. It is asked what it can do, then for
//! 10,000 connections, then for three times of what it can do. It must not be killed, must go on doing what it can, and
//! must be as before within seconds.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::crowd::{Counts, Crowd};
use crate::shell::root;

/// Memory of the group.
const MEMORY: u64 = 64 << 20;
/// Microseconds of processor time in each 100 ms.
const QUOTA: u32 = 20_000;
/// Connections that are held besides.
const HELD: usize = 10_000;
/// Clients that find out what it can do: as many as may be there under overload are hard on the processor's caches, and
/// what it does for a few is not what it can do for many. That is told, too.
const CLIENTS: usize = 256;
const FEW: usize = 32;
/// For that, and for the load before and after.
const CALM: Duration = Duration::from_secs(10);
/// Without anything to do, before memory is compared: connections to endpoints are closed by then.
const REST: Duration = Duration::from_secs(8);
/// Within which all must be as before.
const RECOVERY: Duration = Duration::from_secs(10);
/// How much of what it can do it must do under three times as much.
const GOODPUT: f64 = 0.8;
/// How much more memory it may have afterwards.
const GROWTH: f64 = 1.2;
/// The page that `--write` renews.
const PAGE: &str = "docs/overload.md";

/// Runs it for so many seconds of overload; an error says what was not held.
pub fn run(program: &Path, seconds: u64, write: bool) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit })?;
    let group = Group::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let origin = super::crowd::origin()?;
    let mut proxy = Proxy::start(program, &group, origin)?;
    let measured = runtime.block_on(measure(&mut proxy, &group, Duration::from_secs(seconds)))?;
    let report = measured.report(seconds);
    println!("{report}");
    if write {
        let text = format!(
            "# Overload\n\nWritten by `cargo xtask soak --overload --write`. {}\n\n{report}",
            MEANING
        );
        std::fs::write(root().join(PAGE), text).context(PAGE)?;
    }
    measured.judge(seconds)
}

const MEANING: &str = "A proxy alone (`byrnie proxy --listen --to`), in a
control group of 64 MiB with a fifth of a processor, is asked by 256 clients in turn what it can do (*alone*). Then
10,000 connections are opened and kept as far as they are accepted, and for a minute three times as many requests are
begun as it can do, whatever became of those before, on up to 2,000 connections, each with 2 s of patience.";

/// What was seen.
struct Measured {
    few: f64,
    alone: f64,
    held: usize,
    overload: Counts,
    rate: f64,
    before: u64,
    full: u64,
    most: u64,
    after: u64,
    recovered: Option<Duration>,
    again: f64,
}

async fn measure(proxy: &mut Proxy, group: &Group, length: Duration) -> anyhow::Result<Measured> {
    let crowd = Crowd::new(proxy.address);
    let few = crowd.in_turn(FEW, CALM).await;
    tokio::time::sleep(REST).await;
    let before = group.used();
    let alone = crowd.in_turn(CLIENTS, CALM).await;
    ensure!(alone > 100.0, "it answers {alone:.0} requests per second, alone");
    let held = crowd.hold(HELD).await;
    let full = group.used();
    let rate = alone * 3.0;
    let began = Instant::now();
    let (overload, most) = tokio::join!(crowd.open_loop(rate, length), group.most(began + length));
    ensure!(proxy.is_alive(), "the proxy was killed");
    drop(held.streams);
    let recovered = crowd.recovered(RECOVERY).await;
    let again = crowd.in_turn(FEW, CALM).await;
    tokio::time::sleep(REST).await;
    let after = group.used();
    ensure!(proxy.is_alive(), "the proxy was killed");
    Ok(Measured { few, alone, held: held.count, overload, rate, before, full, most, after, recovered, again })
}

impl Measured {
    fn goodput(&self, seconds: u64) -> f64 {
        self.overload.good as f64 / seconds as f64 / self.alone
    }

    fn report(&self, seconds: u64) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut text = String::from("| what | number | at least, at most |\n|---|---:|---:|\n");
        let mut row = |what: &str, number: String, bound: String| {
            let _ = writeln!(text, "| {what} | {number} | {bound} |");
        };
        let counts = &self.overload;
        row("answered for 32 clients, per second", format!("{:.0}", self.few), String::new());
        row("answered alone, per second", format!("{:.0}", self.alone), String::new());
        row("connections held, of 10,000", self.held.to_string(), String::new());
        row("begun per second under overload", format!("{:.0}", self.rate), String::new());
        row(
            "of these answered well / as alone",
            format!("{:.2}", self.goodput(seconds)),
            format!("≥ {GOODPUT}"),
        );
        row("refused with 503", counts.refused.to_string(), String::new());
        row("closed", counts.closed.to_string(), String::new());
        row("later than 2 s", counts.late.to_string(), String::new());
        row("not begun: 2,000 waited already", counts.unbegun.to_string(), String::new());
        row("memory before, MiB", format!("{:.1}", mib(self.before)), String::new());
        row("memory with these connections, MiB", format!("{:.1}", mib(self.full)), String::new());
        row("most memory, MiB", format!("{:.1}", mib(self.most)), "64".to_owned());
        let growth = self.after as f64 / self.before as f64;
        row("memory after, MiB", format!("{:.1}", mib(self.after)), String::new());
        row("memory after / before", format!("{growth:.2}"), format!("≤ {GROWTH}"));
        let recovered =
            self.recovered.map_or("never".to_owned(), |took| format!("{:.1}", took.as_secs_f64()));
        row("100 answers in a row after, s", recovered, format!("≤ {}", RECOVERY.as_secs()));
        row("answered for 32 after / before", format!("{:.2}", self.again / self.few), String::new());
        text
    }

    /// An error says what was not held.
    fn judge(&self, seconds: u64) -> anyhow::Result<()> {
        let (goodput, growth) = (self.goodput(seconds), self.after as f64 / self.before as f64);
        ensure!(self.most <= MEMORY, "it had {} bytes", self.most);
        ensure!(goodput >= GOODPUT, "under load it did {goodput:.2} of what it can");
        ensure!(self.recovered.is_some(), "it was not well within {RECOVERY:?}");
        ensure!(growth <= GROWTH, "its memory grew by the factor {growth:.2}");
        Ok(())
    }
}

/// The proxy, ended with this.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    fn start(program: &Path, group: &Group, origin: SocketAddr) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let enter: Vec<String> =
            group.0.iter().map(|dir| format!("echo $$ > {}/cgroup.procs", dir.display())).collect();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{}; exec \"$@\"", enter.join("; "))).arg("sh").arg(program);
        command.args(["proxy", "--listen", &address.to_string(), "--to", &origin.to_string()]);
        let child =
            command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("starting the proxy")?;
        let began = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < Duration::from_secs(20), "the proxy does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { child, address })
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A control group for memory and processor, of version 2, or one of each of version 1; removed with it.
struct Group(Vec<PathBuf>);

impl Group {
    fn new() -> anyhow::Result<Self> {
        let name = format!("byrnie-soak-{}", std::process::id());
        let one = Path::new("/sys/fs/cgroup");
        let dirs = match one.join("cgroup.procs").exists() {
            true => vec![one.join(&name)],
            false => vec![one.join("memory").join(&name), one.join("cpu").join(&name)],
        };
        let group = Self(dirs);
        for dir in &group.0 {
            std::fs::create_dir(dir).with_context(|| format!("{} (this needs root)", dir.display()))?;
        }
        let memory = group.set("memory.max", &MEMORY.to_string())
            || group.set("memory.limit_in_bytes", &MEMORY.to_string());
        let quota = group.set("cpu.max", &format!("{QUOTA} 100000"))
            || group.set("cpu.cfs_quota_us", &QUOTA.to_string());
        if !memory || !quota {
            bail!("no control group with limits of memory and processor can be made here");
        }
        Ok(group)
    }

    fn set(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|dir| dir.join(name).exists() && std::fs::write(dir.join(name), value).is_ok())
    }

    /// Bytes in use.
    fn used(&self) -> u64 {
        let read = |name: &str| {
            let text = self.0.iter().find_map(|dir| std::fs::read_to_string(dir.join(name)).ok())?;
            text.trim().parse().ok()
        };
        read("memory.current").or_else(|| read("memory.usage_in_bytes")).unwrap_or(0)
    }

    /// The most that is in use until then.
    async fn most(&self, until: Instant) -> u64 {
        let mut most = 0;
        while Instant::now() < until {
            most = most.max(self.used());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        most
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.0 {
            // The kernel needs a moment after the last process has ended.
            let began = Instant::now();
            while dir.exists()
                && std::fs::remove_dir(dir).is_err()
                && began.elapsed() < Duration::from_secs(5)
            {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}
