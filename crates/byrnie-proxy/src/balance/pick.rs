//! The choice of an endpoint: probes first, then sessions, then the balancer among who is near and in service.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use byrnie_decide::{PickContext, Picker, SlowStartGate, Time};

use super::session::Claim;
use super::{Probe, overload};
use crate::config::{Cluster, Endpoint, EndpointSet, HealthView};
use crate::error::{Kind, ProxyError};
use crate::worker::Worker;

/// What a request or connection would like.
#[derive(Clone, Copy, Default)]
pub struct Wish<'a> {
    /// The key of consistent hashing.
    pub hash: Option<u64>,
    /// The session that it belongs to.
    pub session: Option<&'a Claim>,
    /// Endpoints that just failed: taken again only when there is no other.
    pub except: &'a [u64],
    /// Whether their localities are avoided, too.
    pub other_locality: bool,
}

/// The endpoint that was picked.
pub(super) struct Picked<'a> {
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) probe: Option<Probe>,
}

/// How strict a search is; the next one is tried when the one before finds nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Neither new beyond its share, nor asked to be left alone, nor just failed.
    Strict,
    /// Not just failed.
    Other,
    /// Anybody in service.
    Any,
}

pub(super) fn pick<'a>(
    worker: &Worker,
    cluster: &Cluster,
    set: &'a EndpointSet,
    now: Time,
    wish: &Wish<'_>,
) -> Result<Picked<'a>, ProxyError> {
    let limit = cluster.settings.limits.max_in_flight;
    if let [only] = set.endpoints.as_slice()
        && only.plan.weight != 0
        && !only.outlier.is_out()
    {
        return match only.load.in_flight() < limit {
            true => Ok(Picked { endpoint: only, probe: None }),
            false => Err(overload(worker, cluster)),
        };
    }
    let settings = &cluster.settings;
    let health = settings.outlier.as_ref().map(|outlier| {
        let ejections = worker.process.ejections.load(Relaxed);
        set.health(ejections, settings, outlier)
    });
    let random = worker.draw();
    let search = Search {
        set,
        health,
        gate: set.gate(now, random),
        context: PickContext { now, random, hash: wish.hash },
        wish,
        limit,
    };
    if let Some(picked) = search.probe(worker) {
        return Ok(picked);
    }
    let unix_ms = || worker.process.unix_ms(std::time::Instant::now());
    let session = wish.session.and_then(|claim| claim.endpoint(set, settings, unix_ms()));
    if let Some(endpoint) = session.filter(|endpoint| search.may_stay(endpoint)) {
        return Ok(Picked { endpoint, probe: None });
    }
    let found = [Pass::Strict, Pass::Other, Pass::Any].into_iter().find_map(|pass| search.run(pass));
    found.map(|endpoint| Picked { endpoint, probe: None }).ok_or_else(|| nobody(worker, cluster, set))
}

struct Search<'a, 'w> {
    set: &'a EndpointSet,
    /// `None`: nobody is ever ejected.
    health: Option<HealthView>,
    gate: Option<SlowStartGate>,
    context: PickContext,
    wish: &'w Wish<'w>,
    limit: u32,
}

impl<'a> Search<'a, '_> {
    /// An ejected endpoint whose time is over gets one request.
    fn probe(&self, worker: &Worker) -> Option<Picked<'a>> {
        let now = self.context.now;
        if self.health.is_none_or(|health| health.next_probe > now) {
            return None;
        }
        self.set.endpoints.iter().find_map(|endpoint| {
            let possible =
                endpoint.plan.weight != 0 && self.has_room(endpoint) && !self.is_excepted(endpoint);
            let probe = possible.then(|| Probe::take(&worker.process, endpoint, now)).flatten()?;
            Some(Picked { endpoint, probe: Some(probe) })
        })
    }

    /// One search, near endpoints first.
    fn run(&self, pass: Pass) -> Option<&'a Arc<Endpoint>> {
        let set = self.set;
        if set.levels.is_empty() {
            return self.search(&set.picker, 0, pass, |index| set.endpoints.get(index));
        }
        let key = self.wish.hash.unwrap_or(self.context.random);
        let first = self.health.map_or(0, |health| health.spread.choose(key));
        let others = (0..set.levels.len()).filter(|level| *level != first);
        std::iter::once(first).chain(others).find_map(|number| {
            let level = set.levels.get(number)?;
            let at = |index: usize| set.endpoints.get(*level.members.get(index)? as usize);
            self.search(&level.picker, number, pass, at)
        })
    }

    fn search(
        &self,
        picker: &Picker,
        level: usize,
        pass: Pass,
        at: impl Fn(usize) -> Option<&'a Arc<Endpoint>>,
    ) -> Option<&'a Arc<Endpoint>> {
        let first = at(0)?;
        let panics = self.health.is_none_or(|health| health.spread.panics(level));
        let load = |index: usize| at(index).map_or(&first.load, |endpoint| &endpoint.load);
        let usable = |index: usize| {
            at(index).is_some_and(|endpoint| {
                self.has_room(endpoint)
                    && (panics || !endpoint.outlier.is_out())
                    && match pass {
                        Pass::Strict => self.is_wanted(endpoint),
                        Pass::Other => !self.is_excepted(endpoint),
                        Pass::Any => true,
                    }
            })
        };
        picker.pick(self.context, load, usable).and_then(&at)
    }

    fn has_room(&self, endpoint: &Endpoint) -> bool {
        endpoint.load.in_flight() < self.limit
    }

    fn is_excepted(&self, endpoint: &Endpoint) -> bool {
        self.wish.except.contains(&endpoint.id)
    }

    fn is_wanted(&self, endpoint: &Endpoint) -> bool {
        let is_resting = endpoint.load.wants_rest(self.context.now);
        let is_too_new = self.gate.is_some_and(|gate| !gate.admits(endpoint.since));
        let is_too_near = self.wish.other_locality && self.is_where_it_failed(endpoint);
        !(self.is_excepted(endpoint) || is_resting || is_too_new || is_too_near)
    }

    fn is_where_it_failed(&self, endpoint: &Endpoint) -> bool {
        let failed = self.set.endpoints.iter().filter(|other| self.is_excepted(other));
        failed.into_iter().any(|other| other.plan.locality == endpoint.plan.locality)
    }

    /// Whether a session's endpoint may take its request. Its weight and age play no role: it is no new load.
    fn may_stay(&self, endpoint: &Endpoint) -> bool {
        self.has_room(endpoint) && !self.is_excepted(endpoint) && !endpoint.outlier.is_out()
    }
}

/// Why no endpoint was found.
fn nobody(worker: &Worker, cluster: &Cluster, set: &EndpointSet) -> ProxyError {
    let service = &cluster.service.service;
    let none = |what: String| ProxyError::unprocessed(Kind::NoEndpoint, what);
    if set.endpoints.is_empty() {
        return none(format!("{service} has no endpoint"));
    }
    if set.endpoints.iter().all(|endpoint| endpoint.plan.weight == 0) {
        return none(format!("all endpoints of {service} have weight 0"));
    }
    overload(worker, cluster)
}
