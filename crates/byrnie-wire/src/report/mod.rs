//! What a proxy measured since its last report: counts per (who, whom, route, outcome), as deltas.
//!
//! Plain types; names travel once per report (see `proto/byrnie/v1/report.proto`).

pub(crate) mod convert;
mod merge;
mod tap;
#[cfg(test)]
mod tests;

use byrnie_plan::{ObjectName, RouteName, WorkloadIdentity};

pub use tap::{TapEnd, TapEvent, TapFilter, TapRequest, TapResponse, TapStart, TapWhat};
pub(crate) use tap::{
    tap_event_from_proto, tap_event_to_proto, tap_request_from_proto, tap_request_to_proto,
};

/// Most cells of each kind in one report.
pub const MAX_CELLS: usize = 10_000;
/// Most buckets of one histogram.
pub const MAX_BUCKETS: usize = 1_024;

/// Deltas since the last report.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Report {
    /// Over which time, in milliseconds.
    pub interval_ms: u32,
    /// Which layout the histograms' bucket numbers mean; the writer and the reader of the buckets agree on
    /// it.
    pub histogram_layout: u32,
    /// Cells that were lost because the stream was slow, since the process began. Set by the client.
    pub dropped_cells: u64,
    /// Requests.
    pub requests: Vec<RequestCell>,
    /// Connections that are not HTTP.
    pub connections: Vec<TcpCell>,
    /// Connection pools as they are now.
    pub pools: Vec<PoolState>,
}

/// Which side of the hop reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The server's proxy.
    Inbound,
    /// The client's proxy, or a gateway towards its backends.
    Outbound,
}

/// Who talked to whom, and how it went: the labels of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peers {
    /// Which side reports.
    pub direction: Direction,
    /// The Service that was called, where one is known.
    pub service: Option<ObjectName>,
    /// The route and rule that decided.
    pub route: Option<RouteName>,
    /// The calling workload, where it is known (the client's proxy knows it).
    pub source: Option<ObjectName>,
    /// The workload that was called.
    pub destination: Option<ObjectName>,
    /// What the other side proved.
    pub peer_identity: Option<WorkloadIdentity>,
    /// What this side proved.
    pub self_identity: Option<WorkloadIdentity>,
    /// Whether the hop was mTLS.
    pub secured: bool,
    /// Why it was or was not, in a few words of a closed set.
    pub why: String,
    /// The error's code (`BYR0201`), empty when all went well.
    pub error: String,
    /// The policy that refused, as `namespace/name`; empty: none.
    pub policy: String,
}

/// Requests with the same labels.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestCell {
    /// The labels.
    pub peers: Peers,
    /// HTTP status; 0: none was sent.
    pub status: u16,
    /// The gRPC status, for gRPC.
    pub grpc_status: Option<u16>,
    /// Requests that ended.
    pub count: u64,
    /// Retries among them.
    pub retries: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
    /// How long they took.
    pub latency: Histogram,
}

/// A sparse histogram.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Histogram {
    /// The sum of all values, in microseconds.
    pub sum_us: u64,
    /// Bucket number and count, ascending, each bucket once.
    pub buckets: Vec<(u16, u64)>,
}

/// Connections with the same labels.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpCell {
    /// The labels.
    pub peers: Peers,
    /// Connections that began.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
}

/// The connections to one endpoint, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// The Service.
    pub service: ObjectName,
    /// Its port.
    pub port: u16,
    /// The endpoint.
    pub workload: ObjectName,
    /// Open connections.
    pub connections: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that wait.
    pub pending: u32,
    /// Left out for a while.
    pub ejected: bool,
    /// The moving average of its latency, in microseconds.
    pub latency_us: u64,
}
