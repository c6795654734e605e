//! Statuses on their way back to the store: what the compiler says about objects, and what proxies say of themselves.
//!
//! Off the road of a change: the newest value of each object waits here, a task of its own writes it. The store keeps
//! the parts of several owners apart; what does not differ is not written.

use std::collections::BTreeMap;

use byrnie_api::ObjectKey;
use byrnie_store::{Batch, Precondition, Store, StoreError, Write};
use byrnie_wire::NodeStatus;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::metrics::Metrics;
use crate::nodes::Rejected;
use crate::storage::store_key;

mod times;

/// The time of now for every condition whose status is another one than in `old`.
pub fn fill_times(ours: Value, old: Option<&Value>) -> Value {
    times::fill(ours, old, &Timestamp::now().to_string())
}

/// Statuses written in one transaction.
const BATCH: usize = 256;

/// Who says it. Each owner's part is replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// What it thinks of the object.
    Compiler,
    /// Addresses, and whether it is ready.
    Proxy,
    /// Whether the application of a Workload without proxy is healthy.
    Health,
}

impl Owner {
    fn name(self) -> &'static str {
        match self {
            Self::Compiler => "byrnie.dev/compiler",
            Self::Proxy => "byrnie.dev/proxy",
            Self::Health => "byrnie.dev/health",
        }
    }
}

/// What waits to be written: never more than three entries for each object.
#[derive(Debug, Default)]
pub struct Statuses {
    waiting: Mutex<BTreeMap<(ObjectKey, Owner), Value>>,
    notify: Notify,
}

impl Statuses {
    /// Replaces what waits for this object and owner.
    pub fn put(&self, key: ObjectKey, owner: Owner, status: Value) {
        self.waiting.lock().insert((key, owner), status);
        self.notify.notify_one();
    }

    /// Writes what waits, for ever.
    pub async fn run(&self, store: &dyn Store, metrics: &Metrics) {
        loop {
            let batch = self.take();
            if batch.is_empty() {
                self.notify.notified().await;
                continue;
            }
            let mut writes = Vec::with_capacity(batch.len());
            for ((key, owner), status) in batch {
                match prepare(store, &key, owner, status).await {
                    Ok(write) => writes.extend(write),
                    Err(cause) => tracing::warn!(object = %key, %cause, "a status cannot be prepared"),
                }
            }
            metrics.statuses.add(writes.len() as u64);
            write(store, writes).await;
        }
    }

    fn take(&self) -> Vec<((ObjectKey, Owner), Value)> {
        let mut waiting = self.waiting.lock();
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(next) = waiting.pop_first() else { break };
            batch.push(next);
        }
        batch
    }
}

/// `None`: the object is gone.
async fn prepare(
    store: &dyn Store,
    key: &ObjectKey,
    owner: Owner,
    status: Value,
) -> Result<Option<Write>, StoreError> {
    let key = store_key(key);
    let Some(stored) = store.get(&key).await? else {
        return Ok(None);
    };
    let status = fill_times(status, stored.value.get("status"));
    let owner = owner.name().to_owned();
    Ok(Some(Write::Status { key, owner, status, precondition: Precondition::Exists }))
}

/// One that fails must not keep the others back: then each is written on its own.
async fn write(store: &dyn Store, writes: Vec<Write>) {
    if writes.is_empty() || store.write(Batch { writes: writes.clone(), fence: None }).await.is_ok() {
        return;
    }
    for write in writes {
        match store.write_one(write).await {
            Ok(_) | Err(StoreError::NotFound(_)) => {}
            Err(cause) => tracing::warn!(%cause, "a status cannot be written"),
        }
    }
}

/// What a proxy says, as part of its Workload's status. A proxy that drains is nobody's endpoint any more.
pub fn of_proxy(status: &NodeStatus) -> Value {
    let mut proxy = json!({ "run": status.run, "pid": status.pid });
    if let Some(mesh) = status.mesh.filter(|_| !status.draining) {
        proxy["meshAddress"] = json!(mesh.to_string());
    }
    if let Some(admin) = status.admin {
        proxy["admin"] = json!(admin.to_string());
    }
    let upstreams: Vec<Value> = status
        .upstreams
        .iter()
        .map(|upstream| {
            json!({
                "service": upstream.service.name,
                "namespace": upstream.service.namespace,
                "port": upstream.port,
                "address": upstream.address.to_string(),
            })
        })
        .collect();
    let unhealthy = status.unhealthy.as_str();
    let (ready, reason, message) = match (status.draining, status.mesh) {
        (true, _) => ("False", "Draining", ""),
        (false, None) => ("False", "NotListening", ""),
        (false, Some(_)) if !unhealthy.is_empty() => ("False", "Unhealthy", unhealthy),
        (false, Some(_)) => ("True", "ProxyReady", ""),
    };
    let ready = json!({ "type": "Ready", "status": ready, "reason": reason, "message": message });
    if status.rules_restored > 0 {
        proxy["rulesRestored"] = json!(status.rules_restored);
    }
    let mut all = json!({ "proxy": proxy, "upstreams": upstreams, "conditions": [ready] });
    if let Some(address) = status.address {
        all["address"] = json!(address.to_string());
    }
    all
}

/// A Gateway names an address that its machine does not have.
const ADDRESS: &str = "BYR0218";

/// What the compiler programmed, a gateway's proxy may have to refuse: a port that another process holds, for example.
pub fn not_programmed(status: &mut Value, refusal: Option<&Rejected>) {
    let Some(why) = refusal else { return };
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter(|condition| condition["type"] == "Programmed") {
        condition["status"] = json!("False");
        condition["reason"] = json!(if why.code == ADDRESS { "AddressNotUsable" } else { "Invalid" });
        condition["message"] =
            json!(format!("its proxy keeps the last good state: {} {}", why.code, why.reason));
    }
}
