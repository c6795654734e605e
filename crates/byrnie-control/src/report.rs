//! A proxy's report as the window takes it.
//!
//! A proxy may speak only of traffic at which it was present: its own side of every cell is set to its own workload,
//! whatever it claims.

use std::sync::Arc;

use byrnie_plan::ObjectName;
use byrnie_telemetry::{
    Delta, Direction, HISTOGRAM_LAYOUT, Histogram, Labels, Outcome, RequestDelta, RequestTally, TcpDelta,
    TcpTally,
};
use byrnie_wire::report::{self, Peers, Report, RequestCell, TcpCell};

/// `None`: its histograms have a layout that this version does not know.
pub fn delta(reporter: &ObjectName, report: Report) -> Option<Delta> {
    if report.histogram_layout != HISTOGRAM_LAYOUT && !report.requests.is_empty() {
        return None;
    }
    Some(Delta {
        requests: report.requests.into_iter().map(|cell| request(reporter, cell)).collect(),
        connections: report.connections.into_iter().map(|cell| connection(reporter, cell)).collect(),
    })
}

fn request(reporter: &ObjectName, cell: RequestCell) -> RequestDelta {
    let (labels, outcome) = labels(reporter, cell.peers, cell.status, cell.grpc_status);
    let mut latency = Histogram { sum_us: cell.latency.sum_us, buckets: Vec::new() };
    cell.latency.buckets.iter().for_each(|(bucket, count)| latency.add(*bucket, *count));
    let tally = RequestTally {
        retries: cell.retries,
        request_bytes: cell.request_bytes,
        response_bytes: cell.response_bytes,
        latency,
    };
    RequestDelta { labels, outcome, tally }
}

fn connection(reporter: &ObjectName, cell: TcpCell) -> TcpDelta {
    let (labels, outcome) = labels(reporter, cell.peers, 0, None);
    let tally = TcpTally {
        opened: cell.opened,
        closed: cell.closed,
        received_bytes: cell.received_bytes,
        sent_bytes: cell.sent_bytes,
    };
    TcpDelta { labels, outcome, tally }
}

fn labels(
    reporter: &ObjectName,
    peers: Peers,
    status: u16,
    grpc_status: Option<u16>,
) -> (Arc<Labels>, Outcome) {
    let (direction, source, destination) = match peers.direction {
        report::Direction::Inbound => (Direction::Inbound, peers.source, Some(reporter.clone())),
        report::Direction::Outbound => (Direction::Outbound, Some(reporter.clone()), peers.destination),
    };
    let labels = Labels {
        direction,
        service: peers.service,
        route: peers.route,
        source,
        destination,
        peer_identity: peers.peer_identity,
        self_identity: peers.self_identity,
        secured: peers.secured,
        why: peers.why,
    };
    let outcome = Outcome { status, grpc_status, error: peers.error, policy: peers.policy };
    (Arc::new(labels), outcome)
}
