//! Which endpoint takes the next request or connection: the decision is `byrnie-decide`'s, the state is here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_decide::{Ejection, Outcome, PickContext, Time, xxh64};
use byrnie_plan::{Balancer, HashSource};
use http::header::COOKIE;
use http::{HeaderMap, Uri};

use crate::config::{Cluster, Endpoint};
use crate::error::{Kind, ProxyError};
use crate::worker::Worker;

/// Picks an endpoint. `hash`: the key of consistent hashing; `except`: the endpoint that just failed, taken again only
/// when there is no other.
///
/// When every endpoint is ejected, ejection is ignored: some of them may work, and none would certainly fail
/// (Envoy's panic mode).
pub fn pick(
    worker: &Worker,
    cluster: &Cluster,
    now: Time,
    hash: Option<u64>,
    except: Option<u64>,
) -> Result<Arc<Endpoint>, ProxyError> {
    pick_other(worker, cluster, now, hash, except.as_slice())
}

/// As [`pick`], for who has seen several fail.
pub fn pick_other(
    worker: &Worker,
    cluster: &Cluster,
    now: Time,
    hash: Option<u64>,
    except: &[u64],
) -> Result<Arc<Endpoint>, ProxyError> {
    let set = cluster.endpoints.load();
    let limit = cluster.settings.limits.max_in_flight;
    let has_room = |endpoint: &Endpoint| endpoint.load.in_flight() < limit;
    let at = |index: usize| set.endpoints.get(index);
    if let [only] = set.endpoints.as_slice()
        && only.plan.weight != 0
    {
        return if has_room(only) { Ok(Arc::clone(only)) } else { Err(overload(worker, cluster)) };
    }
    let Some(first) = set.endpoints.first() else {
        return Err(ProxyError::unprocessed(
            Kind::NoEndpoint,
            format!("{} has no endpoint", cluster.service.service),
        ));
    };
    let context = PickContext { now, random: worker.random(), hash };
    let load = |index: usize| at(index).map_or(&first.load, |endpoint| &endpoint.load);
    let wanted = |strict: bool| {
        set.picker.pick(context, load, |index| {
            at(index).is_some_and(|endpoint| {
                has_room(endpoint)
                    && (!strict || (!except.contains(&endpoint.id) && !endpoint.outlier.is_ejected(now)))
            })
        })
    };
    match wanted(true).or_else(|| wanted(false)).and_then(at) {
        Some(endpoint) => Ok(Arc::clone(endpoint)),
        None if set.endpoints.iter().all(|endpoint| endpoint.plan.weight == 0) => {
            Err(ProxyError::unprocessed(
                Kind::NoEndpoint,
                format!("all endpoints of {} have weight 0", cluster.service.service),
            ))
        }
        None => Err(overload(worker, cluster)),
    }
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

/// Takes a place at the endpoint. `None`: others were faster and its limit is reached.
pub fn start<'a>(
    worker: &Worker,
    cluster: &'a Arc<Cluster>,
    endpoint: &'a Arc<Endpoint>,
) -> Option<InFlight> {
    if !endpoint.load.try_start(cluster.settings.limits.max_in_flight) {
        worker.process.counters.limit_in_flight.inc();
        return None;
    }
    Some(InFlight { cluster: Arc::clone(cluster), endpoint: Arc::clone(endpoint), finished: false })
}

/// A request or connection at an endpoint, counted until it ends.
pub struct InFlight {
    /// Where it was balanced.
    pub cluster: Arc<Cluster>,
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    finished: bool,
}

impl InFlight {
    /// It ended so.
    pub fn finish(mut self, now: Time, outcome: Outcome) {
        self.finished = true;
        self.endpoint.load.finish(now, outcome);
        match outcome {
            Outcome::Success(_) => {
                self.endpoint.outlier.succeeded();
                if !self.endpoint.answered.load(Relaxed) {
                    self.endpoint.answered.store(true, Relaxed);
                }
            }
            Outcome::Failure(_) => self.eject_if_due(now),
            Outcome::Unknown => {}
        }
    }

    fn eject_if_due(&self, now: Time) {
        let Some(settings) = &self.cluster.settings.outlier else { return };
        let set = self.cluster.endpoints.load();
        let all = set.endpoints.iter().map(|endpoint| &endpoint.outlier);
        if let Ejection::Until(until) = self.endpoint.outlier.failed(settings, now, all) {
            tracing::info!(
                "{} of {} is left out for {:?} after {} failures in a row",
                self.endpoint.plan.workload,
                self.cluster.service.service,
                until.since(now),
                settings.consecutive_failures
            );
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
