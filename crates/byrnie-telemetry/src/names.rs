//! The public names of metrics. They are a contract: boards and alerts are written against them.

/// Name, help and labels of a metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Desc {
    /// Without the `_total` of counters, which is appended.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// In the order in which values are given.
    pub labels: &'static [&'static str],
}

/// Upper bounds of the exported histogram, in microseconds: 1 ms to 10 s.
pub const DURATION_BUCKETS_US: [u64; 10] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// Requests that ended, by everything that is known about them.
pub const REQUESTS: Desc = Desc {
    name: "byrnie_requests",
    help: "Requests that ended",
    labels: &[
        "direction",
        "namespace",
        "service",
        "route",
        "workload",
        "peer",
        "peer_namespace",
        "peer_id",
        "secured",
        "code",
        "grpc_status",
        "error",
    ],
};

/// How long requests took, response body included.
pub const REQUEST_DURATION: Desc = Desc {
    name: "byrnie_request_duration_seconds",
    help: "Time from a request's head to its response's end",
    labels: &["direction", "namespace", "service", "route", "workload", "peer", "peer_namespace", "secured"],
};

/// Tries after the first.
pub const RETRIES: Desc = Desc {
    name: "byrnie_retries",
    help: "Tries after the first one",
    labels: &["direction", "namespace", "service", "route", "workload"],
};

/// Connections that are not HTTP.
pub const TCP_CONNECTIONS: Desc = Desc {
    name: "byrnie_tcp_connections",
    help: "Connections that began and are not HTTP",
    labels: &[
        "direction",
        "namespace",
        "service",
        "route",
        "workload",
        "peer",
        "peer_namespace",
        "peer_id",
        "secured",
        "error",
    ],
};

/// Of these, the ones that are open.
pub const TCP_OPEN_CONNECTIONS: Desc = Desc {
    name: "byrnie_tcp_open_connections",
    help: "Connections that are open and not HTTP",
    labels: &["direction", "namespace", "service", "workload", "peer", "peer_namespace", "secured"],
};

/// Their bytes.
pub const TCP_BYTES: Desc = Desc {
    name: "byrnie_tcp_bytes",
    help: "Bytes of connections that are not HTTP; flow received is from the client, sent is to it",
    labels: &["direction", "namespace", "service", "workload", "peer", "peer_namespace", "secured", "flow"],
};

/// Decisions about who may do what: `allow`, `deny`, `would_deny`.
pub const AUTHORIZATION: Desc = Desc {
    name: "byrnie_authorization",
    help: "Authorization decisions by the policy that made them",
    labels: &["decision", "policy"],
};

/// What rate limits refused, or would have refused.
pub const RATE_LIMITED: Desc = Desc {
    name: "byrnie_rate_limited",
    help: "Requests and connections beyond a rate limit; mode shadow: let through all the same",
    labels: &["direction", "policy", "limit", "mode"],
};

/// Keyed rate limits that have no room for all their keys.
pub const RATE_LIMIT_KEYS_DISPLACED: Desc = Desc {
    name: "byrnie_rate_limit_keys_displaced",
    help: "Buckets in use that were given to another key, because maxKeys was reached",
    labels: &["policy"],
};

/// What was done on purpose: `delay`, `abort`.
pub const FAULTS: Desc = Desc {
    name: "byrnie_faults_injected",
    help: "Requests and connections that a FaultPolicy delayed or failed",
    labels: &["direction", "policy", "fault"],
};

/// What a limit turned away.
pub const LIMIT_REJECTIONS: Desc = Desc {
    name: "byrnie_limit_rejections",
    help: "Connections and requests that a limit refused",
    labels: &["limit"],
};

/// What runs out: `memory` (of the control group), `descriptors`.
pub const PRESSURE: Desc = Desc {
    name: "byrnie_pressure_percent",
    help: "Share of memory (of the control group's limit) and descriptors in use, in percent",
    labels: &["resource"],
};

/// What this process keeps for others.
pub const BUFFERED: Desc = Desc {
    name: "byrnie_buffered_bytes",
    help: "Bytes held of heads that are not complete, of bodies that may be sent again, of mirrored copies",
    labels: &[],
};

/// Requests of the process that are in flight.
pub const REQUESTS_IN_FLIGHT: Desc =
    Desc { name: "byrnie_requests_in_flight", help: "Requests in flight in this process", labels: &[] };

/// How many the latency of answers allows.
pub const CONCURRENCY_LIMIT: Desc = Desc {
    name: "byrnie_concurrency_limit",
    help: "Requests in flight that the latency of answers allows; it counts with adaptiveConcurrency",
    labels: &[],
};

/// Endpoints that began to be left out.
pub const OUTLIER_EJECTIONS: Desc = Desc {
    name: "byrnie_outlier_ejections",
    help: "Endpoints ejected, by service and reason",
    labels: &["namespace", "service", "reason"],
};

