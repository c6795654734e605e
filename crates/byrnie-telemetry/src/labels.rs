//! The labels of a series.

use byrnie_plan::{ObjectName, RouteName, WorkloadIdentity};

/// Which side of a hop reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The server's proxy.
    Inbound,
    /// The client's proxy, or a gateway towards its backends.
    Outbound,
}

impl Direction {
    /// `inbound` or `outbound`, as metrics and logs say.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Who talked to whom and over which route. Known before a request ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels {
    /// Which side reports.
    pub direction: Direction,
    /// The Service that was called, where one is known.
    pub service: Option<ObjectName>,
    /// The route and rule that decided.
    pub route: Option<RouteName>,
    /// The calling workload, where it is known.
    pub source: Option<ObjectName>,
    /// The workload that was called.
    pub destination: Option<ObjectName>,
    /// What the other side proved.
    pub peer_identity: Option<WorkloadIdentity>,
    /// What this side proved.
    pub self_identity: Option<WorkloadIdentity>,
    /// Whether the hop was mTLS.
    pub secured: bool,
    /// Why it was or was not: a few words of a closed set.
    pub why: String,
}

impl Labels {
    /// Nothing known but the direction.
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            service: None,
            route: None,
            source: None,
            destination: None,
            peer_identity: None,
            self_identity: None,
            secured: false,
            why: String::new(),
        }
    }

    /// The workload on this side.
    pub fn own(&self) -> Option<&ObjectName> {
        match self.direction {
            Direction::Inbound => self.destination.as_ref(),
            Direction::Outbound => self.source.as_ref(),
        }
    }

    /// The workload on the other side.
    pub fn peer(&self) -> Option<&ObjectName> {
        match self.direction {
            Direction::Inbound => self.source.as_ref(),
            Direction::Outbound => self.destination.as_ref(),
        }
    }
}

/// How requests ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Outcome {
    /// HTTP status; 0: none was sent.
    pub status: u16,
    /// The gRPC status, for gRPC.
    pub grpc_status: Option<u16>,
    /// The error's code (`BYR0201`), empty when all went well.
    pub error: String,
    /// The policy that refused, as `namespace/name`; empty: none.
    pub policy: String,
}

impl Outcome {
    /// Whether it counts against the success rate: no answer, a 5xx, or a gRPC status that blames the server
    /// (UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS).
    pub fn is_failure(&self) -> bool {
        self.status == 0 || self.status >= 500 || matches!(self.grpc_status, Some(2 | 4 | 13 | 14 | 15))
    }
}
