//! Who is measured: each peer writes its configuration, starts, and names the rows that it can be asked for.

pub mod byrnie;
mod envoy;
mod haproxy;
mod nginx;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::Options;
use super::load::{Work, probe};
use super::origin::Origin;
use super::process::{Process, await_ready};

/// What a peer needs to know to stand in front of the origin.
pub struct Place<'a> {
    /// For its configuration, logs and state.
    pub directory: PathBuf,
    /// Its worker threads.
    pub workers: usize,
    /// What it stands in front of.
    pub origin: &'a Origin,
}

/// One measurement: this work, asked of this address, done by these processes.
pub struct Row {
    /// What is asked.
    pub work: Work,
    /// Of whom.
    pub peer: &'static str,
    /// Where.
    pub to: SocketAddr,
    /// The proxies on the way.
    pub pids: Vec<u32>,
}

impl Row {
    /// `pair/envoy`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.work.name(), self.peer)
    }
}

/// A peer that runs.
pub struct Peer {
    version: String,
    rows: Vec<Row>,
    processes: Vec<Process>,
    log: PathBuf,
}

impl Peer {
    /// What it can be asked for.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// All who run, side by side; they end when this is dropped.
pub struct Field {
    /// What can be measured.
    pub rows: Vec<Row>,
    /// Who they are.
    pub versions: Vec<String>,
    /// What cannot be measured, and why.
    pub missing: Vec<String>,
    _processes: Vec<Process>,
}

/// The names of a peer's rows, if it has all.
pub fn all_works(peer: &str) -> String {
    let all = [Work::Hop, Work::Pair, Work::Connect, Work::Http2, Work::Grpc, Work::Stream, Work::Tcp];
    all.map(|work| format!("{}/{peer}", work.name())).join(" ")
}

/// Starts everybody whose rows are wanted. Who is not installed or does not come up is missing, which ends nothing.
pub fn start(place: &Place, byrnie: Option<&Path>, options: &Options) -> Field {
    let mut field =
        Field { rows: Vec::new(), versions: Vec::new(), missing: Vec::new(), _processes: Vec::new() };
    let direct = Row { work: Work::Hop, peer: "direct", to: place.origin.http, pids: Vec::new() };
    if options.wants(&direct.name()) {
        field.rows.push(direct);
    }
    if options.wants("hop/nginx") {
        field.add("nginx", nginx::start(place), options);
    }
    if options.wants("hop/haproxy") {
        field.add("haproxy", haproxy::start(place), options);
    }
    if options.wants(&all_works("envoy")) {
        field.add("envoy", envoy::start(place), options);
    }
    if let Some(program) = byrnie {
        field.add("byrnie", byrnie::start(place, program), options);
    }
    field.rows.sort_by_key(|row| row.work);
    field
}

impl Field {
    /// Takes a peer with those of its rows that are wanted and answer.
    fn add(&mut self, name: &str, peer: anyhow::Result<Peer>, options: &Options) {
        let peer = match peer {
            Ok(peer) => peer,
            Err(error) => return self.missing.push(format!("{name}: {error:#}")),
        };
        for row in peer.rows.into_iter().filter(|row| options.wants(&row.name())) {
            match await_ready(&row.name(), &peer.log, || probe(row.work, row.to)) {
                Ok(()) => self.rows.push(row),
                Err(error) => self.missing.push(format!("{}: {error:#}", row.name())),
            }
        }
        self.versions.push(format!("{name}: {}", peer.version));
        self._processes.extend(peer.processes);
    }
}

/// What a program says about itself first, on stdout or stderr; an error when it is not installed.
fn version(program: &Path, flag: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg(flag).output();
    let output = output.with_context(|| format!("{} is not installed", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(line.unwrap_or("of unknown version").to_owned())
}

/// Writes a configuration and returns its path.
fn write(place: &Place, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = place.directory.join(name);
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}
