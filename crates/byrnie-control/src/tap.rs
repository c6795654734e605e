//! Tap: one client's question goes to the proxies concerned, their events come back as lines.
//!
//! Bounded everywhere: taps at once, requests per second at each proxy, lines that wait for a slow client (what is
//! beyond is dropped and counted). It ends when the client leaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use byrnie_plan::{Key, ObjectName, Resource};
use byrnie_wire::report::{Direction, TapFilter, TapRequest, TapStart, TapWhat};
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::{ErrorBody, TapEvent, TapPhase, TapQuery};
use crate::error;
use crate::metrics::Metrics;
use crate::nodes::{Node, Nodes};
use crate::state::Control;
use crate::table::{ProxyOrder, Table};

/// Taps at once.
const MAX_TAPS: usize = 32;
/// Requests per second that each proxy shows.
const RATE: u32 = 100;
/// Lines that wait for the client.
const QUEUE: usize = 1_024;
/// Requests of a tap whose end has not come; of further ones only the first line names the peers.
const MAX_OPEN: usize = 4_096;

/// All running taps.
#[derive(Debug, Default)]
pub struct Taps {
    next_id: AtomicU64,
    running: Mutex<HashMap<u64, Arc<Tap>>>,
}

#[derive(Debug)]
struct Tap {
    query: TapQuery,
    events: mpsc::Sender<TapEvent>,
    /// What the first line of a request said, by proxy and request.
    open: Mutex<HashMap<(ObjectName, u64), TapEvent>>,
}

/// A new tap: its number, itself, its lines.
type Begun = (u64, Arc<Tap>, mpsc::Receiver<TapEvent>);

/// Starts a tap. It runs until the stream is dropped or has had as many events as were asked for.
pub fn events(
    control: &Arc<Control>,
    query: &TapQuery,
) -> Result<impl Stream<Item = TapEvent> + Send + 'static, ErrorBody> {
    let (id, tap, lines) = control.taps.begin(query)?;
    let guard = Guard { control: Arc::clone(control), id };
    for node in control.nodes.all() {
        tap.start(id, &node, &control.table);
    }
    let limit = usize::try_from(query.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let lines = ReceiverStream::new(lines).take(limit).map(move |event| {
        // The guard lives as long as the stream.
        let _ = &guard;
        event
    });
    Ok(lines)
}

/// Ends the tap everywhere when the client's stream is dropped.
struct Guard {
    control: Arc<Control>,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.control.taps.running.lock().remove(&self.id);
        stop(&self.control.nodes, self.id);
    }
}

fn stop(nodes: &Nodes, id: u64) {
    for node in nodes.all().iter().filter(|node| node.is_connected()) {
        node.mailbox.order(ProxyOrder::Stop(id));
    }
}

impl Taps {
    /// A new tap that no proxy has heard of yet, its number and its lines; if there is room for it.
    fn begin(&self, query: &TapQuery) -> Result<Begun, ErrorBody> {
        let mut running = self.running.lock();
        if running.len() >= MAX_TAPS {
            return Err(error::too_many("taps", MAX_TAPS));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (events, lines) = mpsc::channel(QUEUE);
        let tap = Arc::new(Tap { query: query.clone(), events, open: Mutex::default() });
        running.insert(id, Arc::clone(&tap));
        Ok((id, tap, lines))
    }

    /// Number of taps.
    pub fn len(&self) -> usize {
        self.running.lock().len()
    }

    /// A proxy came: running taps concern it, too.
    pub fn connected(&self, node: &Node, table: &Table) {
        let running: Vec<_> = self.running.lock().iter().map(|(id, tap)| (*id, Arc::clone(tap))).collect();
        for (id, tap) in running {
            tap.start(id, node, table);
        }
    }

    /// A proxy shows something.
    pub fn event(&self, node: &Node, event: byrnie_wire::report::TapEvent, metrics: &Metrics) {
        let Some(tap) = self.running.lock().get(&event.tap).cloned() else {
            return;
        };
        let line = tap.line(node, &event);
        if tap.events.try_send(line).is_err() {
            metrics.tap_dropped.inc();
        }
    }
}

impl Tap {
    /// Asks a proxy, when it is concerned.
    fn start(&self, id: u64, node: &Node, table: &Table) {
        let query = &self.query;
        let own = &node.info.workload;
        let mut filter = TapFilter {
            method: query.method.as_ref().map(|method| method.to_ascii_uppercase()),
            path_prefix: query.path.clone(),
            ..TapFilter::default()
        };
        let is_in_namespace = query.namespace.as_ref().is_none_or(|namespace| *namespace == own.namespace);
        match &query.name {
            None if !is_in_namespace => return,
            Some(name) if *name != own.name || !is_in_namespace => {
                // Perhaps it is a Service: then everybody who calls it, and everybody behind it.
                let namespace = query.namespace.as_ref().unwrap_or(&own.namespace);
                let service = ObjectName::new(namespace, name);
                if !is_service(table, &service) {
                    return;
                }
                filter.service = Some(service);
            }
            _ => {}
        }
        node.mailbox.order(ProxyOrder::Start(Box::new(TapRequest { id, filter, limit: RATE })));
    }

