//! Whose numbers a request's are: the labels of its series, found once for each who, whom and route.

use std::sync::Arc;
use std::time::Instant;

use byrnie_plan::{Hop, ObjectName};
use byrnie_telemetry::{Direction, Labels, RequestSeries};
use foldhash::HashMap;

use super::{Called, Exchange};
use crate::config::Endpoint;

/// Why a hop is not mTLS: the word that edges and metrics show.
const WHY_PLAINTEXT: &str = "the destination is outside the mesh";
/// The same where no endpoint was reached.
const WHY_NOT_REACHED: &str = "no endpoint was reached";
/// The same for a caller.
const WHY_PLAIN_CALLER: &str = "the caller is outside the mesh";

/// Metric handles by who, whom and route, so that a request looks up two numbers and no names.
#[derive(Default)]
pub struct SeriesCache {
    generation: u64,
    known: HashMap<(usize, u64), Known>,
}

struct Known {
    series: Arc<RequestSeries>,
    /// Keeps the address that is the key from being another's.
    _called: Called,
}

/// Handles that are kept at most; beyond, all are forgotten and found again.
const KEPT_SERIES: usize = 4096;

pub(super) fn find_series(
    exchange: &Exchange,
    endpoint: Option<&Arc<Endpoint>>,
    now: Instant,
) -> Arc<RequestSeries> {
    let worker = &exchange.worker;
    let rule = exchange.called.rule.as_ref();
    let generation = worker.config().generation;
    // Requests that no rule took differ by service; those for no service are not kept.
    let service = exchange.called.service.as_ref().map(|service| Arc::as_ptr(service) as usize);
    let place = rule.map(|rule| Arc::as_ptr(rule) as usize).or(service);
    let key = (place.unwrap_or_default(), endpoint.map_or(0, |endpoint| endpoint.id));
    let is_kept = place.is_some();
    let mut cache = worker.series.borrow_mut();
    if cache.generation != generation || cache.known.len() > KEPT_SERIES {
        cache.known.clear();
        cache.generation = generation;
    }
    if is_kept && let Some(known) = cache.known.get(&key) {
        return Arc::clone(&known.series);
    }
    let labels = labels(exchange, endpoint);
    let series = worker.process.metrics.requests(worker.index, &labels, now);
    if is_kept {
        cache.known.insert(key, Known { series: Arc::clone(&series), _called: exchange.called.clone() });
    }
    series
}

fn labels(exchange: &Exchange, endpoint: Option<&Arc<Endpoint>>) -> Labels {
    let process = &exchange.worker.process;
    let base = Labels {
        service: exchange.called.service.as_ref().map(|called| called.service.clone()),
        route: exchange.called.rule.as_ref().map(|rule| rule.name.clone()),
        self_identity: process.identity(),
        ..Labels::new(exchange.direction)
    };
    match exchange.direction {
        Direction::Outbound => {
            outbound_labels(base, &process.workload, endpoint.map(|endpoint| &*endpoint.plan))
        }
        Direction::Inbound => Labels {
            destination: Some(process.workload.clone()),
            peer_identity: exchange.front.peer.as_ref().map(|peer| peer.identity.clone()),
            secured: exchange.front.peer.is_some(),
            why: if exchange.front.peer.is_some() { String::new() } else { WHY_PLAIN_CALLER.to_owned() },
            ..base
        },
    }
}

/// The labels of a call from `source` to an endpoint, for requests and for connections.
pub fn outbound_labels(
    base: Labels,
    source: &ObjectName,
    endpoint: Option<&byrnie_plan::Endpoint>,
) -> Labels {
    let (secured, why, peer_identity) = match endpoint.map(|endpoint| &endpoint.hop) {
        Some(Hop::Mesh { identity, .. }) => (true, "", Some(identity.clone())),
        Some(Hop::Plaintext) => (false, WHY_PLAINTEXT, None),
        None => (false, WHY_NOT_REACHED, None),
    };
    Labels {
        source: Some(source.clone()),
        destination: endpoint.map(|endpoint| endpoint.workload.clone()),
        peer_identity,
        secured,
        why: why.to_owned(),
        ..base
    }
}
