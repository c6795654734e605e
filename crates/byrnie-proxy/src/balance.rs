//! Which endpoint takes the next request or connection: the decision is `byrnie-decide`'s, the state is here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_decide::{Ejection, EjectionReason, Outcome, OutlierState, Time, compare, xxh64};
use byrnie_plan::{Balancer, HashSource, Outlier};
use byrnie_telemetry::names;
use http::header::COOKIE;
use http::{HeaderMap, Uri};

use crate::config::{Cluster, Endpoint};
use crate::error::{Kind, ProxyError};
use crate::process::Process;
use crate::worker::Worker;

mod pick;
pub mod session;
pub mod state;

pub use pick::Wish;

/// Picks an endpoint and takes a place there.
pub fn take(
    worker: &Worker,
    cluster: &Arc<Cluster>,
    now: Time,
    wish: &Wish<'_>,
) -> Result<InFlight, ProxyError> {
    let set = cluster.endpoints.load();
    let picked = pick::pick(worker, cluster, &set, now, wish)?;
    if !picked.endpoint.load.try_start(cluster.settings.limits.max_in_flight) {
        // Others were faster.
        return Err(overload(worker, cluster));
    }
    Ok(InFlight {
        cluster: Arc::clone(cluster),
        endpoint: Arc::clone(picked.endpoint),
        probe: picked.probe,
        finished: false,
    })
}

/// Takes a place at the application of this proxy's own workload. `None`: its limit is reached.
pub fn take_own(worker: &Worker, cluster: &Arc<Cluster>, endpoint: &Arc<Endpoint>) -> Option<InFlight> {
    if !endpoint.load.try_start(cluster.settings.limits.max_in_flight) {
        worker.process.counters.limit_in_flight.inc();
        return None;
    }
    let (cluster, endpoint) = (Arc::clone(cluster), Arc::clone(endpoint));
    Some(InFlight { cluster, endpoint, probe: None, finished: false })
}

fn overload(worker: &Worker, cluster: &Cluster) -> ProxyError {
    worker.process.counters.limit_in_flight.inc();
    ProxyError::unprocessed(
        Kind::Overload,
        format!(
            "all endpoints of {} have {} requests in flight (maxInFlight)",
            cluster.service.service, cluster.settings.limits.max_in_flight
        ),
    )
}

/// The key of consistent hashing, where the service is balanced so. `head`: `None` for a connection of bytes, which has
/// no key but its caller's address. Without a key an endpoint is drawn by chance.
pub fn hash(cluster: &Cluster, remote: SocketAddr, head: Option<(&HeaderMap, &Uri)>) -> Option<u64> {
    let (Balancer::RingHash(source) | Balancer::Maglev(source)) = &cluster.settings.balancer else {
        return None;
    };
    let key = match source {
        HashSource::SourceAddress => return Some(xxh64(remote.ip().to_string().as_bytes())),
        HashSource::Header(name) => head?.0.get(name.as_str())?.as_bytes(),
        HashSource::Cookie(name) => cookie(head?.0, name)?,
        HashSource::Query(name) => query(head?.1, name)?,
    };
    Some(xxh64(key))
}

/// The value of a cookie (RFC 6265 section 4.2.1).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")).next()
}

/// The first value of a query parameter, as sent.
fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a [u8]> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::as_bytes)
}

/// A request or connection at an endpoint, counted until it ends.
pub struct InFlight {
    /// Where it was balanced.
    pub cluster: Arc<Cluster>,
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// It tells whether the endpoint, which is ejected, is well again.
    probe: Option<Probe>,
    finished: bool,
}

impl InFlight {
    /// It ended so.
    pub fn finish(mut self, worker: &Worker, now: Time, outcome: Outcome) {
        self.finished = true;
        self.endpoint.load.finish(now, outcome);
        self.judge(worker, now, outcome);
    }

    /// A connection came about, after this time: all that its endpoint is judged by, however long it lasts.
    pub fn connected(&mut self, worker: &Worker, now: Time, outcome: Outcome) {
        self.judge(worker, now, outcome);
    }

    /// A connection that came about has ended. How long it lasted says nothing; that the server broke it off before it
    /// said a word does.
    pub fn closed(mut self, worker: &Worker, now: Time, outcome: Outcome) {
        self.finished = true;
        self.endpoint.load.finish(now, outcome);
        if let Outcome::Failure(_) = outcome {
            self.judge(worker, now, outcome);
        }
    }

