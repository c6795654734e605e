//! A choice among backends by weight.

/// Weights, compiled for drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedChoice {
    /// Running sums.
    sums: Box<[u64]>,
}

impl WeightedChoice {
    /// Compiles weights; 0 gets nothing.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let sums = weights.into_iter().scan(0u64, |sum, weight| {
            *sum = sum.saturating_add(u64::from(weight));
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// The sum of all weights.
    pub fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// The only index that has a weight, where there is no choice.
    pub fn only(&self) -> Option<usize> {
        if let [0] | [] = *self.sums {
            return None;
        }
        let first = self.at(0);
        (self.weight(first) == self.total()).then_some(first).filter(|first| *first < self.sums.len())
    }

    /// The index that 64 random bits choose; `None` when all weights are 0 or there are none.
    pub fn choose(&self, random: u64) -> Option<usize> {
        match self.total() {
            0 => None,
            total => Some(self.at(scale(random, total))),
        }
    }

    /// The index of the n-th request: without chance, and as even as can be at every moment (n times the golden ratio,
    /// so that no rhythm of the requests falls in step). Count per worker, from a random number on.
    pub fn nth(&self, n: u64) -> Option<usize> {
        self.choose(n.wrapping_mul(GOLDEN))
    }

    /// As [`Self::choose`], but never `index`; `None` when nothing else has a weight.
    pub fn choose_other(&self, index: usize, random: u64) -> Option<usize> {
        let end = *self.sums.get(index)?;
        let weight = self.weight(index);
        let rest = self.total() - weight;
        if rest == 0 {
            return None;
        }
        let point = scale(random, rest);
        Some(self.at(if point < end - weight { point } else { point + weight }))
    }

    pub(crate) fn weight(&self, index: usize) -> u64 {
        let sum = |i: usize| self.sums.get(i).copied().unwrap_or(0);
        sum(index) - if index == 0 { 0 } else { sum(index - 1) }
    }

    fn at(&self, point: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= point)
    }
}

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// 64 random bits as a number below `limit`, evenly (the bias is below `limit` / 2^64).
pub(crate) fn scale(random: u64, limit: u64) -> u64 {
    ((u128::from(random) * u128::from(limit)) >> 64) as u64
}

/// Two draws out of one: a bijective mix (splitmix64's finaliser), so that the second draw is as random as the first.
pub(crate) fn second_draw(random: u64) -> u64 {
    let mut z = random.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_weights() {
        let choice = WeightedChoice::new([70, 0, 25, 5]);
        for (in_turn, tolerance) in [(false, 1.4), (true, 0.05)] {
            let mut counts = [0u32; 4];
            for n in 0..10_000 {
                let index = if in_turn { choice.nth(n) } else { choice.choose(second_draw(n)) };
                counts[index.unwrap()] += 1;
            }
            for (count, percent) in counts.iter().zip([70.0, 0.0, 25.0, 5.0]) {
                assert!((f64::from(*count) / 100.0 - percent).abs() < tolerance, "{counts:?}");
            }
        }
    }

    #[test]
    fn a_hundredth_of_a_percent_is_one_of_ten_thousand() {
        for weights in [[9_999, 1], [999_900, 100], [1_000_000, 100]] {
            let choice = WeightedChoice::new(weights);
            for start in [0, 1 << 40, u64::MAX - 5_000] {
                let hits = (0..10_000).filter(|n| choice.nth(start.wrapping_add(*n)) == Some(1)).count();
                assert!((0..=3).contains(&hits), "{weights:?} {hits}");
                let hits = (0..1_000_000).filter(|n| choice.nth(start.wrapping_add(*n)) == Some(1)).count();
                assert!((98..=102).contains(&hits), "{weights:?} {hits}");
            }
        }
    }

    #[test]
    fn nothing_to_choose_from() {
        assert_eq!(WeightedChoice::new([]).choose(1), None);
        assert_eq!(WeightedChoice::new([0, 0]).choose(u64::MAX), None);
        assert_eq!(WeightedChoice::new([0, 3]).choose(u64::MAX), Some(1));
        assert_eq!(WeightedChoice::new([0, 3]).choose(0), Some(1));
        for (weights, only) in [
            (&[][..], None),
            (&[0], None),
            (&[0, 0], None),
            (&[7], Some(0)),
            (&[0, 7, 0], Some(1)),
            (&[7, 1], None),
        ] {
            assert_eq!(WeightedChoice::new(weights.iter().copied()).only(), only, "{weights:?}");
        }
        assert_eq!(WeightedChoice::new([0, 3]).choose_other(1, 9), None);
        assert_eq!(WeightedChoice::new([2, 3]).choose_other(1, u64::MAX), Some(0));
        assert_eq!(WeightedChoice::new([u32::MAX, u32::MAX]).total(), 2 * u64::from(u32::MAX));
    }
}
