//! The endpoints of a cluster at one moment, compiled for picking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use byrnie_decide::{Picker, SlowStartGate, Spread, Time, distance, levels};
use byrnie_plan::{Balancer, Outlier, TrafficSettings};
use foldhash::HashMap;

use super::Endpoint;
use super::session::SessionId;

/// The endpoints at one moment, compiled for picking.
pub struct EndpointSet {
    /// Same order as the picker's.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Picks an index.
    pub picker: Picker,
    /// The same endpoints by how near they are; empty where that makes no difference.
    pub levels: Box<[Level]>,
    /// Which endpoint a session names; empty without sessions.
    pub sessions: HashMap<SessionId, u32>,
    slow_start: Option<SlowStart>,
    health: Health,
}

/// Endpoints that are equally near.
pub struct Level {
    /// Picks an index of `members`.
    pub picker: Picker,
    /// Indexes of the endpoints.
    pub members: Box<[u32]>,
}

/// Endpoints that are new get less, until all are old enough.
struct SlowStart {
    window: Duration,
    oldest: Time,
    over: Time,
}

/// What ejections come to, computed again when one has begun or ended since.
struct Health {
    /// The number of ejections that it is of, and the levels that panic: eight bits.
    stamp: AtomicU64,
    percent: AtomicU64,
    next_probe: AtomicU64,
}

/// What ejections come to at one moment.
#[derive(Clone, Copy, Debug)]
pub struct HealthView {
    /// How requests are spread over levels.
    pub spread: Spread,
    /// When the next endpoint is to be probed.
    pub next_probe: Time,
}

impl EndpointSet {
    /// Compiles. `own`: where this proxy is.
    pub fn new(settings: &TrafficSettings, own: &str, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let name = |e: &Arc<Endpoint>| (e.plan.weight, format!("{}|{}", e.plan.address, e.plan.app_port));
        let named: Vec<(u32, String)> = endpoints.iter().map(name).collect();
        let sessions = settings.session.iter().flat_map(|_| (0u32..).zip(&endpoints));
        let sessions = sessions.filter_map(|(index, endpoint)| Some((endpoint.session()?.id, index)));
        Self {
            picker: Picker::new(&settings.balancer, &named),
            levels: by_level(settings, own, &endpoints, &named),
            sessions: sessions.collect(),
            slow_start: slow_start(settings, &endpoints),
            health: Health {
                // No number of ejections is that high.
                stamp: AtomicU64::new(u64::MAX),
                percent: AtomicU64::new(0),
                next_probe: AtomicU64::new(u64::MAX),
            },
            endpoints,
        }
    }

    /// Which endpoints may be picked for a request now; `None`: all, none is new.
    pub fn gate(&self, now: Time, random: u64) -> Option<SlowStartGate> {
        let slow = self.slow_start.as_ref().filter(|slow| now < slow.over)?;
        Some(SlowStartGate::draw(slow.window, slow.oldest, now, random))
    }

    /// What ejections come to. `ejections`: how often one has begun or ended in this process.
    pub fn health(&self, ejections: u64, settings: &TrafficSettings, outlier: &Outlier) -> HealthView {
        let health = &self.health;
        let stamp = health.stamp.load(Ordering::Acquire);
        if stamp >> 8 == ejections & (u64::MAX >> 8) {
            return HealthView {
                spread: Spread::unpack(health.percent.load(Ordering::Relaxed), stamp as u8),
                next_probe: Time::from_micros(health.next_probe.load(Ordering::Relaxed)),
            };
        }
        let view = self.compute_health(settings, outlier);
        let (percent, panic) = view.spread.pack();
        health.percent.store(percent, Ordering::Relaxed);
        health.next_probe.store(view.next_probe.as_micros(), Ordering::Relaxed);
        health.stamp.store(ejections << 8 | u64::from(panic), Ordering::Release);
        view
    }

    fn compute_health(&self, settings: &TrafficSettings, outlier: &Outlier) -> HealthView {
        let counts: Vec<(usize, usize)> = match self.levels.is_empty() {
            true => vec![count(self.endpoints.iter())],
            false => {
                let of = |level: &Level| {
                    count(level.members.iter().filter_map(|i| self.endpoints.get(*i as usize)))
                };
                self.levels.iter().map(of).collect()
            }
        };
        let overprovisioning = settings.locality.as_ref().map_or(140, |near| near.overprovisioning_percent);
        let next_probe = self.endpoints.iter().filter_map(|endpoint| endpoint.outlier.next_probe()).min();
        HealthView {
            spread: Spread::new(&counts, overprovisioning, outlier.panic_percent),
            next_probe: next_probe.unwrap_or(Time::from_micros(u64::MAX)),
        }
    }
}

/// Endpoints in service, and all; without those that get nothing.
fn count<'a>(endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> (usize, usize) {
    let weighty = endpoints.filter(|endpoint| endpoint.plan.weight != 0);
    weighty.fold((0, 0), |(healthy, all), e| (healthy + usize::from(!e.outlier.is_out()), all + 1))
}

fn by_level(
    settings: &TrafficSettings,
    own: &str,
    endpoints: &[Arc<Endpoint>],
    named: &[(u32, String)],
) -> Box<[Level]> {
    let Some(near) = &settings.locality else { return Box::default() };
    let distances: Vec<usize> =
        endpoints.iter().map(|endpoint| distance(own, &endpoint.plan.locality, &near.failover)).collect();
    let levels = levels(&distances);
    let count = levels.iter().max().map_or(0, |most| most + 1);
    if count < 2 {
        return Box::default();
    }
    let level = |level: usize| {
        let members = (0u32..).zip(&levels).filter(|(_, l)| **l == level).map(|(index, _)| index);
        let members: Box<[u32]> = members.collect();
        let named: Vec<&(u32, String)> = members.iter().filter_map(|i| named.get(*i as usize)).collect();
        let named: Vec<(u32, &str)> =
            named.into_iter().map(|(weight, name)| (*weight, name.as_str())).collect();
        Level { picker: Picker::new(&settings.balancer, &named), members }
    };
    (0..count).map(level).collect()
}

/// `None` where nobody is new, or the balancer keeps keys at their place.
fn slow_start(settings: &TrafficSettings, endpoints: &[Arc<Endpoint>]) -> Option<SlowStart> {
    let window = settings.slow_start?;
    if matches!(settings.balancer, Balancer::RingHash(_) | Balancer::Maglev(_)) {
        return None;
    }
    let since = || endpoints.iter().filter(|e| e.plan.weight != 0).map(|endpoint| endpoint.since);
    Some(SlowStart { window, oldest: since().min()?, over: since().max()?.plus(window) })
}