    /// What it says about the endpoint's health.
    fn judge(&mut self, worker: &Worker, now: Time, outcome: Outcome) {
        if let Outcome::Success(_) = outcome
            && !self.endpoint.answered.load(Relaxed)
        {
            self.endpoint.answered.store(true, Relaxed);
        }
        let Some(settings) = &self.cluster.settings.outlier else { return };
        let probe = self.probe.take_if(|_| matches!(outcome, Outcome::Success(_) | Outcome::Failure(_)));
        match (outcome, probe) {
            (Outcome::Success(_), Some(probe)) => {
                probe.end(|outlier| outlier.probe_succeeded(now));
                let (endpoint, service) = (&self.endpoint.plan.workload, &self.cluster.service.service);
                tracing::info!("{endpoint} of {service} is back: its probe succeeded");
            }
            (Outcome::Success(latency), None) => self.endpoint.outlier.succeeded(settings, latency),
            (Outcome::Failure(_), Some(probe)) => {
                let until = probe.end(|outlier| outlier.probe_failed(settings, now));
                tell_ejected(worker, &self.cluster, &self.endpoint, EjectionReason::Probe, until.since(now));
            }
            (Outcome::Failure(_), None) => {
                let set = self.cluster.endpoints.load();
                let all = set.endpoints.iter().map(|endpoint| &endpoint.outlier);
                let ejection = self.endpoint.outlier.failed(settings, now, all);
                let reason = EjectionReason::ConsecutiveFailures;
                ejected(worker, &self.cluster, &self.endpoint, reason, ejection, now);
            }
            (Outcome::Overloaded(_) | Outcome::Unknown, _) => {}
        }
        if settings.success_rate.is_some() || settings.latency.is_some() {
            self.compare_if_due(worker, settings, now);
        }
    }

    fn compare_if_due(&self, worker: &Worker, settings: &Outlier, now: Time) {
        if !self.cluster.outlier_clock.is_due(settings.interval, now) {
            return;
        }
        let set = self.cluster.endpoints.load();
        let all: Vec<&OutlierState> = set.endpoints.iter().map(|endpoint| &endpoint.outlier).collect();
        for (index, reason, ejection) in compare(settings, now, &all) {
            if let Some(endpoint) = set.endpoints.get(index) {
                ejected(worker, &self.cluster, endpoint, reason, ejection, now);
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.finished {
            self.endpoint.load.finish(Time::ZERO, Outcome::Unknown);
        }
    }
}

/// The one request that tells whether an ejected endpoint is well again. When it says nothing, the next one is it.
struct Probe {
    process: Arc<Process>,
    endpoint: Arc<Endpoint>,
    is_told: bool,
}

impl Probe {
    /// Takes it, if it is time and nobody has it.
    fn take(process: &Arc<Process>, endpoint: &Arc<Endpoint>, now: Time) -> Option<Self> {
        let taken = endpoint.outlier.take_probe(now);
        taken.then(|| {
            process.ejections.fetch_add(1, Relaxed);
            Self { process: Arc::clone(process), endpoint: Arc::clone(endpoint), is_told: false }
        })
    }

    /// It is over; who picks next sees what it came to.
    fn end<T>(mut self, how: impl FnOnce(&OutlierState) -> T) -> T {
        self.is_told = true;
        let out = how(&self.endpoint.outlier);
        self.process.ejections.fetch_add(1, Relaxed);
        out
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.is_told {
            self.endpoint.outlier.probe_given_up();
            self.process.ejections.fetch_add(1, Relaxed);
        }
    }
}

fn ejected(
    worker: &Worker,
    cluster: &Cluster,
    endpoint: &Endpoint,
    reason: EjectionReason,
    ejection: Ejection,
    now: Time,
) {
    if let Ejection::Until(until) = ejection {
        worker.process.ejections.fetch_add(1, Relaxed);
        tell_ejected(worker, cluster, endpoint, reason, until.since(now));
    }
}

/// Rare: looks the counter up by its names.
fn tell_ejected(
    worker: &Worker,
    cluster: &Cluster,
    endpoint: &Endpoint,
    reason: EjectionReason,
    time: std::time::Duration,
) {
    let service = &cluster.service.service;
    let labels = [service.namespace.as_str(), service.name.as_str(), reason.name()];
    worker.process.metrics.counter(&names::OUTLIER_EJECTIONS, &labels).inc();
    let (workload, reason) = (&endpoint.plan.workload, reason.name());
    tracing::info!("{workload} of {service} is left out for {time:?} and until a probe succeeds: {reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_queries_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xsession=1; session=abc; session=2".parse().unwrap());
        assert_eq!(cookie(&headers, "session"), Some(&b"abc"[..]));
        assert_eq!(cookie(&headers, "sess"), None);
        let uri = Uri::from_static("/?xuser=1&user=7&user=8");
        assert_eq!(query(&uri, "user"), Some(&b"7"[..]));
        assert_eq!(query(&uri, "use"), None);
    }
}
