//! What changed since the last report: plain values, ready for the wire.

use std::sync::Arc;

use crate::{Labels, Outcome, RequestTally, TcpTally};

/// Everything that changed since the last [`crate::Registry::take_delta`].
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Delta {
    /// Requests, one entry for each label set and outcome.
    pub requests: Vec<RequestDelta>,
    /// Connections that are not HTTP.
    pub connections: Vec<TcpDelta>,
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.connections.is_empty()
    }
}

/// Requests that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestDelta {
    /// Who and whom.
    pub labels: Arc<Labels>,
    /// How they ended.
    pub outcome: Outcome,
    /// How many, how long, how big.
    pub tally: RequestTally,
}

/// Connections that began, ended or carried bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpDelta {
    /// Who and whom.
    pub labels: Arc<Labels>,
    /// How they ended; `error` and `policy` only.
    pub outcome: Outcome,
    /// How many, how big.
    pub tally: TcpTally,
}
