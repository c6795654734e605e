//! Rate limits and faults, compiled. Buckets outlive changes of configuration that do not change their policy.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock, Weak};

use byrnie_decide::{FaultInjector, RateLimiter};
use byrnie_plan::RateLimits;
use byrnie_telemetry::Counter;
use foldhash::HashMap;

use super::RouteError;

/// What policies say about the requests or connections of one place.
pub struct Controls {
    /// As the control plane compiled it.
    pub plan: byrnie_plan::Controls,
    /// How many may pass.
    pub limits: Option<Arc<Limits>>,
    /// What is done to some of them on purpose.
    pub faults: Option<Faults>,
}

/// One RateLimitPolicy: all places of its scope have the same.
pub struct Limits {
    /// As the control plane compiled it.
    pub plan: RateLimits,
    /// Counts.
    pub limiter: RateLimiter,
    /// Whether the caller's identity is needed.
    pub asks_identity: bool,
    /// By limit: an item of `RateLimit-Policy`.
    pub quotas: Vec<String>,
    /// By limit: what was refused, or would have been.
    pub refused: Vec<OnceLock<Arc<Counter>>>,
    /// Buckets given to other keys.
    pub displaced: OnceLock<Arc<Counter>>,
}

/// One FaultPolicy.
pub struct Faults {
    /// `namespace/name`.
    pub policy: String,
    /// Draws.
    pub injector: FaultInjector,
    /// Whether the caller's identity is needed.
    pub asks_identity: bool,
    /// Delays.
    pub delayed: OnceLock<Arc<Counter>>,
    /// Failures.
    pub aborted: OnceLock<Arc<Counter>>,
}

/// The limits that exist, by policy and scope.
#[derive(Default)]
pub struct KnownLimits(RefCell<ByScope>);

type ByScope = HashMap<(String, String), Weak<Limits>>;

impl KnownLimits {
    /// Compiles; limits that are the same as before keep their buckets.
    pub fn compile(&self, plan: Option<&byrnie_plan::Controls>) -> Result<Option<Arc<Controls>>, RouteError> {
        let Some(plan) = plan else { return Ok(None) };
        let limits = plan.limits.as_ref().map(|limits| self.limits(limits)).transpose()?;
        let faults = plan.faults.as_ref().map(Faults::compile).transpose()?;
        Ok(Some(Arc::new(Controls { plan: plan.clone(), limits, faults })))
    }

    fn limits(&self, plan: &RateLimits) -> Result<Arc<Limits>, RouteError> {
        let key = (plan.policy.clone(), plan.scope.clone());
        let known = self.0.borrow().get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.plan == *plan) {
            return Ok(known);
        }
        let limits = Arc::new(Limits::compile(plan)?);
        self.0.borrow_mut().insert(key, Arc::downgrade(&limits));
        Ok(limits)
    }

    /// Forgets what nobody uses any more.
    pub fn sweep(&self) {
        self.0.borrow_mut().retain(|_, limits| limits.strong_count() > 0);
    }
}

impl Limits {
    fn compile(plan: &RateLimits) -> Result<Self, RouteError> {
        let limiter = RateLimiter::compile(plan, rand::random())?;
        let quotas = plan.limits.iter().map(|limit| {
            let name = quoted(&limit.name);
            // The window is in whole seconds; what has none is told without.
            match (limit.per.as_secs(), limit.per.subsec_nanos()) {
                (seconds, 0) => format!("{name};q={};w={seconds}", limit.number),
                _ => format!("{name};q={}", limit.number),
            }
        });
        Ok(Self {
            asks_identity: limiter.asks_identity(),
            limiter,
            quotas: quotas.collect(),
            refused: plan.limits.iter().map(|_| OnceLock::new()).collect(),
            displaced: OnceLock::new(),
            plan: plan.clone(),
        })
    }
}

/// A String of structured fields (RFC 9651). Names have no other letters.
pub fn quoted(name: &str) -> String {
    let good = |letter: &char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\');
    format!("\"{}\"", name.chars().filter(good).collect::<String>())
}

impl Faults {
    fn compile(plan: &byrnie_plan::Faults) -> Result<Self, RouteError> {
        let injector = FaultInjector::compile(plan)?;
        Ok(Self {
            asks_identity: injector.asks_identity(),
            policy: plan.policy.clone(),
            injector,
            delayed: OnceLock::new(),
            aborted: OnceLock::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use byrnie_plan::{Controls, RateLimit, RateUnit};

    use super::*;

    fn plan(policy: &str, scope: &str, number: u32) -> Controls {
        let limit = RateLimit {
            name: "a\"b".to_owned(),
            unit: RateUnit::Requests,
            matches: Vec::new(),
            key: Vec::new(),
            number,
            per: Duration::from_millis(1500),
            burst: 1,
            max_keys: 8,
        };
        let limits = RateLimits {
            policy: policy.to_owned(),
            scope: scope.to_owned(),
            shadow: false,
            headers: true,
            limits: vec![limit],
        };
        Controls { limits: Some(limits), faults: None }
    }

    #[test]
    fn buckets_outlive_what_does_not_change_their_policy() {
        let known = KnownLimits::default();
        let compile = |plan: &Controls| {
            let compiled = known.compile(Some(plan)).unwrap_or_else(|error| panic!("{error}"));
            compiled.unwrap().limits.clone().unwrap()
        };
        let first = compile(&plan("a/p", "Service a/s", 1));
        assert!(
            Arc::ptr_eq(&first, &compile(&plan("a/p", "Service a/s", 1))),
            "one for all places of a scope"
        );
        assert!(!Arc::ptr_eq(&first, &compile(&plan("a/p", "Service a/t", 1))));
        assert!(!Arc::ptr_eq(&first, &compile(&plan("a/q", "Service a/s", 1))));
        known.sweep();
        assert_eq!(known.0.borrow().len(), 1, "what nobody uses is forgotten");
        let other = compile(&plan("a/p", "Service a/s", 2));
        assert!(!Arc::ptr_eq(&first, &other), "another number, another bucket");
        assert_eq!(other.quotas, ["\"ab\";q=2"], "no window of half seconds, no quotes in a name");
    }
}
