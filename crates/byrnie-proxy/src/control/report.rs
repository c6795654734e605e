//! What was measured, as the control plane reads it.

use std::time::Duration;

use byrnie_telemetry::{self as telemetry, Delta, HISTOGRAM_LAYOUT, Labels, Outcome, RequestDelta, TcpDelta};
use byrnie_wire::report::{self as wire, Histogram, Peers, PoolState, Report, RequestCell, TcpCell};

/// The report of one interval, and the pools at its end.
pub fn report(delta: Delta, interval: Duration, pools: Vec<PoolState>) -> Report {
    Report {
        interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
        histogram_layout: HISTOGRAM_LAYOUT,
        requests: delta.requests.into_iter().map(request).collect(),
        connections: delta.connections.into_iter().map(connection).collect(),
        pools,
        ..Report::default()
    }
}

fn request(delta: RequestDelta) -> RequestCell {
    let RequestDelta { labels, outcome, tally } = delta;
    RequestCell {
        status: outcome.status,
        grpc_status: outcome.grpc_status,
        peers: peers(&labels, outcome),
        count: tally.count(),
        retries: tally.retries,
        request_bytes: tally.request_bytes,
        response_bytes: tally.response_bytes,
        latency: Histogram { sum_us: tally.latency.sum_us, buckets: tally.latency.buckets },
    }
}

fn connection(delta: TcpDelta) -> TcpCell {
    TcpCell {
        peers: peers(&delta.labels, delta.outcome),
        opened: delta.tally.opened,
        closed: delta.tally.closed,
        received_bytes: delta.tally.received_bytes,
        sent_bytes: delta.tally.sent_bytes,
    }
}

fn peers(labels: &Labels, outcome: Outcome) -> Peers {
    Peers {
        direction: direction(labels.direction),
        service: labels.service.clone(),
        route: labels.route.clone(),
        source: labels.source.clone(),
        destination: labels.destination.clone(),
        peer_identity: labels.peer_identity.clone(),
        self_identity: labels.self_identity.clone(),
        secured: labels.secured,
        why: labels.why.clone(),
        error: outcome.error,
        policy: outcome.policy,
    }
}

fn direction(direction: telemetry::Direction) -> wire::Direction {
    match direction {
        telemetry::Direction::Inbound => wire::Direction::Inbound,
        telemetry::Direction::Outbound => wire::Direction::Outbound,
    }
}

/// Which requests the control plane wants to see.
pub fn tap_filter(filter: wire::TapFilter) -> telemetry::TapFilter {
    telemetry::TapFilter {
        direction: filter.direction.map(|direction| match direction {
            wire::Direction::Inbound => telemetry::Direction::Inbound,
            wire::Direction::Outbound => telemetry::Direction::Outbound,
        }),
        source: filter.source,
        destination: filter.destination,
        service: filter.service,
        method: filter.method,
        path_prefix: filter.path_prefix,
        host: filter.host,
    }
}

/// What happened to a request that is shown.
pub fn tap_event(event: telemetry::TapEvent) -> wire::TapEvent {
    let what = match event.what {
        telemetry::TapWhat::Start(start) => wire::TapWhat::Start(tap_start(*start)),
        telemetry::TapWhat::Response(response) => wire::TapWhat::Response(wire::TapResponse {
            status: response.status,
            since_start_us: response.since_start_us,
        }),
        telemetry::TapWhat::End(end) => wire::TapWhat::End(wire::TapEnd {
            since_start_us: end.since_start_us,
            response_bytes: end.response_bytes,
            grpc_status: end.grpc_status,
            error: end.error,
            delayed_us: end.delayed_us,
        }),
    };
    wire::TapEvent { tap: event.tap, request: event.request, at_ms: event.at_ms, what }
}

fn tap_start(start: telemetry::TapStart) -> wire::TapStart {
    wire::TapStart {
        direction: direction(start.direction),
        source: start.source,
        destination: start.destination,
        service: start.service,
        peer_identity: start.peer_identity,
        secured: start.secured,
        protocol: start.protocol,
        method: start.method,
        host: start.host,
        path: start.path,
        route: start.route,
    }
}
