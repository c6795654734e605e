//! Live requests, shown to whoever asks. While nobody does, it costs one relaxed load for each request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use byrnie_plan::{ObjectName, WorkloadIdentity};
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use crate::{Counter, Direction};

/// Taps on one proxy at a time at most.
const TAPS: usize = 16;

/// Events that wait to be fetched at most; older ones give way.
const QUEUE: usize = 2048;

/// Longest method, host, path in an event, in bytes; what is beyond is cut.
const TEXT_LIMIT: usize = 1024;

/// Which requests to show. What is `None` matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TapFilter {
    /// Only this side.
    pub direction: Option<Direction>,
    /// The calling workload.
    pub source: Option<ObjectName>,
    /// The called workload.
    pub destination: Option<ObjectName>,
    /// The called Service.
    pub service: Option<ObjectName>,
    /// Exact, upper case.
    pub method: Option<String>,
    /// A plain text prefix of the path.
    pub path_prefix: Option<String>,
    /// Exact, lower case, without port.
    pub host: Option<String>,
}

/// A request as the filters see it, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct TapView<'a> {
    /// Which side.
    pub direction: Direction,
    /// The calling workload, where known.
    pub source: Option<&'a ObjectName>,
    /// The called workload, where known already.
    pub destination: Option<&'a ObjectName>,
    /// The Service.
    pub service: Option<&'a ObjectName>,
    /// What the other side proved.
    pub peer_identity: Option<&'a WorkloadIdentity>,
    /// Whether the hop is mTLS.
    pub secured: bool,
    /// `HTTP/1.1`, `HTTP/2`, `TCP`.
    pub protocol: &'a str,
    /// The method.
    pub method: &'a str,
    /// The host.
    pub host: &'a str,
    /// The path with query.
    pub path: &'a str,
    /// The route, as `route/rule`.
    pub route: &'a str,
}

