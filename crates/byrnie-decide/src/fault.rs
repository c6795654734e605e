//! Faults on purpose: whether one is due, which, and how long a delay is.

use std::time::Duration;

use byrnie_plan::{FaultAbort, FaultDelay, Faults};

use crate::{Arrival, HeaderLookup, RouterError, TrafficMatcher};

/// All faults of one policy at one place. Immutable, shared by all workers.
#[derive(Debug)]
pub struct FaultInjector {
    expires_unix_ms: u64,
    faults: Box<[Fault]>,
}

#[derive(Debug)]
struct Fault {
    matches: TrafficMatcher,
    share: u64,
    delay: Option<FaultDelay>,
    abort: Option<FaultAbort>,
}

/// What to do to a request or connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// Wait so long; of several delays their sum.
    pub delay: Duration,
    /// Then fail.
    pub abort: Option<FaultAbort>,
}

/// Shares are in 1/10,000.
const WHOLE: u64 = 10_000;

impl FaultInjector {
    /// Compiles.
    pub fn compile(plan: &Faults) -> Result<Self, RouterError> {
        let faults = plan.faults.iter().map(|fault| {
            Ok(Fault {
                matches: TrafficMatcher::compile(&fault.matches)?,
                share: fault.share.into(),
                delay: fault.delay,
                abort: fault.abort,
            })
        });
        Ok(Self { expires_unix_ms: plan.expires_unix_ms, faults: faults.collect::<Result<_, _>>()? })
    }

    /// Whether the experiment is over.
    pub fn is_over(&self, unix_ms: u64) -> bool {
        unix_ms >= self.expires_unix_ms
    }

    /// Whether any fault asks who calls.
    pub fn asks_identity(&self) -> bool {
        self.faults.iter().any(|fault| fault.matches.asks_identity())
    }

    /// Draws for each fault. `None`: nothing is to be done. Delays add up, the first abort is the one.
    pub fn draw<H: HeaderLookup + ?Sized>(
        &self,
        arrival: &Arrival<'_, H>,
        unix_ms: u64,
        mut random: impl FnMut() -> u64,
    ) -> Option<Injection> {
        if self.is_over(unix_ms) {
            return None;
        }
        let mut injection = Injection::default();
        for fault in &self.faults {
            if fault.is_for(arrival) && random() % WHOLE < fault.share {
                if let Some(delay) = fault.delay {
                    injection.delay = injection.delay.saturating_add(length(delay, &mut random));
                }
                injection.abort = injection.abort.or(fault.abort);
            }
        }
        (injection != Injection::default()).then_some(injection)
    }

    /// The indexes of the faults that are for this request or connection; nothing is drawn.
    pub fn meant<'a, H: HeaderLookup + ?Sized>(
        &'a self,
        arrival: &'a Arrival<'_, H>,
    ) -> impl Iterator<Item = usize> + 'a {
        (0..).zip(&self.faults).filter(|(_, fault)| fault.is_for(arrival)).map(|(index, _)| index)
    }
}

impl Fault {
    fn is_for<H: HeaderLookup + ?Sized>(&self, arrival: &Arrival<'_, H>) -> bool {
        let fits = self.abort.is_none_or(|abort| fits(abort, arrival.request.is_some()));
        fits && self.matches.matches(arrival)
    }
}

/// Requests are answered, connections of bytes are reset.
fn fits(abort: FaultAbort, is_request: bool) -> bool {
    (abort == FaultAbort::Reset) != is_request
}

fn length(delay: FaultDelay, random: &mut impl FnMut() -> u64) -> Duration {
    let seconds =
        |seconds: f64, max: Duration| Duration::from_secs_f64(seconds.clamp(0.0, max.as_secs_f64()));
    match delay {
        FaultDelay::Fixed(delay) => delay,
        FaultDelay::Uniform { min, max } => {
            let width = max.saturating_sub(min).as_secs_f64();
            seconds(min.as_secs_f64() + width * unit(random()), max)
        }
        FaultDelay::Normal { mean, deviation, max } => {
            // Box and Muller, 1958.
            let radius = (-2.0 * (1.0 - unit(random())).ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * unit(random())).cos();
            seconds(mean.as_secs_f64() + deviation.as_secs_f64() * normal, max)
        }
        FaultDelay::Exponential { mean, max } => {
            seconds(-mean.as_secs_f64() * (1.0 - unit(random())).ln(), max)
        }
    }
}

/// 0 ≤ x < 1, from the upper 53 bits.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
