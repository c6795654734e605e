//! Which endpoints are near, and how requests spill over to further ones. The arithmetic is Envoy's (priority levels,
//! overprovisioning, panic threshold), so that its documentation holds here.

use crate::weight::second_draw;

/// Most levels that are told apart; what is further away shares the last one.
pub const MAX_LEVELS: usize = 8;

/// How far away an endpoint is; 0: as near as can be. `own` and `other` are region, zone and subzone joined by `/`.
///
/// Within the own region: by the parts that agree. Elsewhere, also when the own locality is not known: by the first
/// entry of `failover` that the endpoint's locality begins with; without one it comes last.
pub fn distance(own: &str, other: &str, failover: &[String]) -> usize {
    let own_parts = || own.split('/').filter(|part| !part.is_empty());
    let agreeing = own_parts().zip(other.split('/')).take_while(|(a, b)| a == b).count();
    if agreeing > 0 {
        return own_parts().count() - agreeing;
    }
    let begins = |prefix: &String| {
        other.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let place = failover.iter().position(begins).unwrap_or(failover.len());
    own_parts().count() + place
}

/// Levels without gaps, from the distances of all endpoints: 0 is the nearest that there is.
pub fn levels(distances: &[usize]) -> Vec<usize> {
    let mut present: Vec<usize> = distances.to_vec();
    present.sort_unstable();
    present.dedup();
    let level = |distance: &usize| present.binary_search(distance).unwrap_or(0).min(MAX_LEVELS - 1);
    distances.iter().map(level).collect()
}

/// How requests are spread over the levels at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Spread {
    /// Share of each level in percent; 100 together, or all 0 when there is no endpoint.
    percent: [u8; MAX_LEVELS],
    /// Levels whose ejections are ignored, one bit each.
    panic: u8,
}

impl Spread {
    /// Computes from the endpoints in service and all endpoints of each level.
    pub fn new(levels: &[(usize, usize)], overprovisioning_percent: u32, panic_percent: u32) -> Self {
        let health = |(healthy, all): &(usize, usize)| match all {
            0 => 0,
            _ => (*healthy as u64 * u64::from(overprovisioning_percent) / *all as u64).min(100),
        };
        let total: u64 = levels.iter().map(health).sum::<u64>().min(100);
        let mut spread = Self::default();
        if total == 0 {
            spread.panic = u8::MAX;
            spread.fill(levels.iter().map(|(_, all)| *all as u64));
            return spread;
        }
        if total < 100 {
            for (index, (healthy, all)) in levels.iter().enumerate().take(MAX_LEVELS) {
                let panics = (*healthy as u64) * 100 < *all as u64 * u64::from(panic_percent);
                spread.panic |= u8::from(panics) << index;
            }
            spread.fill(levels.iter().map(health));
            return spread;
        }
        let mut left = 100;
        for (share, level) in spread.percent.iter_mut().zip(levels) {
            let part = health(level).min(left);
            *share = part as u8;
            left -= part;
        }
        spread
    }

    /// In proportion to these numbers; what rounding leaves goes to the first level that has any.
    fn fill(&mut self, parts: impl Iterator<Item = u64> + Clone) {
        let total: u64 = parts.clone().sum();
        if total == 0 {
            return;
        }
        let mut left = 100u64;
        for (share, part) in self.percent.iter_mut().zip(parts) {
            *share = (part * 100 / total) as u8;
            left -= u64::from(*share);
        }
        if let Some(first) = self.percent.iter_mut().find(|share| **share > 0) {
            *first += left as u8;
        }
    }

    /// The level that 64 random bits choose.
    pub fn choose(&self, random: u64) -> usize {
        // Another draw than the one that picks an endpoint.
        let mut point = crate::weight::scale(second_draw(random), 100) as u8;
        for (level, share) in self.percent.iter().enumerate() {
            if point < *share {
                return level;
            }
            point -= share;
        }
        0
    }

