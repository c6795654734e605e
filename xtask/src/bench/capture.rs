//! What transparent capture costs: each new connection, redis and bulk through a captured pair, against the same
//! programs in the same network namespaces without anything between them. Needs root and redis.

pub mod part;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::Options;
use super::peers::byrnie::Mesh;
use super::process::{cpu, cpu_ever, tail, tree, within};
use super::rounds::median;
use super::table::{number, table};

/// Connections that are timed in each round, one after the other.
const CONNECTIONS: u32 = 2000;
/// Requests of redis-benchmark in each round, for each command.
const REQUESTS: &str = "50000";
/// Connections of bulk.
const READERS: [u32; 2] = [1, 4];
/// How long the mesh may take to let everything through.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// At its address, which is excluded from capture: from namespace to namespace.
    Direct,
    /// At the proxy's local address of the service: through the pair, not redirected.
    Explicit,
    /// By its name: redirected, and through the pair.
    Captured,
}

const WAYS: [Way; 3] = [Way::Direct, Way::Explicit, Way::Captured];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Explicit => "the proxy's local address",
            Self::Captured => "captured",
        }
    }
}

/// What one measurement gave, by name; beside what the client says, the CPU seconds of both proxies and of everything.
struct Sample {
    said: Value,
    proxies: f64,
    all: f64,
}

struct Ground<'a> {
    program: &'a Path,
    scratch: &'a Path,
    mesh: Mesh,
    pids: Vec<u32>,
    server: String,
}

/// Measures and returns the report.
pub fn run(options: &Options, program: &Path, scratch: &Path) -> anyhow::Result<String> {
    if !rustix::process::geteuid().is_root() {
        bail!("network namespaces need root");
    }
    let ground = Ground::start(program, scratch)?;
    let plural = if options.rounds == 1 { "" } else { "s" };
    let mut text = format!(
        "Client and server each in a network namespace of its own, one worker in each proxy; medians of {} round{plural}.\n\
         *Direct* is the same way without proxies; *the proxy's local address* is the pair without redirection.\n\n",
        options.rounds
    );
    text += &ground.connections(options)?;
    text.push('\n');
    text += &ground.redis(options)?;
    text.push('\n');
    text += &ground.bulk(options)?;
    Ok(text)
}

impl<'a> Ground<'a> {
    fn start(program: &'a Path, scratch: &'a Path) -> anyhow::Result<Self> {
        let me = std::env::current_exe()?;
        let file = include_str!("capture.yaml").replace("{{PART}}", &me.display().to_string());
        let mesh = Mesh::start(program, scratch, &file, &["--transparent"], 1, 3, 3)?;
        let mut ground = Self { program, scratch, mesh, pids: Vec::new(), server: String::new() };
        ground.pids = vec![ground.mesh.pid("client")?, ground.mesh.pid("server")?, ground.mesh.pid("redis")?];
        ground.server = ground.address("server")?;
        for way in WAYS {
            let came = within(PATIENCE, || {
                let (host, port) = ground.place(way, "echo", 7001).unwrap_or_default();
                let one = ground.client(&[&ground.me(), "bench-part", "connect", &host, &port, "1"]);
                let redis = ground.redis_benchmark(way, "1");
                one.is_ok() && redis.is_ok()
            });
            if !came {
                bail!("{} does not work; the mesh's log: {}", way.name(), tail(&ground.mesh.log));
            }
        }
        Ok(ground)
    }

    fn me(&self) -> String {
        std::env::current_exe().unwrap_or_default().display().to_string()
    }

    /// The address of a workload, as its status has it.
    fn address(&self, workload: &str) -> anyhow::Result<String> {
        let mut command = self.command();
        let output = command.args(["get", "workload", workload, "-n", "bench", "-o", "json"]).output()?;
        let object: Value = serde_json::from_slice(&output.stdout).context("get workload")?;
        let address = object["status"]["address"].as_str().context("the workload has no address")?;
        Ok(address.to_owned())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.arg("--data-dir").arg(self.scratch.join("byrnie"));
        command
    }