    fn line(&self, node: &Node, event: &byrnie_wire::report::TapEvent) -> TapEvent {
        let proxy = &node.info.workload;
        let key = (proxy.clone(), event.request);
        let millis = i64::try_from(event.at_ms).unwrap_or(i64::MAX);
        let time = Timestamp::from_millisecond(millis).map(|t| t.to_string()).unwrap_or_default();
        let mut open = self.open.lock();
        let base = |known: Option<TapEvent>| TapEvent {
            time: time.clone(),
            ..known.unwrap_or_else(|| empty(node, event.request))
        };
        match &event.what {
            TapWhat::Start(start) => {
                let line = TapEvent { time: time.clone(), ..started(node, event.request, start) };
                if open.len() < MAX_OPEN {
                    open.insert(key, peers_of(&line));
                }
                line
            }
            TapWhat::Response(response) => TapEvent {
                phase: TapPhase::Rsp,
                status: Some(response.status),
                latency_micros: Some(response.since_start_us),
                ..base(open.get(&key).cloned())
            },
            TapWhat::End(end) => TapEvent {
                phase: TapPhase::End,
                latency_micros: Some(end.since_start_us),
                response_bytes: Some(end.response_bytes),
                grpc_status: end.grpc_status.map(u32::from),
                error: end.error.clone(),
                delayed_micros: (end.delayed_us > 0).then_some(end.delayed_us),
                ..base(open.remove(&key))
            },
        }
    }
}

fn is_service(table: &Table, name: &ObjectName) -> bool {
    let published = table.get(&Key::Service(name.clone()));
    published.is_some_and(|published| matches!(published.resource, Resource::Service(_)))
}

fn empty(node: &Node, request: u64) -> TapEvent {
    TapEvent {
        phase: TapPhase::Req,
        direction: String::new(),
        proxy: node.info.workload.to_string(),
        id: request,
        src: "-".to_owned(),
        dst: "-".to_owned(),
        tls: false,
        time: String::new(),
        method: String::new(),
        authority: String::new(),
        path: String::new(),
        route: String::new(),
        status: None,
        grpc_status: None,
        latency_micros: None,
        response_bytes: None,
        delayed_micros: None,
        error: String::new(),
    }
}

fn started(node: &Node, request: u64, start: &TapStart) -> TapEvent {
    let (direction, src, dst) = match start.direction {
        Direction::Inbound => ("in", peer(start, start.source.as_ref()), node.info.workload.to_string()),
        Direction::Outbound => {
            let src = start.source.as_ref().unwrap_or(&node.info.workload).to_string();
            ("out", src, peer(start, start.destination.as_ref().or(start.service.as_ref())))
        }
    };
    TapEvent {
        direction: direction.to_owned(),
        src,
        dst,
        tls: start.secured,
        method: start.method.clone(),
        authority: start.host.clone(),
        path: start.path.clone(),
        route: start.route.clone(),
        ..empty(node, request)
    }
}

fn peer(start: &TapStart, name: Option<&ObjectName>) -> String {
    match (name, &start.peer_identity) {
        (Some(name), _) => name.to_string(),
        (None, Some(identity)) => identity.to_string(),
        (None, None) => "-".to_owned(),
    }
}

/// What later lines of the request repeat.
fn peers_of(line: &TapEvent) -> TapEvent {
    TapEvent {
        method: String::new(),
        authority: String::new(),
        path: String::new(),
        route: String::new(),
        ..line.clone()
    }
}

#[cfg(test)]
mod tests {
    use byrnie_wire::report::TapResponse;
    use byrnie_wire::{NodeInfo, Role};

    use super::*;

    #[test]
    fn taps_and_the_lines_that_wait_are_bounded() {
        let (taps, nodes, metrics) = (Taps::default(), Nodes::default(), Metrics::default());
        let begin = || taps.begin(&TapQuery::default());
        let (id, _, mut lines) = begin().unwrap();
        let others: Vec<_> = (1..MAX_TAPS).map(|_| begin().unwrap()).collect();
        assert_eq!((others.len(), begin().unwrap_err().code.as_str()), (31, "BYR0450"));

        let (workload, identity) = ("shop/web-1", "spiffe://cluster.local/ns/shop/sa/web");
        let info = NodeInfo {
            workload: workload.parse().unwrap(),
            role: Role::Sidecar,
            version: String::new(),
            run: String::new(),
            pid: 1,
            generation: 1,
            retiring: false,
        };
        let node = nodes.connect(info, identity.parse().unwrap()).unwrap();
        let event = |request| byrnie_wire::report::TapEvent {
            tap: id,
            request,
            at_ms: 1,
            what: TapWhat::Response(TapResponse { status: 200, since_start_us: 1 }),
        };
        (0..1_030).for_each(|request| taps.event(&node, event(request), &metrics));
        assert_eq!(metrics.tap_dropped.get(), 6, "a client that does not read has 1,024 lines");
        let kept: Vec<u64> = std::iter::from_fn(|| lines.try_recv().ok()).map(|line| line.id).collect();
        assert_eq!(kept, (0..1_024).collect::<Vec<_>>());
    }
}
