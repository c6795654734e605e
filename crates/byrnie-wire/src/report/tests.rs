//! Reports round trip, add up, and refuse what points outside.

use byrnie_plan::{ObjectName, RouteKind, RouteName};

use super::*;
use crate::generated as pb;

fn peers(source: &str) -> Peers {
    Peers {
        direction: Direction::Outbound,
        service: Some(ObjectName::new("shop", "web")),
        route: Some(RouteName {
            kind: RouteKind::Http,
            route: ObjectName::new("shop", "r"),
            rule: "0".into(),
        }),
        source: Some(ObjectName::new("shop", source)),
        destination: None,
        peer_identity: Some("spiffe://cluster.local/ns/shop/sa/web".parse().unwrap()),
        self_identity: None,
        secured: true,
        why: "mesh".into(),
        error: String::new(),
        policy: String::new(),
    }
}

fn cell(source: &str, status: u16, buckets: &[(u16, u64)]) -> RequestCell {
    RequestCell {
        peers: peers(source),
        status,
        grpc_status: None,
        count: 3,
        retries: 1,
        request_bytes: 10,
        response_bytes: 20,
        latency: Histogram { sum_us: 7, buckets: buckets.to_vec() },
    }
}

fn report() -> Report {
    Report {
        interval_ms: 1000,
        histogram_layout: 1,
        dropped_cells: 2,
        requests: vec![cell("front", 200, &[(3, 1), (9, 2)]), cell("front", 503, &[])],
        connections: vec![TcpCell {
            peers: peers("cache"),
            opened: 1,
            closed: 2,
            received_bytes: 3,
            sent_bytes: 4,
        }],
        pools: vec![PoolState {
            service: ObjectName::new("shop", "web"),
            port: 80,
            workload: ObjectName::new("shop", "web-1"),
            connections: 1,
            in_flight: 2,
            pending: 3,
            ejected: true,
            latency_us: 4,
        }],
    }
}

#[test]
fn reports_round_trip_and_say_each_name_once() {
    let wire = report().to_proto();
    let mut names = wire.names.clone();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), wire.names.len());
    assert_eq!(Report::from_proto(wire), Ok(report()));
}

#[test]
fn reports_are_read_strictly() {
    let refused = |change: fn(&mut pb::Report)| {
        let mut wire = report().to_proto();
        change(&mut wire);
        let error = Report::from_proto(wire).unwrap_err();
        (error.path.clone(), error.code())
    };
    let is = |path: &str, code| (path.to_owned(), code);
    assert_eq!(refused(|r| r.names.clear()), is("requests[0].peers.service", "BYR0353"));
    assert_eq!(refused(|r| r.requests[1].peers = None), is("requests[1].peers", "BYR0351"));
    assert_eq!(refused(|r| r.requests[0].status = 1000), is("requests[0].status", "BYR0353"));
    assert_eq!(refused(|r| r.requests[0].latency = None), is("requests[0].latency", "BYR0351"));
    let unsorted: fn(&mut pb::Report) = |r| r.requests[0].latency.as_mut().unwrap().buckets.reverse();
    assert_eq!(refused(unsorted), is("requests[0].latency.buckets[1]", "BYR0358"));
    let uneven: fn(&mut pb::Report) = |r| r.requests[0].latency.as_mut().unwrap().counts.push(1);
    assert_eq!(refused(uneven), is("requests[0].latency.counts", "BYR0354"));
    let kind: fn(&mut pb::Report) = |r| r.requests[0].peers.as_mut().unwrap().route_kind = 0;
    assert_eq!(refused(kind), is("requests[0].peers.route_kind", "BYR0352"));
    let direction: fn(&mut pb::Report) = |r| r.connections[0].peers.as_mut().unwrap().direction = 7;
    assert_eq!(refused(direction), is("connections[0].peers.direction", "BYR0352"));
    assert_eq!(refused(|r| r.pools[0].workload = 0), is("pools[0].workload", "BYR0351"));
    assert_eq!(refused(|r| r.pools = vec![r.pools[0]; MAX_CELLS + 1]), is("pools", "BYR0355"));
}

