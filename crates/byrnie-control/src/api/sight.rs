//! What is going on: proxies, edges, routes, numbers, tap, why.

use serde::{Deserialize, Serialize};

/// The wrapper of every list: `{"items":[…]}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Items<T> {
    /// In a stable order.
    pub items: Vec<T>,
}

/// Filter of the lists; all given parts must match.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SightQuery {
    /// Only this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only this workload, service or gateway (what the list is about).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `stat` only: `workload` or `service`. Default: services, then Gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `stat`, `edges`, `routes`: the seconds to look back, 1–300. Default 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u32>,
}

/// One proxy, as `byrnie get proxies` and `proxy-status` show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyItem {
    /// Namespace of the workload.
    pub namespace: String,
    /// The Workload's name, of a gateway the Gateway's.
    pub workload: String,
    /// Its process.
    pub pid: u32,
    /// `127.0.0.1:port` of its admin server.
    pub admin: String,
    /// Whether it obeys the latest state.
    pub sync: SyncState,
    /// When its certificate ends, RFC 3339.
    pub not_after: String,
    /// `sidecar` or `gateway`.
    pub role: String,
    /// Its version.
    pub version: String,
    /// Its SPIFFE ID.
    pub identity: String,
    /// Where peers reach it over mTLS.
    pub mesh: String,
    /// The workload's own address, where its traffic is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How often the rules that capture its traffic had to be restored since the proxy began.
    #[serde(default)]
    pub rules_restored: u64,
    /// Whether its stream is open now.
    pub connected: bool,
    /// When its stream opened, or ended, RFC 3339.
    pub since: String,
    /// The keys that it subscribed to.
    pub subscribed: usize,
    /// Keys that it has not acknowledged at the latest version.
    pub stale: usize,
    /// `Routes/shop/web: BYR0301 why` for each refused resource; the last good one stays in force.
    pub rejected: Vec<String>,
    /// Local addresses of what it calls: `namespace/service:port=127.0.0.1:port`.
    pub upstreams: Vec<String>,
    /// Its connections to others, as it reported them last (each second).
    #[serde(default)]
    pub pools: PoolTotals,
}

/// The connections of a proxy to all endpoints together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolTotals {
    /// Open connections.
    pub connections: u64,
    /// Requests in flight, and connections of bytes.
    pub in_flight: u64,
    /// Requests that wait for a place.
    pub pending: u64,
    /// Workloads that it leaves out for a while, `namespace/name`.
    pub ejected: Vec<String>,
}

/// Whether a proxy obeys the latest state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SyncState {
    /// It acknowledged everything it subscribed to.
    Synced,
    /// Something is on its way, or its stream is down.
    Stale,
    /// It refused something and keeps the last good state of it.
    Rejected,
}

/// Which proxies are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyConfigQuery {
    /// `NAMESPACE/NAME` of a workload or Gateway; absent: all that are connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}

/// Who calls whom. Callers outside the mesh are no edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeItem {
    /// Namespace of the caller.
    pub namespace: String,
    /// The calling workload, or Gateway.
    pub src: String,
    /// The called workload.
    pub dst: String,
    /// Its namespace.
    pub dst_namespace: String,
    /// Whether all traffic of the window was mTLS.
    pub secured: bool,
    /// Why not, when it is not; empty otherwise.
    pub why: String,
    /// The caller's SPIFFE ID, empty when it proved none.
    pub client_id: String,
    /// The called workload's SPIFFE ID, empty when it proved none.
    pub server_id: String,
}

/// The numbers of one route, as the callers saw them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteItem {
    /// Namespace of the service.
    pub namespace: String,
    /// The Service (or the Gateway, for requests that reached no service).
    pub service: String,
    /// `route/rule`, or `default` for requests that no route matched.
    pub route: String,
    /// Share of requests that did not fail, 0–1.
    pub success: f64,
    /// Requests per second.
    pub rps: f64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
}