    /// Whether ejections are ignored in a level.
    pub fn panics(&self, level: usize) -> bool {
        self.panic & (1u8 << level.min(MAX_LEVELS - 1)) != 0
    }

    /// As two numbers that fit into atomics.
    pub fn pack(&self) -> (u64, u8) {
        (u64::from_le_bytes(self.percent), self.panic)
    }

    /// Back from [`Self::pack`].
    pub fn unpack(percent: u64, panic: u8) -> Self {
        Self { percent: percent.to_le_bytes(), panic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_subzone_then_zone_then_region_then_the_order_given() {
        let failover = ["us".to_owned(), "ap/ap-2".to_owned()];
        for (own, other, expected) in [
            ("eu/eu-1/r1", "eu/eu-1/r1", 0),
            ("eu/eu-1/r1", "eu/eu-1/r2", 1),
            ("eu/eu-1/r1", "eu/eu-1", 1),
            ("eu/eu-1/r1", "eu/eu-2/r1", 2),
            ("eu/eu-1/r1", "us/us-1", 3),
            ("eu/eu-1/r1", "ap/ap-2/x", 4),
            ("eu/eu-1/r1", "ap/ap-1", 5),
            ("eu/eu-1/r1", "", 5),
            ("eu/eu-1", "eu/eu-1/r9", 0),
            ("eu", "use/x", 3),
            ("", "us/us-1", 0),
            ("", "usa", 2),
        ] {
            assert_eq!(distance(own, other, &failover), expected, "{own} {other}");
        }
        assert_eq!(levels(&[5, 0, 2, 0]), [2, 0, 1, 0]);
        let many: Vec<usize> = (0..20).collect();
        assert_eq!(levels(&many).last(), Some(&(MAX_LEVELS - 1)));
    }

    #[test]
    fn spills_over_by_health_as_envoy_documents() {
        // https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority
        for (first, second, shares) in [
            (100, 100, [100, 0]),
            (72, 100, [100, 0]),
            (71, 100, [99, 1]),
            (50, 100, [70, 30]),
            (25, 100, [35, 65]),
            (0, 100, [0, 100]),
            (25, 25, [50, 50]),
            (5, 65, [7, 92]),
        ] {
            let spread = Spread::new(&[(first, 100), (second, 100)], 140, 50);
            let [a, b, ..] = spread.percent;
            // What rounding leaves goes to the first.
            let left = 100 - shares[0] - shares[1];
            assert_eq!([a, b], [shares[0] + left, shares[1]], "{first} {second}");
        }
    }

    #[test]
    fn shares_are_drawn_as_computed() {
        let spread = Spread::new(&[(50, 100), (100, 100), (1, 1)], 140, 50);
        let mut counts = [0; 3];
        (0..10_000).for_each(|n| counts[spread.choose(second_draw(n))] += 1);
        assert!((6_900..7_100).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
        let (percent, panic) = spread.pack();
        assert_eq!(Spread::unpack(percent, panic), spread);
    }

    #[test]
    fn a_level_panics_below_the_threshold_and_only_when_all_together_are_too_few() {
        for (levels, threshold, panics) in [
            (vec![(2, 4)], 50, [false, false]),
            (vec![(1, 4)], 50, [true, false]),
            (vec![(1, 4)], 25, [false, false]),
            (vec![(1, 4)], 0, [false, false]),
            (vec![(0, 4)], 50, [true, true]),
            (vec![(1, 4), (4, 4)], 50, [false, false]),
            (vec![(1, 4), (2, 4)], 50, [false, false]),
            (vec![(1, 4), (1, 4)], 50, [true, true]),
        ] {
            let spread = Spread::new(&levels, 140, threshold);
            assert_eq!([spread.panics(0), spread.panics(1)], panics, "{levels:?} {threshold}");
        }
        // Nobody is in service: by the number of endpoints.
        assert_eq!(Spread::new(&[(0, 1), (0, 3)], 140, 50).percent[..2], [25, 75]);
        assert_eq!(Spread::new(&[], 140, 50).choose(7), 0);
    }
}
