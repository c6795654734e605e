//! Token buckets, as GCRA (ITU-T I.371): a bucket is one number, the moment at which it will be full again, moved
//! forward by compare-and-swap. So a limit is exact whatever the number of workers, and costs one atomic operation.
//!
//! A full bucket lets `burst` pass at once; from then on one each `per / number`. In any time t at most
//! `burst + number × t / per` pass.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use byrnie_plan::{RateKey, RateLimits, RateUnit};
use smallvec::SmallVec;

use crate::{Arrival, HeaderLookup, RouterError, Time, TrafficMatcher, xxh64};

mod buckets;

use buckets::Keyed;

/// All limits of one policy at one place. Shared by all workers.
#[derive(Debug)]
pub struct RateLimiter {
    limits: Box<[Limit]>,
    /// Makes hashes of keys unforeseeable.
    seed: u64,
}

#[derive(Debug)]
struct Limit {
    unit: RateUnit,
    matches: TrafficMatcher,
    key: Box<[RateKey]>,
    pace: Pace,
    buckets: Buckets,
}

#[derive(Debug)]
enum Buckets {
    One(AtomicU64),
    Keyed(Keyed),
}

/// How fast a bucket fills and how much it holds, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: u64,
    capacity: u64,
}

/// What a limit said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Index of the limit.
    pub limit: usize,
    /// How many more may pass now.
    pub remaining: u32,
    /// When the bucket is full again; of a refusal: when the next one may pass.
    pub reset: Duration,
}

/// What all limits said that are for a request or connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateVerdict {
    /// In the order of the limits, up to the one that refused.
    pub quotas: SmallVec<[Quota; 2]>,
    /// Whether the last of them refused.
    pub refused: bool,
    /// How many buckets in use were given to another key, because there was no room for one more.
    pub displaced: u32,
}

impl RateLimiter {
    /// Compiles. `seed`: unforeseeable.
    pub fn compile(plan: &RateLimits, seed: u64) -> Result<Self, RouterError> {
        let limits = plan.limits.iter().map(|limit| {
            let interval = nanos(limit.per) / u64::from(limit.number.max(1));
            let interval = interval.max(1);
            let buckets = match limit.key.is_empty() {
                true => Buckets::One(AtomicU64::new(0)),
                false => Buckets::Keyed(Keyed::new(limit.max_keys)),
            };
            Ok(Limit {
                unit: limit.unit,
                matches: TrafficMatcher::compile(&limit.matches)?,
                key: limit.key.clone().into(),
                pace: Pace { interval, capacity: interval.saturating_mul(u64::from(limit.burst.max(1))) },
                buckets,
            })
        });
        Ok(Self { limits: limits.collect::<Result<_, _>>()?, seed })
    }

    /// Takes a token of every limit that is for this request or connection. When one refuses, those before it get
    /// theirs back.
    pub fn take<H: HeaderLookup + ?Sized>(&self, arrival: &Arrival<'_, H>, now: Time) -> RateVerdict {
        let now = now.as_micros().saturating_mul(1000);
        let mut verdict = RateVerdict::default();
        let mut taken: SmallVec<[(&AtomicU64, u64); 2]> = SmallVec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            if !limit.is_for(arrival) {
                continue;
            }
            let (bucket, displaced) = limit.bucket(arrival, self.seed, now);
            verdict.displaced += u32::from(displaced);
            let (quota, refused) = match limit.pace.take(bucket, now) {
                Ok(full) => {
                    taken.push((bucket, limit.pace.interval));
                    (limit.pace.quota(index, full), false)
                }
                Err(wait) => (Quota { limit: index, remaining: 0, reset: wait }, true),
            };
            verdict.quotas.push(quota);
            if refused {
                verdict.refused = true;
                for (bucket, interval) in taken {
                    bucket.fetch_sub(interval, Relaxed);
                }
                break;
            }
        }
        verdict
    }

    /// The indexes of the limits that are for this request or connection; nothing is taken.
    pub fn meant<'a, H: HeaderLookup + ?Sized>(
        &'a self,
        arrival: &'a Arrival<'_, H>,
    ) -> impl Iterator<Item = usize> + 'a {
        (0..).zip(&self.limits).filter(|(_, limit)| limit.is_for(arrival)).map(|(index, _)| index)
    }

    /// Whether any limit asks who calls.
    pub fn asks_identity(&self) -> bool {
        let asks = |limit: &Limit| limit.key.contains(&RateKey::Identity) || limit.matches.asks_identity();
        self.limits.iter().any(asks)
    }
}

impl Limit {
    fn is_for<H: HeaderLookup + ?Sized>(&self, arrival: &Arrival<'_, H>) -> bool {
        let unit = if arrival.request.is_some() { RateUnit::Requests } else { RateUnit::Connections };
        self.unit == unit && self.matches.matches(arrival)
    }

    /// The bucket that counts, and whether it was another key's and still in use.
    fn bucket<H: HeaderLookup + ?Sized>(
        &self,
        arrival: &Arrival<'_, H>,
        seed: u64,
        now: u64,
    ) -> (&AtomicU64, bool) {
        match &self.buckets {
            Buckets::One(bucket) => (bucket, false),
            Buckets::Keyed(keyed) => keyed.find(hash(&self.key, arrival, seed), now),
        }
    }
}

/// A request that lacks a part of the key shares one bucket with all others that lack it: leaving a header out does
/// not escape the limit.
fn hash<H: HeaderLookup + ?Sized>(key: &[RateKey], arrival: &Arrival<'_, H>, seed: u64) -> u64 {
    let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
    bytes.extend_from_slice(&seed.to_le_bytes());
    let mut part = |value: &[u8]| {
        // Lengths, so that two parts cannot be cut in two ways.
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value);
    };
    for one in key {
        match one {
            RateKey::Identity => part(arrival.identity.unwrap_or_default().as_bytes()),
            RateKey::SourceAddress => match arrival.address {
                std::net::IpAddr::V4(ip) => part(&ip.octets()),
                std::net::IpAddr::V6(ip) => part(&ip.octets()),
            },
            RateKey::Header(name) => {
                let values = arrival.request.iter().flat_map(|request| request.headers.values(name));
                let mut joined: SmallVec<[u8; 128]> = SmallVec::new();
                values.for_each(|value| joined.extend_from_slice(value));
                part(&joined);
            }
        }
    }
    xxh64(&bytes)
}

impl Pace {
    /// Takes a token: `Ok` with the time until the bucket is full again, `Err` with the time until there is one.
    fn take(self, bucket: &AtomicU64, now: u64) -> Result<u64, Duration> {
        let mut full_at = bucket.load(Relaxed);
        loop {
            let new = full_at.max(now).saturating_add(self.interval);
            let debt = new - now;
            if debt > self.capacity {
                return Err(Duration::from_nanos(debt - self.capacity));
            }
            match bucket.compare_exchange_weak(full_at, new, Relaxed, Relaxed) {
                Ok(_) => return Ok(debt),
                Err(other) => full_at = other,
            }
        }
    }

    fn quota(self, limit: usize, debt: u64) -> Quota {
        let remaining = (self.capacity - debt) / self.interval;
        Quota {
            limit,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: Duration::from_nanos(debt),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
