//! Health checks of the workload's application: asked by its own proxy, which tells the control plane.

use std::sync::Arc;

use byrnie_decide::HealthState;
use byrnie_plan::HealthCheck;
use byrnie_telemetry::{Registry, names};
use byrnie_wire::probe;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::transparent::Captured;

/// The checks that run.
pub struct Health {
    metrics: Registry,
    running: Vec<Running>,
    /// Where the application's addresses mean something: another namespace, where the workload's traffic is captured.
    captured: Option<Arc<Captured>>,
    /// One of them has changed its mind.
    pub changed: Arc<Notify>,
}

struct Running {
    check: HealthCheck,
    /// Why it is unhealthy; empty: it is not.
    verdict: Arc<Mutex<String>>,
    _task: AbortOnDropHandle<()>,
}

impl Health {
    /// None runs.
    pub fn new(metrics: &Registry, captured: Option<Arc<Captured>>) -> Self {
        let healthy = metrics.gauge(&names::WORKLOAD_HEALTHY, &[]);
        healthy.set(1);
        Self { metrics: metrics.clone(), running: Vec::new(), captured, changed: Arc::new(Notify::new()) }
    }

    /// Runs these. One that runs already goes on as it is. `is_serving`: the workload has callers, which a check that
    /// is new must not take away before it has asked.
    pub fn run(&mut self, checks: &[HealthCheck], is_serving: bool) {
        if self.running.iter().map(|running| &running.check).eq(checks) {
            return;
        }
        let mut before = std::mem::take(&mut self.running);
        for check in checks {
            let known = before.iter().position(|running| running.check == *check);
            let known = known.map(|index| before.swap_remove(index));
            self.running.push(known.unwrap_or_else(|| self.start(check, is_serving)));
        }
        self.changed.notify_one();
    }

    /// Why the application is unhealthy; empty: it is not.
    pub fn unhealthy(&self) -> String {
        let verdicts = self.running.iter().map(|running| running.verdict.lock().clone());
        let why = verdicts.into_iter().find(|why| !why.is_empty()).unwrap_or_default();
        self.metrics.gauge(&names::WORKLOAD_HEALTHY, &[]).set(i64::from(why.is_empty()));
        why
    }

    fn start(&self, check: &HealthCheck, is_serving: bool) -> Running {
        let unknown = if is_serving { "" } else { "no health check has been answered yet" };
        let verdict = Arc::new(Mutex::new(unknown.to_owned()));
        let count = |result: &str| self.metrics.counter(&names::HEALTH_CHECKS, &[result]);
        let (good, bad) = (count("success"), count("failure"));
        let (asked, heard, changed) = (check.clone(), Arc::clone(&verdict), Arc::clone(&self.changed));
        let asking = async move {
            let mut state = HealthState::default();
            loop {
                let answer = probe::ask(&asked).await;
                if answer.is_ok() {
                    good.inc()
                } else {
                    bad.inc()
                }
                if state.answered(&asked, answer.is_ok()).is_some() {
                    match &answer {
                        Ok(()) => tracing::info!(address = %asked.address, "the application is healthy"),
                        Err(why) => tracing::warn!("BYR0260: the application is unhealthy: {why}"),
                    }
                    *heard.lock() = answer.err().unwrap_or_default();
                    changed.notify_one();
                }
                tokio::time::sleep(state.pause(&asked, rand::random())).await;
            }
        };
        let task = match &self.captured {
            Some(captured) => captured.inside.handle().spawn(asking),
            None => tokio::spawn(asking),
        };
        Running { check: check.clone(), verdict, _task: AbortOnDropHandle::new(task) }
    }
}
