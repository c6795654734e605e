//! Mesh-wide settings, trust, and what a workload calls.

use std::time::Duration;

use crate::{ObjectName, ServicePortRef};

/// The roots that peers are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    /// The trust domain.
    pub trust_domain: String,
    /// Root certificates, DER, newest first; several while a root rotates.
    pub roots_der: Vec<Vec<u8>>,
}

/// What holds for every proxy of the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshSettings {
    /// Which requests are logged.
    pub access_log: AccessLog,
    /// How a log line looks.
    pub access_log_format: AccessLogFormat,
    /// Whether a refusal names the policy in the response.
    pub show_policy_in_response: bool,
    /// How long a client may stay silent before a port without declared protocol is treated as TCP. Default 1 s.
    pub detect_timeout: Duration,
    /// How long a drain may take. Default 10 s.
    pub drain_timeout: Duration,
    /// Largest header section, in bytes. Default 64 KiB.
    pub max_header_bytes: u32,
    /// Largest number of header lines. Default 100.
    pub max_headers: u32,
    /// Concurrent streams on one HTTP/2 connection from a client. Default 256.
    pub max_concurrent_streams: u32,
    /// Connections that one proxy accepts. Default 10,000.
    pub max_connections: u32,
    /// Time for the head of a request to arrive. Default 30 s.
    pub header_timeout: Duration,
    /// Idle time after which a kept-alive connection of a client is closed. Default 300 s.
    pub client_idle_timeout: Duration,
    /// Idle time after which a pooled connection to an endpoint is closed. Default 60 s.
    pub upstream_idle_timeout: Duration,
    /// Age at which a pooled connection to an endpoint takes nothing new, less up to a tenth by chance. Default 1 h.
    pub upstream_max_age: Duration,
    /// How long a process that was replaced by a hot restart may go on with its connections. Default 15 min.
    pub restart_timeout: Duration,
    /// Requests in flight in one proxy. Default 100,000.
    pub max_requests: u32,
    /// Share of memory or descriptors in use, in percent, from which on kept-alive connections are ended. Default 85.
    pub drain_percent: u8,
    /// The same from which on new connections and requests are refused. Default 92; 0: never.
    pub shed_percent: u8,
    /// What a proxy may keep for others, in percent of the memory that it may have. Default 25; 0: no bound.
    pub buffer_percent: u8,
    /// Whether requests in flight are also limited by what latency allows. Default false.
    pub adaptive_concurrency: bool,
    /// Whether captured connections to what is no service of the mesh are refused. Default false: they pass.
    pub refuse_unknown_destinations: bool,
    /// Whether captured connections that come without mTLS are served. Default false.
    pub accept_plaintext: bool,
    /// Within which time a peer is noticed that has vanished, in whole seconds. Default 9 s.
    pub peer_timeout: Duration,
    /// The resolver, where traffic is captured.
    pub dns: DnsSettings,
    /// What becomes of `X-Forwarded-*` at a Gateway. Default append.
    pub forwarded_headers: ForwardedHeaders,
    /// Proxies in front of a Gateway whose `X-Forwarded-*` are believed. Default 0.
    pub trusted_hops: u32,
    /// Whether an application hears who calls it. Default false.
    pub peer_identity_header: bool,
    /// Whether clients may CONNECT. Default false.
    pub allow_connect: bool,
    /// Whether what comes to a Gateway begins with the PROXY protocol. Default false.
    pub accept_proxy_protocol: bool,
    /// What a connection to an application begins with. Default nothing.
    pub send_proxy_protocol: ProxyHeader,
}

/// What a connection to an application begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ProxyHeader {
    /// The application's own bytes.
    #[default]
    Off,
    /// A header of the PROXY protocol, version 1.
    V1,
    /// The same, version 2.
    V2,
}

/// What policies say otherwise about what comes in at one place; what is absent holds as it does around it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct InboundOverrides {
    /// See [`MeshSettings`], as all of these.
    pub forwarded_headers: Option<ForwardedHeaders>,
    /// Proxies in front of a Gateway.
    pub trusted_hops: Option<u32>,
    /// Whether an application hears who calls it.
    pub peer_identity_header: Option<bool>,
    /// Whether clients may CONNECT.
    pub allow_connect: Option<bool>,
    /// Whether connections begin with the PROXY protocol.
    pub accept_proxy_protocol: Option<bool>,
    /// Whether those to an application do.
    pub send_proxy_protocol: Option<ProxyHeader>,
    /// Largest header section, in bytes.
    pub max_header_bytes: Option<u32>,
    /// Largest number of header lines.
    pub max_headers: Option<u32>,
    /// Concurrent streams of one HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
    /// Connections that the proxy accepts.
    pub max_connections: Option<u32>,
    /// Time for the head of a request to arrive.
    pub header_timeout: Option<Duration>,
    /// Idle time after which a kept-alive connection of a client is closed.
    pub client_idle_timeout: Option<Duration>,
    /// How long a client may take to make clear what it speaks.
    pub detect_timeout: Option<Duration>,
}

