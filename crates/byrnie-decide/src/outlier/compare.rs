//! Ejection by comparison: once per interval, who succeeds less often or answers more slowly than the others.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use byrnie_plan::{LatencyOutlier, Outlier, SuccessRateOutlier};

use super::{Ejection, EjectionReason, OutlierState, Seen};
use crate::Time;

/// When the endpoints of a service are compared next. No timer: the first request that ends after an interval compares,
/// so that a service without requests costs nothing.
#[derive(Debug, Default)]
pub struct OutlierClock(AtomicU64);

impl OutlierClock {
    /// Whether an interval is over; `true` for exactly one caller.
    pub fn is_due(&self, interval: Duration, now: Time) -> bool {
        let end = self.0.load(Relaxed);
        if now.as_micros() < end {
            return false;
        }
        let next = now.plus(interval).as_micros();
        // The first interval begins now.
        self.0.compare_exchange(end, next, Relaxed, Relaxed).is_ok() && end != 0
    }
}

/// Compares the endpoints of a service by what they did since the last comparison, and ejects. Gives the index, reason
/// and end of each ejection, and [`Ejection::Refused`] where half were out already.
pub fn compare(
    settings: &Outlier,
    now: Time,
    all: &[&OutlierState],
) -> Vec<(usize, EjectionReason, Ejection)> {
    let seen: Vec<Seen> = all.iter().map(|state| state.window.take()).collect();
    let mut worst: Vec<(usize, EjectionReason)> = Vec::new();
    if let Some(rule) = &settings.success_rate {
        worst.extend(unreliable(rule, &seen).into_iter().map(|i| (i, EjectionReason::SuccessRate)));
    }
    if let Some(rule) = &settings.latency {
        worst.extend(slow(rule, &seen).into_iter().map(|i| (i, EjectionReason::Latency)));
    }
    let mut out = Vec::new();
    for (index, reason) in worst {
        let Some(state) = all.get(index).filter(|state| !state.is_out()) else { continue };
        out.push((index, reason, state.eject(settings, now, all.iter().copied())));
    }
    out
}

/// Endpoints whose success rate is too low, the worst first.
fn unreliable(rule: &SuccessRateOutlier, seen: &[Seen]) -> Vec<usize> {
    let enough = |seen: &Seen| seen.succeeded.saturating_add(seen.failed) >= rule.minimum_requests.max(1);
    let rate = |seen: &Seen| f64::from(seen.succeeded) / (f64::from(seen.succeeded) + f64::from(seen.failed));
    let mut rates: Vec<(usize, f64)> =
        seen.iter().enumerate().filter(|(_, seen)| enough(seen)).map(|(i, seen)| (i, rate(seen))).collect();
    let mut limit = f64::from(rule.threshold_percent) / 100.0;
    if rates.len() >= rule.minimum_endpoints as usize && !rates.is_empty() {
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
        limit = limit.max(mean - variance.sqrt() * f64::from(rule.deviation_thousandths) / 1000.0);
    }
    rates.retain(|(_, rate)| *rate < limit);
    rates.sort_by(|a, b| a.1.total_cmp(&b.1));
    rates.into_iter().map(|(index, _)| index).collect()
}

/// Endpoints that are too slow, the slowest first.
fn slow(rule: &LatencyOutlier, seen: &[Seen]) -> Vec<usize> {
    let enough = |seen: &Seen| seen.succeeded >= rule.minimum_requests.max(1);
    let mean = |seen: &Seen| seen.latency_micros as f64 / f64::from(seen.succeeded);
    let mut means: Vec<(usize, f64)> =
        seen.iter().enumerate().filter(|(_, seen)| enough(seen)).map(|(i, seen)| (i, mean(seen))).collect();
    if means.len() < rule.minimum_endpoints as usize {
        return Vec::new();
    }
    means.sort_by(|a, b| b.1.total_cmp(&a.1));
    // Of an even number the faster of the two in the middle: of two endpoints one can be the slow one.
    let Some(median) = means.get(means.len() / 2).map(|(_, mean)| *mean) else { return Vec::new() };
    let limit = median * f64::from(rule.factor_percent) / 100.0;
    let minimum = rule.minimum.as_secs_f64() * 1e6;
    means.retain(|(_, mean)| *mean > limit && *mean >= minimum);
    means.into_iter().map(|(index, _)| index).collect()
}