#[test]
fn reports_add_up() {
    let mut sum = report();
    let mut later = report();
    later.requests = vec![cell("front", 200, &[(3, 5), (4, 1)]), cell("api", 200, &[(1, 1)])];
    later.pools.clear();
    sum.merge(later);
    assert_eq!(sum.interval_ms, 2000);
    assert_eq!(sum.requests.len(), 3);
    assert_eq!(sum.requests[0].count, 6);
    assert_eq!(sum.requests[0].latency, Histogram { sum_us: 14, buckets: vec![(3, 6), (4, 1), (9, 2)] });
    assert_eq!(sum.requests[0].latency.count(), 9);
    assert_eq!(sum.connections[0].sent_bytes, 8);
    assert!(sum.pools.is_empty(), "pools are as they are now");
    assert_eq!(sum.dropped_cells, 4);
}

#[test]
fn cells_beyond_the_limit_are_counted() {
    let many = |from: usize, count: usize| Report {
        requests: (from..from + count).map(|n| cell(&format!("w{n}"), 200, &[])).collect(),
        ..Report::default()
    };
    let mut sum = many(0, MAX_CELLS);
    sum.merge(many(MAX_CELLS - 1, 3));
    assert_eq!((sum.requests.len(), sum.dropped_cells), (MAX_CELLS, 2));
    assert_eq!(sum.requests[MAX_CELLS - 1].count, 6);
}

#[test]
fn histograms_of_another_layout_do_not_mix() {
    let mut sum = report();
    sum.merge(Report {
        histogram_layout: 2,
        requests: vec![cell("front", 200, &[(1, 1)])],
        ..Report::default()
    });
    assert_eq!(sum.histogram_layout, 2);
    assert_eq!(sum.requests[0].latency.buckets, [(1, 1)]);
}

#[test]
fn taps_round_trip() {
    let tap = TapRequest {
        id: 4,
        filter: TapFilter { method: Some("GET".into()), ..TapFilter::default() },
        limit: 9,
    };
    assert_eq!(tap_request_from_proto(tap_request_to_proto(&tap)), Ok(tap.clone()));
    let none = pb::TapRequest { limit: 0, ..tap_request_to_proto(&tap) };
    assert_eq!(tap_request_from_proto(none).unwrap_err().code(), "BYR0353");
    let start = TapStart {
        direction: Direction::Inbound,
        source: None,
        destination: Some(ObjectName::new("shop", "web-1")),
        service: None,
        peer_identity: None,
        secured: false,
        protocol: "HTTP/1.1".into(),
        method: "GET".into(),
        host: "web".into(),
        path: "/".into(),
        route: String::new(),
    };
    for what in [
        TapWhat::Start(start.clone()),
        TapWhat::Response(TapResponse { status: 200, since_start_us: 5 }),
        TapWhat::End(TapEnd {
            since_start_us: 6,
            response_bytes: 7,
            grpc_status: Some(0),
            error: "BYR0201".into(),
            delayed_us: 5,
        }),
    ] {
        let event = TapEvent { tap: 4, request: 1, at_ms: 2, what };
        assert_eq!(tap_event_from_proto(tap_event_to_proto(&event)), Ok(event));
    }
    let long = TapEvent {
        tap: 1,
        request: 1,
        at_ms: 1,
        what: TapWhat::Start(TapStart { path: "ü".repeat(900), ..start }),
    };
    let TapWhat::Start(cut) = tap_event_from_proto(tap_event_to_proto(&long)).unwrap().what else { panic!() };
    assert_eq!(cut.path.len(), 1024);
    let empty = pb::TapEvent { what: None, ..tap_event_to_proto(&long) };
    assert_eq!(tap_event_from_proto(empty).unwrap_err().path, "what");
}