impl InboundOverrides {
    /// All of it, as it holds with these settings.
    pub fn in_force(settings: &MeshSettings) -> Self {
        Self {
            forwarded_headers: Some(settings.forwarded_headers),
            trusted_hops: Some(settings.trusted_hops),
            peer_identity_header: Some(settings.peer_identity_header),
            allow_connect: Some(settings.allow_connect),
            accept_proxy_protocol: Some(settings.accept_proxy_protocol),
            send_proxy_protocol: Some(settings.send_proxy_protocol),
            max_header_bytes: Some(settings.max_header_bytes),
            max_headers: Some(settings.max_headers),
            max_concurrent_streams: Some(settings.max_concurrent_streams),
            max_connections: Some(settings.max_connections),
            header_timeout: Some(settings.header_timeout),
            client_idle_timeout: Some(settings.client_idle_timeout),
            detect_timeout: Some(settings.detect_timeout),
        }
    }

    /// What is said, by its path in `spec.inbound` and as it is written there.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        // No `..`: who adds a setting shows it here.
        let Self {
            forwarded_headers,
            trusted_hops,
            peer_identity_header,
            allow_connect,
            accept_proxy_protocol,
            send_proxy_protocol,
            max_header_bytes,
            max_headers,
            max_concurrent_streams,
            max_connections,
            header_timeout,
            client_idle_timeout,
            detect_timeout,
        } = self;
        let number = |number: &Option<u32>| number.map(|number| number.to_string());
        let switch = |switch: &Option<bool>| switch.map(|switch| switch.to_string());
        let all = [
            ("forwardedHeaders", forwarded_headers.map(|mode| mode.word().to_owned())),
            ("trustedHops", number(trusted_hops)),
            ("peerIdentityHeader", switch(peer_identity_header)),
            ("allowConnect", switch(allow_connect)),
            ("proxyProtocol.accept", switch(accept_proxy_protocol)),
            ("proxyProtocol.send", send_proxy_protocol.map(|version| version.word().to_owned())),
            ("maxHeaderBytes", number(max_header_bytes)),
            ("maxHeaders", number(max_headers)),
            ("maxConcurrentStreams", number(max_concurrent_streams)),
            ("maxConnections", number(max_connections)),
            ("headerTimeout", header_timeout.map(time)),
            ("clientIdleTimeout", client_idle_timeout.map(time)),
            ("detectTimeout", detect_timeout.map(time)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// As durations are written in resources: `1h30m`, `250ms`.
fn time(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    let mut text = String::new();
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if millis >= factor {
            text.push_str(&format!("{}{unit}", millis / factor));
            millis %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

impl ProxyHeader {
    /// As it is written in resources.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl ForwardedHeaders {
    /// As it is written in resources.
    pub fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Off => "off",
        }
    }
}

/// What becomes of `X-Forwarded-*` at a Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardedHeaders {
    /// The client's address is appended to the list that came (the default).
    Append,
    /// Of the list that came only what trusted proxies added is kept.
    Replace,
    /// They pass as they came.
    Off,
}

/// The resolver of a workload whose traffic is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// How long clients may keep an answer. Default 30 s.
    pub ttl: Duration,
    /// Time for the host's resolvers to answer. Default 5 s.
    pub timeout: Duration,
    /// Questions that wait for them at once. Default 1,024.
    pub max_queries: u32,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(30), timeout: Duration::from_secs(5), max_queries: 1024 }
    }
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessLog {
    /// None.
    Off,
    /// Failed and denied ones (the default).
    Failed,
    /// All.
    All,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessLogFormat {
    /// One JSON object.
    Json,
    /// Text, for people.
    Text,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            access_log: AccessLog::Failed,
            access_log_format: AccessLogFormat::Json,
            show_policy_in_response: true,
            detect_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
            max_header_bytes: 64 * 1024,
            max_headers: 100,
            max_concurrent_streams: 256,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(30),
            client_idle_timeout: Duration::from_secs(300),
            upstream_idle_timeout: Duration::from_secs(60),
            upstream_max_age: Duration::from_secs(3600),
            refuse_unknown_destinations: false,
            accept_plaintext: false,
            peer_timeout: Duration::from_secs(9),
            dns: DnsSettings::default(),
            restart_timeout: Duration::from_secs(15 * 60),
            max_requests: 100_000,
            drain_percent: 85,
            shed_percent: 92,
            buffer_percent: 25,
            adaptive_concurrency: false,
            forwarded_headers: ForwardedHeaders::Append,
            trusted_hops: 0,
            peer_identity_header: false,
            allow_connect: false,
            accept_proxy_protocol: false,
            send_proxy_protocol: ProxyHeader::Off,
        }
    }
}

/// What a workload calls through local addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstreams {
    /// The workload that calls.
    pub workload: ObjectName,
    /// In the order of the Workload's `spec.upstreams`, or by name.
    pub upstreams: Vec<Upstream>,
    /// Whether the proxy also offers an HTTP proxy port.
    pub http_proxy: bool,
    /// Where this workload may send single requests instead, by name of the Service that it calls, ascending. Empty for
    /// all whom no policy names.
    pub overrides: Vec<Override>,
}

/// Where single requests for a Service may go instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The Service that is called.
    pub service: ObjectName,
    /// Where they may go.
    pub targets: Vec<ServicePortRef>,
}

/// One service port that a workload calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Upstream {
    /// The Service.
    pub service: ObjectName,
    /// Its port.
    pub port: u16,
}