/// Endpoints that are left out now.
pub const ENDPOINT_EJECTED: Desc = Desc {
    name: "byrnie_endpoint_ejected",
    help: "1 while an endpoint is ejected, until a probe has succeeded; absent: it never was",
    labels: &["namespace", "service", "workload"],
};

/// Questions of health checks.
pub const HEALTH_CHECKS: Desc = Desc {
    name: "byrnie_health_checks",
    help: "Health checks of the workload's application, by result (success, failure)",
    labels: &["result"],
};

/// What they come to.
pub const WORKLOAD_HEALTHY: Desc = Desc {
    name: "byrnie_workload_healthy",
    help: "1 while the application answers its health checks well, or has none",
    labels: &[],
};

/// Connections that are open: `downstream`, `upstream`.
pub const CONNECTIONS: Desc =
    Desc { name: "byrnie_connections", help: "Open connections", labels: &["side", "protocol"] };

/// Connections of HTTP/1 that hold next to nothing, because nothing happens on them.
pub const RESTING: Desc = Desc {
    name: "byrnie_resting_connections",
    help: "Client connections of HTTP/1 that keep no codec, because nothing happens on them",
    labels: &[],
};

/// Captured connections: `outbound` to a `service`, an `endpoint`, `passthrough`, `refused`; `inbound` that came
/// without mTLS: `plaintext`, `refused`.
pub const CAPTURED: Desc = Desc {
    name: "byrnie_captured_connections",
    help: "Connections that were captured, by what became of them",
    labels: &["direction", "outcome"],
};

/// How often somebody had changed the rules that capture traffic.
pub const RULES_RESTORED: Desc = Desc {
    name: "byrnie_capture_rules_restored",
    help: "Times that the rules that capture traffic were restored",
    labels: &[],
};

/// What the kernel's connection tracker holds for the workload.
pub const TRACKED: Desc = Desc {
    name: "byrnie_capture_tracked_connections",
    help: "Entries of the kernel's connection tracker in the workload's network namespace",
    labels: &[],
};

/// What it had no room for.
pub const TRACKER_DROPPED: Desc = Desc {
    name: "byrnie_capture_tracker_dropped",
    help: "Packets of new connections that the kernel's full connection tracker dropped",
    labels: &[],
};

/// The end of the certificate's life.
pub const CERTIFICATE_NOT_AFTER: Desc = Desc {
    name: "byrnie_certificate_not_after_seconds",
    help: "End of the certificate's life, seconds since 1970",
    labels: &[],
};

/// Resources that the control plane sent.
pub const CONFIG_RESOURCES: Desc = Desc {
    name: "byrnie_config_resources",
    help: "Resources held from the control plane, by kind and state (synced, stale, rejected)",
    labels: &["kind", "state"],
};

/// How many request and connection series there are.
pub const METRICS_SERIES: Desc =
    Desc { name: "byrnie_metrics_series", help: "Request and connection series held", labels: &[] };

/// How often a series had no room.
pub const METRICS_OVERFLOW: Desc = Desc {
    name: "byrnie_metrics_overflow",
    help: "Label sets that had no room and were counted as overflow",
    labels: &[],
};

/// Tasks that panicked and were caught.
pub const PANICS: Desc = Desc { name: "byrnie_panics", help: "Panics that were caught", labels: &[] };

/// Worker threads that do not get to their tasks.
pub const WORKERS_STUCK: Desc = Desc {
    name: "byrnie_workers_stuck",
    help: "Worker threads that did nothing for five seconds",
    labels: &[],
};

/// Clients that stayed silent until a port was treated as TCP.
pub const DETECT_TIMEOUTS: Desc = Desc {
    name: "byrnie_detect_timeouts",
    help: "Connections whose protocol was not detected in time",
    labels: &["port"],
};

/// Access-log lines that were lost because the writer was behind.
pub const ACCESS_LOG_DROPPED: Desc =
    Desc { name: "byrnie_access_log_dropped", help: "Access-log lines dropped", labels: &[] };

/// Mirrored copies, apart from the requests that they are copies of.
pub const MIRRORED: Desc = Desc {
    name: "byrnie_mirrored_requests",
    help: "Copies of requests: answered, failed, or given_up for a limit or because they were too slow",
    labels: &["outcome"],
};

/// Tap events that were lost because nobody fetched them in time.
pub const TAP_DROPPED: Desc = Desc { name: "byrnie_tap_dropped", help: "Tap events dropped", labels: &[] };

/// Questions to the resolver of a workload whose traffic is captured, by what became of them.
pub const DNS_QUERIES: Desc =
    Desc { name: "byrnie_dns_queries", help: "DNS questions by what became of them", labels: &["result"] };

/// Connections whose peer vanished without a word.
pub const TCP_VANISHED: Desc = Desc {
    name: "byrnie_tcp_vanished_peers",
    help: "Connections of bytes that ended because a side answered no packet any more",
    labels: &["side"],
};