/// The numbers of one workload, service or gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatItem {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Workload`, `Service` or `Gateway`.
    pub kind: String,
    /// Endpoints (or proxies) that are meshed and ready.
    pub meshed: u32,
    /// Endpoints in all.
    pub total: u32,
    /// Share of requests that did not fail, 0–1; `null` without requests.
    pub success: Option<f64>,
    /// Requests per second.
    pub rps: f64,
    /// Median latency, milliseconds; `null` without requests.
    pub p50_ms: Option<f64>,
    /// 95th percentile, milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile, milliseconds.
    pub p99_ms: Option<f64>,
    /// Open TCP connections (bytes, not requests).
    pub tcp_connections: u64,
    /// Whether all traffic of the window was mTLS; `null` without traffic.
    pub secured: Option<bool>,
}

/// One row of `top`: requests of one source, destination and route within the last seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopItem {
    /// Namespace of the caller; empty outside the mesh.
    pub namespace: String,
    /// The caller, `-` when it is outside the mesh.
    pub src: String,
    /// The called workload.
    pub dst: String,
    /// Its namespace.
    pub dst_namespace: String,
    /// The service that was called.
    pub service: String,
    /// `route/rule`, or `default`.
    pub route: String,
    /// Requests in the window.
    pub count: u64,
    /// Requests per second.
    pub rps: f64,
    /// Share of requests that did not fail, 0–1.
    pub success: f64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
}

/// Which requests a tap shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TapQuery {
    /// Namespace of the workloads to tap; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Workload, Service or Gateway whose proxies to tap; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only requests with this method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only requests whose path begins with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// End after so many events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// One line of a tap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TapEvent {
    /// Which moment of the request.
    pub phase: TapPhase,
    /// `in` (the proxy of the called) or `out` (the proxy of the caller).
    pub direction: String,
    /// The proxy that saw it, `namespace/workload`.
    pub proxy: String,
    /// Number of the request, unique within the proxy's life.
    pub id: u64,
    /// `address:port` or `namespace/workload`.
    pub src: String,
    /// `address:port` or `namespace/workload`.
    pub dst: String,
    /// Whether the hop was mTLS.
    pub tls: bool,
    /// When, RFC 3339.
    pub time: String,
    /// Request method; empty but for requests.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Request authority.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authority: String,
    /// Request path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The route that was taken.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// HTTP status; absent for bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// gRPC status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u32>,
    /// Time since the request began, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_micros: Option<u64>,
    /// Bytes of the response body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// For how much of it a FaultPolicy made the request wait at this proxy, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed_micros: Option<u64>,
    /// The coded reason of a refusal or failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// Which moment of a request a tap line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TapPhase {
    /// The request came.
    Req,
    /// The response head went out.
    Rsp,
    /// It is over.
    End,
}

/// `why SRC DST [request]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyQuery {
    /// Namespace of the caller.
    pub namespace: String,
    /// The calling Workload or Gateway.
    pub src: String,
    /// Namespace of the called.
    pub dst_namespace: String,
    /// The called Service, or Workload.
    pub dst: String,
    /// The Service's port; absent: its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Default `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Default: the service's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `name: value` lines, joined by newline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
}

/// What would happen to a request, and which rule decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyResponse {
    /// The end of it.
    pub verdict: WhyVerdict,
    /// One sentence.
    pub summary: String,
    /// Identity, route, endpoint, certificate, policy: in the order in which a request meets them.
    pub steps: Vec<WhyStep>,
}

/// How a request would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhyVerdict {
    /// It would reach the application.
    Allowed,
    /// A policy refuses it.
    Denied,
    /// It cannot get there.
    Unreachable,
}

/// One step of the explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyStep {
    /// `identity`, `service`, `route`, `endpoint`, `certificate`, `policy`.
    pub step: String,
    /// Whether the request gets past it.
    pub ok: bool,
    /// The rule, policy, endpoint or identity that decides.
    pub rule: String,
    /// In words.
    pub detail: String,
}
