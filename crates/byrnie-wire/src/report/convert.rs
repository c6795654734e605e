//! Reports on the wire: every name once, cells hold indexes.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use byrnie_plan::{ObjectName, RouteName, WorkloadIdentity};
use prost::Message;

use super::{Direction, Histogram, MAX_BUCKETS, MAX_CELLS, Peers, PoolState, Report, RequestCell, TcpCell};
use crate::convert::field::{self, ascending, at, invalid, list, port, required, same_names, within};
use crate::convert::{route_kind_from_proto, route_kind_to_proto};
use crate::error::{DecodeError, Problem};
use crate::generated as pb;
use crate::limits::{MAX_CLIENT_MESSAGE, cut};

/// Cells of each kind in one message: with ordinary names far below [`MAX_CLIENT_MESSAGE`].
const CELLS_PER_MESSAGE: usize = 1_000;
/// Most names in one report.
const MAX_NAMES: usize = 4 * MAX_CELLS;
/// Longest name in a report, in bytes; the writer cuts longer ones, none is expected.
const MAX_NAME: usize = 1_024;

same_names!(direction_to_proto, direction_from_proto, Direction, pb::Direction, [Inbound, Outbound]);

impl Report {
    pub(crate) fn to_proto(&self) -> pb::Report {
        let mut names = Names::default();
        let requests = self.requests.iter().map(|cell| request_to_proto(cell, &mut names)).collect();
        let connections = self
            .connections
            .iter()
            .map(|cell| pb::TcpCell {
                peers: Some(peers_to_proto(&cell.peers, &mut names)),
                opened: cell.opened,
                closed: cell.closed,
                received_bytes: cell.received_bytes,
                sent_bytes: cell.sent_bytes,
            })
            .collect();
        let pools = self.pools.iter().map(|pool| pool_to_proto(pool, &mut names)).collect();
        pb::Report {
            interval_ms: self.interval_ms,
            dropped_cells: self.dropped_cells,
            requests,
            connections,
            pools,
            histogram_layout: self.histogram_layout,
            names: names.list,
        }
    }

    /// As much of it as fits one message, and the rest.
    pub(crate) fn into_message(mut self) -> (pb::Report, Option<Self>) {
        let mut cells = CELLS_PER_MESSAGE;
        loop {
            let part = Self {
                requests: self.requests.iter().take(cells).cloned().collect(),
                connections: self.connections.iter().take(cells).cloned().collect(),
                pools: self.pools.iter().take(cells).cloned().collect(),
                ..self
            };
            let message = part.to_proto();
            if cells > 1 && message.encoded_len() > MAX_CLIENT_MESSAGE / 2 {
                cells /= 2;
                continue;
            }
            self.requests.drain(..part.requests.len());
            self.connections.drain(..part.connections.len());
            self.pools.drain(..part.pools.len());
            self.interval_ms = 0;
            self.dropped_cells = 0;
            let rest = !(self.requests.is_empty() && self.connections.is_empty() && self.pools.is_empty());
            return (message, rest.then_some(self));
        }
    }

    pub(crate) fn from_proto(wire: pb::Report) -> Result<Self, DecodeError> {
        let names = list("names", wire.names, MAX_NAMES, |name| field::text(name, MAX_NAME))?;
        Ok(Self {
            interval_ms: wire.interval_ms,
            histogram_layout: wire.histogram_layout,
            dropped_cells: wire.dropped_cells,
            requests: list("requests", wire.requests, MAX_CELLS, |cell| request_from_proto(cell, &names))?,
            connections: list("connections", wire.connections, MAX_CELLS, |cell| {
                Ok(TcpCell {
                    peers: required("peers", cell.peers, |peers| peers_from_proto(peers, &names))?,
                    opened: cell.opened,
                    closed: cell.closed,
                    received_bytes: cell.received_bytes,
                    sent_bytes: cell.sent_bytes,
                })
            })?,
            pools: list("pools", wire.pools, MAX_CELLS, |pool| pool_from_proto(pool, &names))?,
        })
    }
}

/// The table of names while a report is written.
#[derive(Default)]
struct Names {
    list: Vec<String>,
    index: HashMap<String, u32>,
}

impl Names {
    /// 0 is the empty text, n the n-th entry.
    fn add(&mut self, text: impl Display) -> u32 {
        let text = cut(&text.to_string(), MAX_NAME).to_owned();
        if text.is_empty() {
            return 0;
        }
        if let Some(index) = self.index.get(&text) {
            return *index;
        }
        self.list.push(text.clone());
        let index = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.index.insert(text, index);
        index
    }

    fn add_maybe(&mut self, text: &Option<impl Display>) -> u32 {
        text.as_ref().map_or(0, |text| self.add(text))
    }
}

fn text(names: &[String], index: u32) -> Result<&str, DecodeError> {
    let Some(at) = index.checked_sub(1) else {
        return Ok("");
    };
    names.get(at as usize).map(String::as_str).ok_or_else(|| {
        let max = u64::try_from(names.len()).unwrap_or(u64::MAX);
        DecodeError::new(Problem::OutOfRange { value: index.into(), min: 0, max })
    })
}

