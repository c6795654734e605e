//! Latency in fixed buckets: twenty for each decade (Renard's series R20), from 10 µs to 100 s.
//!
//! All bounds are decimal, so the buckets that Prometheus sees are exact sums; a quantile is off by 6 % at most.

use std::time::Duration;

/// Number of this layout. Whoever changes the bounds changes it, so that nobody adds up buckets of two layouts.
pub const HISTOGRAM_LAYOUT: u32 = 1;

/// How many buckets there are: 141 bounds, and what lies above the last.
pub const BUCKETS: usize = 142;

const DECADES: usize = 7;

const R20: [u64; 20] =
    [100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900];

/// Upper bounds, inclusive, in microseconds.
const BOUNDS: [u64; BUCKETS - 1] = bounds();

/// Values from here on are in the last bucket without looking.
const TOP_US: u64 = 1 << 27;

/// First bucket that can hold a value, by the value's highest bit and the three bits below it.
const FIRST: [u8; 27 * 8] = first();

#[allow(clippy::indexing_slicing)] // evaluated at compile time
const fn bounds() -> [u64; BUCKETS - 1] {
    let mut out = [0; BUCKETS - 1];
    let mut scale = 1;
    let mut decade = 0;
    while decade < DECADES {
        let mut i = 0;
        while i < 20 {
            out[decade * 20 + i] = R20[i] * scale / 10;
            i += 1;
        }
        scale *= 10;
        decade += 1;
    }
    out[BUCKETS - 2] = 100_000_000;
    out
}

#[allow(clippy::indexing_slicing)] // evaluated at compile time
const fn first() -> [u8; 27 * 8] {
    let mut out = [0; 27 * 8];
    let mut key = 0;
    while key < out.len() {
        let (exponent, mantissa) = (key / 8, (key % 8) as u64);
        // The smallest value with this key.
        let smallest = (8 + mantissa) << exponent >> 3;
        let mut bucket = 0;
        while bucket < BOUNDS.len() && BOUNDS[bucket] < smallest {
            bucket += 1;
        }
        out[key] = bucket as u8;
        key += 1;
    }
    out
}

/// The bucket of a value in microseconds.
pub fn bucket_of(value_us: u64) -> u16 {
    if value_us >= TOP_US {
        return (BUCKETS - 1) as u16;
    }
    let value = value_us.max(1);
    let exponent = value.ilog2();
    let mantissa = (value << 3 >> exponent) & 7;
    let key = exponent as usize * 8 + mantissa as usize;
    let mut bucket = usize::from(FIRST.get(key).copied().unwrap_or(0));
    while BOUNDS.get(bucket).is_some_and(|bound| *bound < value) {
        bucket += 1;
    }
    bucket as u16
}

/// The inclusive upper bound of a bucket in microseconds; `None`: the last one has none.
pub fn bucket_upper_us(bucket: u16) -> Option<u64> {
    BOUNDS.get(usize::from(bucket)).copied()
}

/// A sparse histogram of one or many series.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Histogram {
    /// The sum of all values, in microseconds.
    pub sum_us: u64,
    /// Bucket number and count, ascending, each bucket once.
    pub buckets: Vec<(u16, u64)>,
}

impl Histogram {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Adds values to one bucket; a bucket beyond the layout counts as the last.
    pub fn add(&mut self, bucket: u16, count: u64) {
        let bucket = bucket.min((BUCKETS - 1) as u16);
        match self.buckets.binary_search_by_key(&bucket, |(b, _)| *b) {
            Ok(at) => {
                if let Some((_, sum)) = self.buckets.get_mut(at) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    /// Adds another histogram of the same layout.
    pub fn merge(&mut self, other: &Self) {
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        other.buckets.iter().for_each(|(bucket, count)| self.add(*bucket, *count));
    }

    /// The value below which this share (0–1) of all values lies, interpolated within its bucket; `None` when there
    /// is no value.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (share.clamp(0.0, 1.0) * count as f64).max(1.0);
        let mut below = 0u64;
        for (bucket, here) in &self.buckets {
            if (below + here) as f64 >= rank {
                let lower = bucket.checked_sub(1).and_then(bucket_upper_us).unwrap_or(0);
                let upper = bucket_upper_us(*bucket).unwrap_or(lower);
                let part = (rank - below as f64) / *here as f64;
                let micros = lower as f64 + (upper - lower) as f64 * part;
                return Some(Duration::from_secs_f64(micros / 1e6));
            }
            below += here;
        }
        None
    }

    /// How many values are at most this long. Exact when `upper_us` is a bound.
    pub fn count_up_to(&self, upper_us: u64) -> u64 {
        let inside = |bucket: u16| bucket_upper_us(bucket).is_some_and(|bound| bound <= upper_us);
        self.buckets.iter().filter(|(bucket, _)| inside(*bucket)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_ascend_and_hold_what_prometheus_sees() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
        assert_eq!(BOUNDS.first(), Some(&10));
        assert_eq!(BOUNDS.last(), Some(&100_000_000));
        for bound in crate::names::DURATION_BUCKETS_US {
            assert!(BOUNDS.contains(&bound), "{bound}");
        }
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        for (bucket, bound) in (0u16..).zip(BOUNDS) {
            assert_eq!(bucket_of(bound), bucket);
            assert_eq!(bucket_of(bound + 1), bucket + 1);
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), 141);
        assert_eq!(bucket_of(TOP_US - 1), 141);
    }

    #[test]
    fn quantiles_are_close() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000u64 {
            histogram.add(bucket_of(micros * 10), 1);
        }
        for (share, expected) in [(0.5, 50_000.0), (0.95, 95_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let micros = histogram.quantile(share).unwrap().as_secs_f64() * 1e6;
            assert!((micros / expected - 1.0).abs() < 0.06, "p{share}: {micros}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn every_value_lies_within_its_bucket(value in prop_oneof![0u64..200, any::<u64>(), 0u64..200_000_000]) {
            let bucket = bucket_of(value);
            if let Some(upper) = bucket_upper_us(bucket) {
                prop_assert!(value <= upper);
            }
            if let Some(lower) = bucket.checked_sub(1).and_then(bucket_upper_us) {
                prop_assert!(value > lower);
            }
        }

        #[test]
        fn merging_is_adding(a in proptest::collection::vec(0u64..1_000_000, 0..50),
                             b in proptest::collection::vec(0u64..1_000_000, 0..50)) {
            let fill = |values: &[u64]| {
                let mut out = Histogram { sum_us: values.iter().sum(), ..Histogram::default() };
                values.iter().for_each(|v| out.add(bucket_of(*v), 1));
                out
            };
            let mut merged = fill(&a);
            merged.merge(&fill(&b));
            prop_assert_eq!(merged, fill(&[a, b].concat()));
        }
    }
}
