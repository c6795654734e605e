//! Conditions, as Kubernetes writes them. The time of the last transition is the store's business: there is
//! no clock here.

use byrnie_api::ObjectKey;
use serde_json::{Value, json};

use crate::StatusUpdate;
use crate::model::Meta;

/// Whether one aspect of an object holds, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn yes(reason: &'static str) -> Self {
        Self { holds: true, reason, message: String::new() }
    }

    pub(crate) fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: false, reason, message: message.into() }
    }

    /// This verdict as a condition that was observed at a generation.
    pub(crate) fn condition(&self, kind: &str, generation: Option<i64>) -> Value {
        let mut condition = json!({
            "type": kind,
            "status": if self.holds { "True" } else { "False" },
            "reason": self.reason,
            "message": self.message,
        });
        if let (Some(generation), Some(fields)) = (generation, condition.as_object_mut()) {
            fields.insert("observedGeneration".to_owned(), generation.into());
        }
        condition
    }
}

/// A status that is nothing but conditions.
pub(crate) fn conditions(meta: &Meta, verdicts: &[(&str, Verdict)]) -> StatusUpdate {
    let list: Vec<Value> = verdicts.iter().map(|(kind, v)| v.condition(kind, meta.generation)).collect();
    update(&meta.key, json!({ "conditions": list }))
}

/// A status of any shape.
pub(crate) fn update(key: &ObjectKey, status: Value) -> StatusUpdate {
    StatusUpdate { key: key.clone(), status }
}
