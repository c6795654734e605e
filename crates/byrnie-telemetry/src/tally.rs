//! Sums, outside the hot path.

use crate::Histogram;

/// Requests of one series.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RequestTally {
    /// Retries.
    pub retries: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
    /// How long they took; its count is the number of requests.
    pub latency: Histogram,
}

impl RequestTally {
    /// How many requests.
    pub fn count(&self) -> u64 {
        self.latency.count()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.latency.is_empty() && self.retries == 0 && self.request_bytes == 0 && self.response_bytes == 0
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.retries = self.retries.saturating_add(other.retries);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.latency.merge(&other.latency);
    }
}

/// Connections of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpTally {
    /// Connections that began.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
}

impl TcpTally {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.opened = self.opened.saturating_add(other.opened);
        self.closed = self.closed.saturating_add(other.closed);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
    }
}