/// Something happened to a request that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapEvent {
    /// The tap, by the number that [`TapHub::add`] was given.
    pub tap: u64,
    /// Which request, unique within the process.
    pub request: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What happened.
    pub what: TapWhat,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapWhat {
    /// The request came.
    Start(Box<TapStart>),
    /// The head of the response went back.
    Response(TapResponse),
    /// All is done.
    End(TapEnd),
}

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapStart {
    /// Which side shows it.
    pub direction: Direction,
    /// The calling workload, where known.
    pub source: Option<ObjectName>,
    /// The called workload, where known already.
    pub destination: Option<ObjectName>,
    /// The Service.
    pub service: Option<ObjectName>,
    /// What the other side proved.
    pub peer_identity: Option<WorkloadIdentity>,
    /// Whether the hop is mTLS.
    pub secured: bool,
    /// `HTTP/1.1`, `HTTP/2`, `TCP`.
    pub protocol: String,
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The path with query.
    pub path: String,
    /// The route, as `route/rule`.
    pub route: String,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapResponse {
    /// HTTP status.
    pub status: u16,
    /// Microseconds since the request came.
    pub since_start_us: u64,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TapEnd {
    /// Microseconds since the request came.
    pub since_start_us: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// For gRPC.
    pub grpc_status: Option<u16>,
    /// The error's code, empty when all went well.
    pub error: String,
    /// Microseconds for which a FaultPolicy made it wait here.
    pub delayed_us: u64,
}

/// All taps of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TapHub(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    active: AtomicUsize,
    taps: RwLock<Vec<Arc<Tap>>>,
    events: Mutex<VecDeque<TapEvent>>,
    next_request: AtomicU64,
    dropped: Arc<Counter>,
}

#[derive(Debug)]
struct Tap {
    id: u64,
    filter: TapFilter,
    /// Requests per second at most.
    limit: u32,
    /// The second that `shown` belongs to.
    second: AtomicU64,
    shown: AtomicU32,
}

/// A request that is shown: tell it what happens.
#[derive(Debug)]
pub struct TapWatch {
    hub: Arc<Hub>,
    request: u64,
    taps: SmallVec<[u64; 2]>,
}

impl TapHub {
    /// Nobody taps yet; `dropped` counts lost events (`names::TAP_DROPPED`).
    pub fn new(dropped: Arc<Counter>) -> Self {
        Self(Arc::new(Hub {
            active: AtomicUsize::new(0),
            taps: RwLock::default(),
            events: Mutex::default(),
            next_request: AtomicU64::new(1),
            dropped,
        }))
    }

    /// Whether nobody taps. Ask before building a [`TapView`].
    pub fn is_idle(&self) -> bool {
        self.0.active.load(Relaxed) == 0
    }

    /// Adds a tap that shows at most `limit` requests per second; an earlier one with the same number gives way.
    /// `false`: there are 16 already.
    #[must_use]
    pub fn add(&self, id: u64, filter: TapFilter, limit: u32) -> bool {
        let mut taps = self.0.taps.write();
        taps.retain(|tap| tap.id != id);
        let room = taps.len() < TAPS;
        if room {
            let tap = Tap { id, filter, limit, second: AtomicU64::new(0), shown: AtomicU32::new(0) };
            taps.push(Arc::new(tap));
        }
        self.0.active.store(taps.len(), Relaxed);
        room
    }

    /// Ends a tap. Its events that wait are forgotten.
    pub fn remove(&self, id: u64) {
        let mut taps = self.0.taps.write();
        taps.retain(|tap| tap.id != id);
        self.0.active.store(taps.len(), Relaxed);
        drop(taps);
        self.0.events.lock().retain(|event| event.tap != id);
    }

    /// Ends all taps: the stream to whoever asked is gone.
    pub fn clear(&self) {
        let mut taps = self.0.taps.write();
        taps.clear();
        self.0.active.store(0, Relaxed);
        drop(taps);
        self.0.events.lock().clear();
    }

    /// A request came; `None`: nobody wants to see it. `at_ms`: milliseconds since 1970.
    pub fn start(&self, view: &TapView<'_>, at_ms: u64) -> Option<TapWatch> {
        if self.is_idle() {
            return None;
        }
        let taps: SmallVec<[u64; 2]> = {
            let taps = self.0.taps.read();
            taps.iter()
                .filter(|tap| tap.filter.matches(view) && tap.has_room(at_ms))
                .map(|tap| tap.id)
                .collect()
        };
        if taps.is_empty() {
            return None;
        }
        let request = self.0.next_request.fetch_add(1, Relaxed);
        let watch = TapWatch { hub: Arc::clone(&self.0), request, taps };
        watch.tell(at_ms, TapWhat::Start(Box::new(view.to_start())));
        Some(watch)
    }

    /// Takes the events that wait, oldest first.
    pub fn drain(&self) -> Vec<TapEvent> {
        std::mem::take(&mut *self.0.events.lock()).into()
    }
}

impl TapWatch {
    /// The head of the response went back.
    pub fn response(&self, at_ms: u64, response: TapResponse) {
        self.tell(at_ms, TapWhat::Response(response));
    }

    /// All is done.
    pub fn end(self, at_ms: u64, end: TapEnd) {
        self.tell(at_ms, TapWhat::End(end));
    }

    fn tell(&self, at_ms: u64, what: TapWhat) {
        let mut events = self.hub.events.lock();
        for tap in &self.taps {
            if events.len() >= QUEUE {
                events.pop_front();
                self.hub.dropped.inc();
            }
            events.push_back(TapEvent { tap: *tap, request: self.request, at_ms, what: what.clone() });
        }
    }
}

impl Tap {
    fn has_room(&self, at_ms: u64) -> bool {
        let second = at_ms / 1000;
        if self.second.swap(second, Relaxed) != second {
            self.shown.store(0, Relaxed);
        }
        self.shown.fetch_add(1, Relaxed) < self.limit
    }
}

impl TapFilter {
    /// Whether a request is to be shown.
    pub fn matches(&self, view: &TapView<'_>) -> bool {
        fn is<T: PartialEq>(wanted: &Option<T>, given: Option<&T>) -> bool {
            wanted.is_none() || wanted.as_ref() == given
        }
        self.direction.is_none_or(|direction| direction == view.direction)
            && is(&self.source, view.source)
            && is(&self.destination, view.destination)
            && is(&self.service, view.service)
            && self.method.as_deref().is_none_or(|method| method == view.method)
            && self.path_prefix.as_deref().is_none_or(|prefix| view.path.starts_with(prefix))
            && self.host.as_deref().is_none_or(|host| host == view.host)
    }
}

impl TapView<'_> {
    fn to_start(self) -> TapStart {
        let text =
            |text: &str| text.get(..text.floor_char_boundary(TEXT_LIMIT)).unwrap_or_default().to_owned();
        TapStart {
            direction: self.direction,
            source: self.source.cloned(),
            destination: self.destination.cloned(),
            service: self.service.cloned(),
            peer_identity: self.peer_identity.cloned(),
            secured: self.secured,
            protocol: text(self.protocol),
            method: text(self.method),
            host: text(self.host),
            path: text(self.path),
            route: text(self.route),
        }
    }
}

#[cfg(test)]
mod tests;
