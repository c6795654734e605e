//! Live requests, shown on demand.

use byrnie_plan::{ObjectName, WorkloadIdentity};

use super::Direction;
use super::convert::{direction_from_proto, direction_to_proto};
use crate::convert::field::{at, identity, invalid, name, required, short, text, within};
use crate::error::{DecodeError, Problem};
use crate::generated as pb;

/// Longest host, path and the like in a tap event, in bytes; longer ones are cut by the sender.
pub const MAX_TAP_TEXT: usize = 1_024;

/// Asks a proxy to show requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapRequest {
    /// Unique on this stream.
    pub id: u64,
    /// Which requests.
    pub filter: TapFilter,
    /// Requests per second at most; never 0.
    pub limit: u32,
}

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

/// Something happened to a request that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapEvent {
    /// [`TapRequest::id`].
    pub tap: u64,
    /// Which request, unique within the proxy.
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
    Start(TapStart),
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

pub(crate) fn tap_request_to_proto(tap: &TapRequest) -> pb::TapRequest {
    let filter = &tap.filter;
    pb::TapRequest {
        id: tap.id,
        direction: filter.direction.map_or(0, direction_to_proto),
        source: show(&filter.source),
        destination: show(&filter.destination),
        service: show(&filter.service),
        method: filter.method.clone().unwrap_or_default(),
        path_prefix: filter.path_prefix.clone().unwrap_or_default(),
        host: filter.host.clone().unwrap_or_default(),
        limit: tap.limit,
    }
}

pub(crate) fn tap_request_from_proto(wire: pb::TapRequest) -> Result<TapRequest, DecodeError> {
    if wire.limit == 0 {
        let problem = Problem::OutOfRange { value: 0, min: 1, max: u32::MAX.into() };
        return Err(DecodeError::new(problem).within("limit"));
    }
    let direction = match wire.direction {
        0 => None,
        direction => Some(at("direction", direction_from_proto(direction))?),
    };
    let some = |text: String| short(text).map(|text| Some(text).filter(|text| !text.is_empty()));
    let filter = TapFilter {
        direction,
        source: at("source", object(&wire.source))?,
        destination: at("destination", object(&wire.destination))?,
        service: at("service", object(&wire.service))?,
        method: at("method", some(wire.method))?,
        path_prefix: at("path_prefix", some(wire.path_prefix))?,
        host: at("host", some(wire.host))?,
    };
    Ok(TapRequest { id: wire.id, filter, limit: wire.limit })
}

pub(crate) fn tap_event_to_proto(event: &TapEvent) -> pb::TapEvent {
    use pb::tap_event::What;
    let what = match &event.what {
        TapWhat::Start(start) => What::Start(pb::TapStart {
            direction: direction_to_proto(start.direction),
            source: show(&start.source),
            destination: show(&start.destination),
            service: show(&start.service),
            peer_identity: show(&start.peer_identity),
            secured: start.secured,
            protocol: cut(&start.protocol),
            method: cut(&start.method),
            host: cut(&start.host),
            path: cut(&start.path),
            route: cut(&start.route),
        }),
        TapWhat::Response(response) => What::Response(pb::TapResponse {
            status: response.status.into(),
            since_start_us: response.since_start_us,
        }),
        TapWhat::End(end) => What::End(pb::TapEnd {
            since_start_us: end.since_start_us,
            response_bytes: end.response_bytes,
            grpc_status: end.grpc_status.map(u32::from),
            error: cut(&end.error),
            delayed_us: end.delayed_us,
        }),
    };
    pb::TapEvent { tap: event.tap, request: event.request, at_ms: event.at_ms, what: Some(what) }
}

pub(crate) fn tap_event_from_proto(wire: pb::TapEvent) -> Result<TapEvent, DecodeError> {
    use pb::tap_event::What;
    let what = required("what", wire.what, |what| match what {
        What::Start(start) => start_from_proto(start).map(TapWhat::Start),
        What::Response(response) => Ok(TapWhat::Response(TapResponse {
            status: at("status", within(response.status, 0, 999))?,
            since_start_us: response.since_start_us,
        })),
        What::End(end) => Ok(TapWhat::End(TapEnd {
            since_start_us: end.since_start_us,
            response_bytes: end.response_bytes,
            grpc_status: end
                .grpc_status
                .map(|code| at("grpc_status", within(code, 0, u16::MAX)))
                .transpose()?,
            error: at("error", text(end.error, MAX_TAP_TEXT))?,
            delayed_us: end.delayed_us,
        })),
    })?;
    Ok(TapEvent { tap: wire.tap, request: wire.request, at_ms: wire.at_ms, what })
}

fn start_from_proto(wire: pb::TapStart) -> Result<TapStart, DecodeError> {
    let peer_identity = match wire.peer_identity.as_str() {
        "" => None,
        text => Some(at("peer_identity", identity(text))?),
    };
    Ok(TapStart {
        direction: at("direction", direction_from_proto(wire.direction))?,
        source: at("source", object(&wire.source))?,
        destination: at("destination", object(&wire.destination))?,
        service: at("service", object(&wire.service))?,
        peer_identity,
        secured: wire.secured,
        protocol: at("protocol", text(wire.protocol, MAX_TAP_TEXT))?,
        method: at("method", text(wire.method, MAX_TAP_TEXT))?,
        host: at("host", text(wire.host, MAX_TAP_TEXT))?,
        path: at("path", text(wire.path, MAX_TAP_TEXT))?,
        route: at("route", text(wire.route, MAX_TAP_TEXT))?,
    })
}

fn show(value: &Option<impl ToString>) -> String {
    value.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn object(text: &str) -> Result<Option<ObjectName>, DecodeError> {
    match text {
        "" => Ok(None),
        text if text.len() > MAX_TAP_TEXT => Err(invalid("a short name")),
        text => name(text).map(Some),
    }
}

fn cut(text: &str) -> String {
    crate::limits::cut(text, MAX_TAP_TEXT).to_owned()
}
