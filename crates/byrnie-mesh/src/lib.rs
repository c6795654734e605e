//! The compiler: objects in, what proxies obey out, with the objects' conditions and findings about them.
//!
//! ```text
//!  Change ─→ read ─→ inputs (objects, lists) ─→ nodes, each reads through `view` ─→ outputs ─→ Output
//!                          │                                  │
//!                          └── facts that changed ──→ graph: who read them ──→ computed again
//! ```
//!
//! Pure: no I/O, no clock, no async, no randomness. Incremental: a change runs only those computations that
//! read what it touched, and only differences come out. Any sequence of changes, in any batching, gives
//! exactly what one compile of the end state gives; which of two objects wins depends on their age, never on
//! their arrival.
//!
//! Must never know: wire formats, stores, who subscribes to what.

mod analysis;
mod authorization;
mod compiler;
mod endpoints;
mod findings;
mod gateway;
mod graph;
mod hosts;
mod inbound;
mod inputs;
mod mesh;
mod model;
mod names;
mod outputs;
mod policy;
mod read;
mod reads;
mod refused;
mod routes;
mod service;
mod status;
mod subset;
mod upstreams;
mod view;
mod workload;

#[cfg(test)]
mod tests;

pub use byrnie_api::Finding;
use byrnie_api::{GATEWAY_GROUP, Object, ObjectKey};
use byrnie_plan::{Key, Resource};
pub use compiler::Compiler;
pub use policy::{Controlled, Entry, ListenerValues, Origins, RuleValues, ServiceValues};
pub use read::health_checks;

/// The `controllerName` under which we write status, and by which a GatewayClass is ours.
pub const CONTROLLER_NAME: &str = "byrnie.dev/gateway-controller";

/// The GatewayClass that exists without an object (unless an object of this name says otherwise).
pub const BUILT_IN_CLASS: &str = "byrnie";

/// What a compiler needs to know beside objects.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The supervisor's run: proxies' addresses that were reported in another run are void.
    pub run_id: String,
    /// Whether proxies capture traffic and must know all names: `Names` are compiled then.
    pub transparent: bool,
}

/// A change of an object.
#[derive(Clone, Debug)]
pub enum Change {
    /// It exists, and looks like this.
    Applied(Object),
    /// It is gone.
    Deleted(ObjectKey),
}

/// What a batch of changes came to: only what differs from before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Resources, by key.
    pub updates: Vec<Update>,
    /// Statuses of objects that exist.
    pub statuses: Vec<StatusUpdate>,
}

/// A resource that is other than before.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Its key.
    pub key: Key,
    /// What stands under it now; `None`: nothing any more.
    pub resource: Option<Resource>,
}

/// The compiler's part of an object's status: conditions without `lastTransitionTime`, which only a clock
/// knows, and entries of our `controllerName`. Fields and entries of others are not in it and must be kept
/// when it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusUpdate {
    /// The object.
    pub key: ObjectKey,
    /// Its `status`, as far as it is ours. Empty: nothing any more, as of a Gateway that another class took
    /// over.
    pub status: serde_json::Value,
}
