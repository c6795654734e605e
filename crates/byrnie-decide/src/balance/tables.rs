//! Tables of the balancers that need one: round robin's schedule, the hash ring, Maglev's table.

use crate::xxh64;

/// Longest schedule of round robin. Weights whose sum is larger are scaled down to it.
const SCHEDULE_LIMIT: u64 = 4096;

/// Points of one endpoint of the largest weight on the ring: with 512 its share is within 20 % of even.
const RING_POINTS: u64 = 512;

/// Points on a whole ring at most (1 MiB); beyond 128 endpoints each gets fewer, 16 at least.
const RING_LIMIT: u64 = 1 << 16;

/// Size of Maglev's table: a prime (Envoy's default).
const MAGLEV_SIZE: usize = 65_537;

/// Smooth weighted round robin (nginx's), played through once.
pub(super) fn schedule(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let total: u64 = weights.iter().map(|w| u64::from(w / divisor)).sum();
    let limit = SCHEDULE_LIMIT.max(weights.len() as u64);
    let scaled: Vec<i64> = weights
        .iter()
        .map(|weight| u64::from(weight / divisor))
        .map(|weight| if total > limit && weight != 0 { (weight * limit / total).max(1) } else { weight })
        .map(|weight| i64::try_from(weight).unwrap_or(i64::MAX))
        .collect();
    let total: i64 = scaled.iter().sum();
    let mut current = vec![0i64; scaled.len()];
    let mut turns = Vec::new();
    for _ in 0..total {
        for (value, weight) in current.iter_mut().zip(&scaled) {
            *value += weight;
        }
        // The first of the largest, so that equal weights keep their order.
        let best = (0u32..).zip(&current).max_by(|(i, a), (j, b)| a.cmp(b).then(j.cmp(i)));
        let Some((best, _)) = best else { break };
        if let Some(value) = current.get_mut(best as usize) {
            *value -= total;
        }
        turns.push(best);
    }
    turns.into()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Points of all endpoints on the ring, ascending.
pub(super) fn ring<S: AsRef<str>>(endpoints: &[(u32, S)]) -> Box<[(u64, u32)]> {
    let heaviest = endpoints.iter().map(|(weight, _)| u64::from(*weight)).max().unwrap_or(0).max(1);
    let each = (RING_LIMIT / endpoints.len().max(1) as u64).clamp(16, RING_POINTS);
    let mut points = Vec::new();
    let mut key = Vec::new();
    for (index, (weight, name)) in (0u32..).zip(endpoints) {
        for replica in 0..(u64::from(*weight) * each).div_ceil(heaviest) {
            key.clear();
            key.extend_from_slice(name.as_ref().as_bytes());
            key.extend_from_slice(&replica.to_le_bytes());
            points.push((xxh64(&key), index));
        }
    }
    points.sort_unstable();
    points.into()
}

/// Maglev's table (Eisenbud and others, NSDI 2016, section 3.4); an endpoint takes turns by its weight.
pub(super) fn maglev<S: AsRef<str>>(endpoints: &[(u32, S)]) -> Box<[u32]> {
    const EMPTY: u32 = u32::MAX;
    let heaviest = endpoints.iter().map(|(weight, _)| *weight).max().unwrap_or(0);
    if heaviest == 0 {
        return Box::default();
    }
    let size = MAGLEV_SIZE as u64;
    let mut table = vec![EMPTY; MAGLEV_SIZE];
    let mut filled = 0;
    let mut claims: Vec<Claim> = (0u32..)
        .zip(endpoints)
        .map(|(index, (weight, name))| {
            let hash = xxh64(name.as_ref().as_bytes());
            let skip = xxh64(&hash.to_le_bytes()) % (size - 1) + 1;
            Claim {
                index,
                at: hash % size,
                skip,
                share: f64::from(*weight) / f64::from(heaviest),
                turns: 0.0,
            }
        })
        .collect();
    // Each round fills a place for the heaviest at least, so this ends.
    while filled < MAGLEV_SIZE {
        for claim in &mut claims {
            claim.turns += claim.share;
            if claim.turns < 1.0 {
                continue;
            }
            claim.turns -= 1.0;
            while let Some(place) = table.get_mut(claim.at as usize) {
                claim.at = (claim.at + claim.skip) % size;
                if *place == EMPTY {
                    *place = claim.index;
                    filled += 1;
                    break;
                }
            }
            if filled == MAGLEV_SIZE {
                break;
            }
        }
    }
    table.into()
}

/// One endpoint's walk through the table.
struct Claim {
    index: u32,
    at: u64,
    skip: u64,
    share: f64,
    turns: f64,
}
