//! Which endpoint takes the next request.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use byrnie_plan::Balancer;

use crate::weight::second_draw;
use crate::{EndpointLoad, Time, WeightedChoice};

mod tables;

use tables::{maglev, ring, schedule};

/// Places of a table that are tried before the endpoints are looked at one by one.
const WALK: usize = 64;

/// What a pick depends on beside the endpoints.
#[derive(Clone, Copy, Debug)]
pub struct PickContext {
    /// Now.
    pub now: Time,
    /// 64 random bits.
    pub random: u64,
    /// [`crate::xxh64`] of the request's key, for consistent hashing; without it a hash balancer picks at random.
    pub hash: Option<u64>,
}

/// The endpoints of one service port (or subset), compiled for picking. Built anew when they change; shared by all
/// workers.
#[derive(Debug)]
pub struct Picker {
    weights: WeightedChoice,
    /// All weights are the same and not 0: draw an index without looking for it.
    uniform: bool,
    count: usize,
    method: Method,
}

#[derive(Debug)]
enum Method {
    PeakEwma,
    LeastRequest,
    Random,
    /// A schedule that spreads each endpoint's turns, and whose turn it is.
    RoundRobin(Box<[u32]>, AtomicU32),
    /// Points on the ring, ascending.
    Ring(Box<[(u64, u32)]>),
    Maglev(Box<[u32]>),
}

impl Picker {
    /// Compiles. Each endpoint is its weight (0: gets nothing) and a name that is the same in every process, for
    /// example its address as text: consistent hashing depends on it.
    pub fn new<S: AsRef<str>>(balancer: &Balancer, endpoints: &[(u32, S)]) -> Self {
        let weights: Vec<u32> = endpoints.iter().map(|(weight, _)| *weight).collect();
        let method = match balancer {
            Balancer::PeakEwma => Method::PeakEwma,
            Balancer::LeastRequest => Method::LeastRequest,
            Balancer::Random => Method::Random,
            Balancer::RoundRobin => Method::RoundRobin(schedule(&weights), AtomicU32::new(0)),
            Balancer::RingHash(_) => Method::Ring(ring(endpoints)),
            Balancer::Maglev(_) => Method::Maglev(maglev(endpoints)),
        };
        Self {
            uniform: weights.first().is_some_and(|first| *first != 0 && weights.iter().all(|w| w == first)),
            count: weights.len(),
            weights: WeightedChoice::new(weights),
            method,
        }
    }

    /// How many endpoints there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Picks an endpoint: its index. `load` gives an endpoint's load; `usable` says whether it may be picked now
    /// (not ejected, below its limits, not the one that just failed). `None`: none is usable.
    pub fn pick<'a>(
        &self,
        context: PickContext,
        load: impl Fn(usize) -> &'a EndpointLoad,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match &self.method {
            Method::PeakEwma => self.two_choices(context.random, &usable, |i| load(i).cost(context.now)),
            Method::LeastRequest => {
                self.two_choices(context.random, &usable, |i| load(i).request_cost(context.now))
            }
            Method::Random => self.draw(context.random, &usable),
            Method::RoundRobin(schedule, turn) => {
                let at = (turn.fetch_add(1, Relaxed) as usize).checked_rem(schedule.len())?;
                let whose = schedule.get(at).map(|i| *i as usize).filter(|i| usable(*i));
                // The turn of one who cannot take it is nobody's in particular: no neighbour inherits its share.
                whose.or_else(|| self.draw(context.random, &usable))
            }
            Method::Ring(points) => {
                let hash = context.hash.unwrap_or(context.random);
                let start = points.partition_point(|(point, _)| *point < hash);
                self.walk(points.len(), start, |at| points.get(at).map(|(_, i)| *i as usize), &usable)
            }
            Method::Maglev(table) => {
                let hash = context.hash.unwrap_or(context.random);
                let start = (hash % table.len().max(1) as u64) as usize;
                self.walk(table.len(), start, |at| table.get(at).map(|i| *i as usize), &usable)
            }
        }
    }

    /// Two different endpoints by weight; the cheaper one, or the first one when they cost the same.
    fn two_choices(
        &self,
        random: u64,
        usable: &impl Fn(usize) -> bool,
        cost: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        let first = self.choose(random)?;
        let Some(second) = self.choose_other(first, second_draw(random)) else {
            return usable(first).then_some(first);
        };
        match (usable(first), usable(second)) {
            (true, true) => Some(if cost(second) < cost(first) { second } else { first }),
            (true, false) => Some(first),
            (false, true) => Some(second),
            // Two others by chance: the cheapest of all would get everything until its cost is known anew.
            (false, false) => {
                let (a, b) = (self.draw(random, usable)?, self.draw(second_draw(!random), usable)?);
                Some(if cost(b) < cost(a) { b } else { a })
            }
        }
    }

    /// The first usable endpoint in a circular list, from `start` on. After [`WALK`] places the endpoints are looked
    /// at themselves: a table of 65,537 places is no work for each request of a service that is down.
    fn walk(
        &self,
        length: usize,
        start: usize,
        endpoint: impl Fn(usize) -> Option<usize>,
        usable: &impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let place = |step: usize| endpoint((start % length + step) % length);
        let near = (0..length.min(WALK)).filter_map(place).find(|i| usable(*i));
        let all = || (0..self.count).map(|step| (start % self.count + step) % self.count);
        near.or_else(|| all().find(|i| self.weights.weight(*i) != 0 && usable(*i)))
    }

    fn draw(&self, random: u64, usable: &impl Fn(usize) -> bool) -> Option<usize> {
        let chosen = self.choose(random)?;
        if usable(chosen) {
            return Some(chosen);
        }
        // Rare: draw anew among the usable ones, so that no neighbour inherits the whole share.
        let left = WeightedChoice::new((0..self.count).map(|i| if usable(i) { self.weight(i) } else { 0 }));
        left.choose(second_draw(random))
    }

    fn choose(&self, random: u64) -> Option<usize> {
        match self.uniform {
            true => Some(crate::weight::scale(random, self.count as u64) as usize),
            false => self.weights.choose(random),
        }
    }

    fn choose_other(&self, index: usize, random: u64) -> Option<usize> {
        match self.uniform {
            true if self.count < 2 => None,
            true => {
                let other = crate::weight::scale(random, self.count as u64 - 1) as usize;
                Some(if other < index { other } else { other + 1 })
            }
            false => self.weights.choose_other(index, random),
        }
    }

    fn weight(&self, index: usize) -> u32 {
        u32::try_from(self.weights.weight(index)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
