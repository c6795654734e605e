//! The control plane's own numbers, in Prometheus' text format at `GET /v1/metrics`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Some more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters. Gauges are read where they live, when somebody asks.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Resources sent to proxies.
    pub pushes: Counter,
    /// Resources that proxies obey.
    pub acks: Counter,
    /// Resources that proxies refused.
    pub nacks: Counter,
    /// Streams opened.
    pub streams: Counter,
    /// Streams that were refused or broken off for what the proxy said.
    pub streams_refused: Counter,
    /// Batches compiled.
    pub compiles: Counter,
    /// Microseconds spent on them.
    pub compile_micros: Counter,
    /// Objects taken in.
    pub changes: Counter,
    /// Times that the store's watch had to begin again.
    pub gaps: Counter,
    /// Objects that were kept although a list lacked them.
    pub held: Counter,
    /// Statuses written back.
    pub statuses: Counter,
    /// Certificates signed.
    pub signed: Counter,
    /// Requests for a certificate that were refused.
    pub sign_refused: Counter,
    /// Reports of proxies taken in.
    pub reports: Counter,
    /// Tap events that were dropped because a client was slow.
    pub tap_dropped: Counter,
}

/// What is true at the moment.
pub struct Gauges {
    /// Proxies connected.
    pub proxies: usize,
    /// Keys that hold something.
    pub resources: usize,
    /// Subscriptions of all proxies.
    pub subscriptions: usize,
    /// Taps that run.
    pub taps: usize,
    /// Credentials not yet redeemed or expired.
    pub credentials: usize,
}

impl Metrics {
    /// Takes the time of a batch.
    pub fn compiled(&self, changes: usize, took: Duration) {
        self.compiles.inc();
        self.changes.add(changes as u64);
        self.compile_micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Everything as text.
    pub fn text(&self, gauges: &Gauges) -> String {
        let counters = [
            ("pushes", "Resources sent to proxies.", &self.pushes),
            ("acks", "Resources that proxies obey.", &self.acks),
            ("nacks", "Resources that proxies refused.", &self.nacks),
            ("streams", "Discovery streams opened.", &self.streams),
            ("streams_refused", "Discovery streams refused or broken off.", &self.streams_refused),
            ("compiles", "Batches of changes compiled.", &self.compiles),
            ("changes", "Object changes compiled.", &self.changes),
            ("store_gaps", "Store watches that had to begin again.", &self.gaps),
            (
                "held_objects",
                "Objects kept for a minute although a list of the store lacked them.",
                &self.held,
            ),
            ("statuses", "Statuses written back to the store.", &self.statuses),
            ("certificates_signed", "Certificates signed.", &self.signed),
            ("certificates_refused", "Certificate requests refused.", &self.sign_refused),
            ("reports", "Reports of proxies taken in.", &self.reports),
            ("tap_dropped", "Tap events dropped because a client was slow.", &self.tap_dropped),
        ];
        let gauges = [
            ("proxies", "Proxies connected.", gauges.proxies),
            ("resources", "Compiled resources.", gauges.resources),
            ("subscriptions", "Subscriptions of all proxies.", gauges.subscriptions),
            ("taps", "Taps running.", gauges.taps),
            ("credentials", "One-time credentials kept.", gauges.credentials),
        ];
        let mut out = String::with_capacity(4096);
        // Writing to a String cannot fail.
        for (name, help, counter) in counters {
            let name = format!("byrnie_control_{name}_total");
            let value = counter.get();
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        let name = "byrnie_control_compile_seconds_total";
        let seconds = Duration::from_micros(self.compile_micros.get()).as_secs_f64();
        let _ = writeln!(out, "# HELP {name} Time spent compiling.\n# TYPE {name} counter\n{name} {seconds}");
        for (name, help, value) in gauges {
            let name = format!("byrnie_control_{name}");
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        out
    }
}
