//! Health checks of Workloads that have no proxy: asked from here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use byrnie_api::kinds::ProxyMode;
use byrnie_api::{ObjectKey, Typed};
use byrnie_decide::HealthState;
use byrnie_mesh::Change;
use byrnie_plan::HealthCheck;
use byrnie_wire::probe;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::status::{Owner, Statuses};

/// Longest explanation in a status, in bytes.
const MAX_WHY: usize = 256;

/// The checks that run, by Workload.
#[derive(Debug, Default)]
pub struct HealthChecks {
    running: Mutex<HashMap<ObjectKey, Vec<Running>>>,
    changed: Arc<Changed>,
}

/// Workloads whose status is to be written.
#[derive(Debug, Default)]
struct Changed {
    keys: Mutex<BTreeSet<ObjectKey>>,
    notify: Notify,
}

#[derive(Debug)]
struct Running {
    check: HealthCheck,
    /// `None`: no answer yet. Else why it is unhealthy, empty when it is not.
    verdict: Arc<Mutex<Option<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl HealthChecks {
    /// Runs what a changed Workload asks for. Call it within a runtime.
    pub fn follow(&self, change: &Change) {
        match change {
            Change::Applied(object) => {
                if let Typed::Workload(workload) = object.typed() {
                    let checks = match workload.spec.proxy {
                        ProxyMode::None => byrnie_mesh::health_checks(&workload.spec),
                        ProxyMode::Sidecar => Vec::new(),
                    };
                    self.run_these(object.key(), &checks);
                }
            }
            Change::Deleted(key) => drop(self.running.lock().remove(key)),
        }
    }

    fn run_these(&self, key: ObjectKey, checks: &[HealthCheck]) {
        let mut running = self.running.lock();
        let before = running.get(&key).map(Vec::as_slice).unwrap_or_default();
        if before.iter().map(|running| &running.check).eq(checks) {
            return;
        }
        let mut before = running.remove(&key).unwrap_or_default();
        let mut these = Vec::new();
        for check in checks {
            let known = before.iter().position(|running| running.check == *check);
            let known = known.map(|index| before.swap_remove(index));
            these.push(known.unwrap_or_else(|| self.start(&key, check)));
        }
        running.insert(key.clone(), these);
        self.changed.add(key);
    }

    fn start(&self, key: &ObjectKey, check: &HealthCheck) -> Running {
        let verdict = Arc::new(Mutex::new(None));
        let (check_, key) = (check.clone(), key.clone());
        let (heard, changed) = (Arc::clone(&verdict), Arc::clone(&self.changed));
        let task = tokio::spawn(async move {
            let mut state = HealthState::default();
            loop {
                let answer = probe::ask(&check_).await;
                if state.answered(&check_, answer.is_ok()).is_some() {
                    match &answer {
                        Ok(()) => tracing::info!(workload = %key, "the application is healthy"),
                        Err(why) => tracing::warn!(workload = %key, "BYR0260: it is unhealthy: {why}"),
                    }
                    *heard.lock() = Some(answer.err().unwrap_or_default());
                    changed.add(key.clone());
                }
                tokio::time::sleep(state.pause(&check_, rand::random())).await;
            }
        });
        Running { check: check.clone(), verdict, _task: AbortOnDropHandle::new(task) }
    }

    /// Hands on what checks say, for ever.
    pub async fn tell(&self, statuses: &Statuses) {
        loop {
            let keys = std::mem::take(&mut *self.changed.keys.lock());
            for key in keys {
                if let Some(status) = self.status(&key) {
                    statuses.put(key, Owner::Health, status);
                }
            }
            self.changed.notify.notified().await;
        }
    }

    /// `None`: not all have been answered yet, and what was written before stays.
    fn status(&self, key: &ObjectKey) -> Option<Value> {
        let mut running = self.running.lock();
        let checks = running.get(key)?;
        if checks.is_empty() {
            running.remove(key);
            return Some(json!({ "conditions": [] }));
        }
        let verdicts: Vec<Option<String>> =
            checks.iter().map(|running| running.verdict.lock().clone()).collect();
        let unhealthy = verdicts.iter().flatten().find(|why| !why.is_empty());
        if unhealthy.is_none() && verdicts.iter().any(Option::is_none) {
            return None;
        }
        let (status, reason) = if unhealthy.is_some() { ("False", "Unhealthy") } else { ("True", "Healthy") };
        let message = unhealthy.map(|why| &why[..why.floor_char_boundary(MAX_WHY)]).unwrap_or_default();
        let ready = json!({ "type": "Ready", "status": status, "reason": reason, "message": message });
        Some(json!({ "conditions": [ready] }))
    }
}

impl Changed {
    fn add(&self, key: ObjectKey) {
        self.keys.lock().insert(key);
        self.notify.notify_one();
    }
}