    /// Host and port of a service.
    fn place(&self, way: Way, service: &str, port: u16) -> anyhow::Result<(String, String)> {
        Ok(match way {
            Way::Direct if service == "cache" => (self.address("redis")?, port.to_string()),
            Way::Direct => (self.server.clone(), port.to_string()),
            Way::Explicit => {
                let address = self.mesh.upstream("client", service)?;
                (address.ip().to_string(), address.port().to_string())
            }
            Way::Captured => (service.to_owned(), port.to_string()),
        })
    }

    /// What a program in the client's place prints.
    fn client(&self, program: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command();
        let output = command.args(["run", "--workload", "bench/client", "--"]).args(program).output()?;
        if !output.status.success() {
            bail!("{program:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).context("its output")
    }

    /// Runs it, and counts CPU meanwhile; `own` finds the client's own CPU seconds in what it said.
    fn measured(
        &self,
        program: &[&str],
        read: impl Fn(&str) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Sample> {
        let all = tree(self.mesh.root())?;
        let before = (cpu(&self.pids)?, cpu_ever(&all)?);
        let said = read(&self.client(program)?)?;
        let (proxies, rest) = (cpu(&self.pids)? - before.0, cpu_ever(&all)? - before.1);
        let own = said["cpu"].as_f64().unwrap_or(0.0);
        Ok(Sample { said, proxies: proxies.as_secs_f64(), all: rest.as_secs_f64() + own })
    }

    fn part(&self, way: Way, what: &[&str], service: &str, port: u16) -> anyhow::Result<Sample> {
        let (host, port) = self.place(way, service, port)?;
        let (me, kind) = (self.me(), what.first().copied().unwrap_or_default());
        let mut program = vec![me.as_str(), "bench-part", kind, &host, &port];
        program.extend(what.iter().skip(1));
        self.measured(&program, |text| serde_json::from_str(text).context("what the client says"))
    }

    fn connections(&self, options: &Options) -> anyhow::Result<String> {
        let count = CONNECTIONS.to_string();
        let mut rows = Vec::new();
        let mut shown = Vec::new();
        let samples = rounds(options, &WAYS, |way| self.part(*way, &["connect", &count], "echo", 7001))?;
        for (way, samples) in WAYS.iter().zip(&samples) {
            let each = 1e6 / f64::from(CONNECTIONS);
            let (p50, p99) =
                (of(samples, |s| s.said["p50"].as_f64()), of(samples, |s| s.said["p99"].as_f64()));
            let proxies = of(samples, |s| Some(s.proxies * each));
            let all = of(samples, |s| Some(s.all * each));
            rows.push((p50, all));
            let proxies = proxies.filter(|_| *way != Way::Direct);
            let cells = [p50, p99, proxies, all].map(number);
            shown.push(std::iter::once(way.name().to_owned()).chain(cells).collect());
        }
        let heads = [
            "new connections, one after the other",
            "p50 µs",
            "p99 µs",
            "CPU µs of both proxies",
            "CPU µs of all",
        ];
        let mut text = table(&heads, &shown);
        let less = |one: Option<f64>, other: Option<f64>| one.zip(other).map(|(one, other)| one - other);
        if let [direct, explicit, captured] = rows.as_slice() {
            text += &format!(
                "\nConnect, one byte there and back, close: {CONNECTIONS} each. Redirection adds {} µs (p50) and {} µs of \
                 CPU to a\nconnection; the mesh with it, {} µs and {} µs.\n",
                number(less(captured.0, explicit.0)),
                number(less(captured.1, explicit.1)),
                number(less(captured.0, direct.0)),
                number(less(captured.1, direct.1)),
            );
        }
        Ok(text)
    }

    fn redis_benchmark(&self, way: Way, requests: &str) -> anyhow::Result<Sample> {
        let (host, port) = self.place(way, "cache", 6379)?;
        let program = [
            "redis-benchmark",
            "-h",
            &host,
            "-p",
            &port,
            "-n",
            requests,
            "-c",
            "50",
            "-t",
            "set,get",
            "--csv",
        ];
        self.measured(&program, redis_rates)
    }

    fn redis(&self, options: &Options) -> anyhow::Result<String> {
        let ways = [Way::Direct, Way::Captured];
        let samples = rounds(options, &ways, |way| self.redis_benchmark(*way, REQUESTS))?;
        let requests = 2.0 * REQUESTS.parse::<f64>()?;
        let mut shown = Vec::new();
        let mut rates = Vec::new();
        for (way, samples) in ways.iter().zip(&samples) {
            let rate = |name: &'static str| of(samples, move |s| s.said[name].as_f64());
            let proxies = of(samples, |s| Some(s.proxies * 1e6 / requests)).filter(|_| *way != Way::Direct);
            rates.push([rate("SET"), rate("GET")]);
            let cells = [rate("SET"), rate("GET"), proxies].map(number);
            shown.push(std::iter::once(way.name().to_owned()).chain(cells).collect::<Vec<_>>());
        }
        if let [direct, captured] = rates.as_slice() {
            let ratio = |index: usize| captured[index].zip(direct[index]).map(|(c, d)| c / d);
            shown.push(vec!["ratio".to_owned(), number(ratio(0)), number(ratio(1)), number(None)]);
        }
        let heads = ["redis-benchmark, 50 connections", "SET/s", "GET/s", "CPU µs/request of both proxies"];
        Ok(table(&heads, &shown))
    }

    fn bulk(&self, options: &Options) -> anyhow::Result<String> {
        let ways = [Way::Direct, Way::Captured];
        let seconds = options.seconds.to_string();
        let mut shown = Vec::new();
        for readers in READERS {
            let count = readers.to_string();
            let what = ["pull", count.as_str(), seconds.as_str()];
            let samples = rounds(options, &ways, |way| self.part(*way, &what, "bulk", 7002))?;
            let mut rows = Vec::new();
            for samples in &samples {
                let giga = |s: &Sample| s.said["bytes"].as_f64().map(|bytes| bytes / 1e9);
                let rate = of(samples, |s| Some(giga(s)? / s.said["seconds"].as_f64()?));
                let all = of(samples, |s| Some(s.all / giga(s)?));
                let proxies = of(samples, |s| Some(s.proxies / giga(s)?));
                rows.push([rate, proxies, all]);
            }
            let [direct, captured] = rows.as_slice() else { continue };
            let ratio = |index: usize| captured[index].zip(direct[index]).map(|(c, d)| c / d);
            let plural = if readers == 1 { "" } else { "s" };
            let row = |way: &str, cells: [Option<f64>; 3]| {
                let name = format!("{readers} connection{plural}, {way}");
                std::iter::once(name).chain(cells.map(number)).collect::<Vec<_>>()
            };
            shown.push(row("direct", [direct[0], None, direct[2]]));
            shown.push(row("captured", *captured));
            shown.push(row("ratio", [ratio(0), None, ratio(2)]));
        }
        Ok(table(&["bulk", "GB/s", "CPU s/GB of both proxies", "CPU s/GB of all"], &shown))
    }
}

/// All ways in turn, round by round; the samples of each.
fn rounds(
    options: &Options,
    ways: &[Way],
    measure: impl Fn(&Way) -> anyhow::Result<Sample>,
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let mut samples: Vec<Vec<Sample>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (way, samples) in ways.iter().zip(&mut samples) {
            samples.push(measure(way)?);
        }
    }
    Ok(samples)
}

fn of(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    median(&samples.iter().filter_map(value).collect::<Vec<_>>())
}

/// The lines of `redis-benchmark --csv`: the command, then requests per second.
fn redis_rates(text: &str) -> anyhow::Result<Value> {
    let mut rates = serde_json::Map::new();
    for line in text.lines() {
        let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
        let (Some(name), Some(rate)) = (cells.next(), cells.next()) else { continue };
        if let Ok(rate) = rate.parse::<f64>() {
            rates.insert(name.to_owned(), rate.into());
        }
    }
    if rates.len() < 2 {
        bail!("redis-benchmark says {text:?}");
    }
    Ok(rates.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_redis() {
        let text =
            "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"1000.50\",\"0.1\"\n\"GET\",\"2000.00\",\"0.1\"\n";
        let rates = redis_rates(text).unwrap();
        assert_eq!((rates["SET"].as_f64(), rates["GET"].as_f64()), (Some(1000.5), Some(2000.0)));
        assert!(redis_rates("Could not connect").is_err());
    }
}