fn parsed<T: FromStr>(names: &[String], index: u32) -> Result<Option<T>, DecodeError> {
    match text(names, index)? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| invalid("a name or identity")),
    }
}

fn object(names: &[String], index: u32) -> Result<ObjectName, DecodeError> {
    parsed(names, index)?.ok_or(DecodeError::new(Problem::Missing))
}

fn peers_to_proto(peers: &Peers, names: &mut Names) -> pb::Peers {
    pb::Peers {
        direction: direction_to_proto(peers.direction),
        service: names.add_maybe(&peers.service),
        source: names.add_maybe(&peers.source),
        destination: names.add_maybe(&peers.destination),
        peer_identity: names.add_maybe(&peers.peer_identity),
        self_identity: names.add_maybe(&peers.self_identity),
        secured: peers.secured,
        why: names.add(&peers.why),
        error: names.add(&peers.error),
        policy: names.add(&peers.policy),
        route_kind: peers.route.as_ref().map_or(0, |route| route_kind_to_proto(route.kind)),
        route: peers.route.as_ref().map_or(0, |route| names.add(&route.route)),
        rule: peers.route.as_ref().map_or(0, |route| names.add(&route.rule)),
    }
}

fn peers_from_proto(wire: pb::Peers, names: &[String]) -> Result<Peers, DecodeError> {
    let own = |index| text(names, index).map(str::to_owned);
    let identity = |index| parsed::<WorkloadIdentity>(names, index);
    Ok(Peers {
        direction: at("direction", direction_from_proto(wire.direction))?,
        service: at("service", parsed(names, wire.service))?,
        route: route_from_proto(&wire, names)?,
        source: at("source", parsed(names, wire.source))?,
        destination: at("destination", parsed(names, wire.destination))?,
        peer_identity: at("peer_identity", identity(wire.peer_identity))?,
        self_identity: at("self_identity", identity(wire.self_identity))?,
        secured: wire.secured,
        why: at("why", own(wire.why))?,
        error: at("error", own(wire.error))?,
        policy: at("policy", own(wire.policy))?,
    })
}

fn route_from_proto(wire: &pb::Peers, names: &[String]) -> Result<Option<RouteName>, DecodeError> {
    if wire.route == 0 {
        return Ok(None);
    }
    Ok(Some(RouteName {
        kind: at("route_kind", route_kind_from_proto(wire.route_kind))?,
        route: at("route", object(names, wire.route))?,
        rule: at("rule", text(names, wire.rule))?.to_owned(),
    }))
}

fn request_to_proto(cell: &RequestCell, names: &mut Names) -> pb::RequestCell {
    pb::RequestCell {
        peers: Some(peers_to_proto(&cell.peers, names)),
        status: cell.status.into(),
        grpc_status: cell.grpc_status.map(u32::from),
        count: cell.count,
        retries: cell.retries,
        request_bytes: cell.request_bytes,
        response_bytes: cell.response_bytes,
        latency: Some(pb::Histogram {
            sum_us: cell.latency.sum_us,
            buckets: cell.latency.buckets.iter().map(|(bucket, _)| u32::from(*bucket)).collect(),
            counts: cell.latency.buckets.iter().map(|(_, count)| *count).collect(),
        }),
    }
}

fn request_from_proto(wire: pb::RequestCell, names: &[String]) -> Result<RequestCell, DecodeError> {
    Ok(RequestCell {
        peers: required("peers", wire.peers, |peers| peers_from_proto(peers, names))?,
        status: at("status", within(wire.status, 0, 999))?,
        grpc_status: wire.grpc_status.map(|code| at("grpc_status", within(code, 0, u16::MAX))).transpose()?,
        count: wire.count,
        retries: wire.retries,
        request_bytes: wire.request_bytes,
        response_bytes: wire.response_bytes,
        latency: required("latency", wire.latency, histogram_from_proto)?,
    })
}

fn histogram_from_proto(wire: pb::Histogram) -> Result<Histogram, DecodeError> {
    if wire.buckets.len() != wire.counts.len() {
        return Err(invalid("one count for each bucket").within("counts"));
    }
    let numbers = list("buckets", wire.buckets, MAX_BUCKETS, |bucket| within(bucket, 0, u16::MAX))?;
    ascending("buckets", &numbers, |bucket| *bucket)?;
    Ok(Histogram { sum_us: wire.sum_us, buckets: numbers.into_iter().zip(wire.counts).collect() })
}

fn pool_to_proto(pool: &PoolState, names: &mut Names) -> pb::Pool {
    pb::Pool {
        service: names.add(&pool.service),
        port: pool.port.into(),
        workload: names.add(&pool.workload),
        connections: pool.connections,
        in_flight: pool.in_flight,
        pending: pool.pending,
        ejected: pool.ejected,
        latency_us: pool.latency_us,
    }
}

fn pool_from_proto(wire: pb::Pool, names: &[String]) -> Result<PoolState, DecodeError> {
    Ok(PoolState {
        service: at("service", object(names, wire.service))?,
        port: at("port", port(wire.port))?,
        workload: at("workload", object(names, wire.workload))?,
        connections: wire.connections,
        in_flight: wire.in_flight,
        pending: wire.pending,
        ejected: wire.ejected,
        latency_us: wire.latency_us,
    })
}
