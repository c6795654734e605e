//! `Mesh`: what holds for every proxy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaptureSettings, PolicyStatus, ProxyProtocol, VirtualAddressSettings};
use crate::duration::Duration;
use crate::meta::ObjectMeta;

/// Settings of the whole mesh. Cluster-scoped; the only one that counts is named `default`. Without it every
/// default below holds.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mesh {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The settings.
    #[serde(default)]
    pub spec: MeshSpec,
    /// `Accepted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PolicyStatus>,
}

/// Settings of the whole mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshSpec {
    /// The trust domain of every identity, lower case. Default `cluster.local`, as Istio and Linkerd have it.
    /// Cannot change while a mesh runs: certificates name it.
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$"))]
    pub trust_domain: String,
    /// How meshed workloads talk to each other. Default `strict`.
    pub mtls: MtlsMode,
    /// Who may call a workload that no ALLOW policy selects. Default `all-unauthenticated`, so that a Gateway's
    /// clients and processes outside the mesh reach what they reached before (Linkerd's default, too).
    pub default_inbound_policy: DefaultInboundPolicy,
    /// Certificates of workloads.
    pub certificates: CertificateSettings,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// What becomes of captured connections to what is no service of the mesh. Default `allow`.
    pub egress: Egress,
    /// How traffic is captured, with `byrnie up --transparent`.
    pub capture: CaptureSettings,
    /// Where the virtual addresses of Services come from.
    pub virtual_addresses: VirtualAddressSettings,
    /// Defaults of every proxy.
    pub proxy: ProxyDefaults,
}

/// How meshed workloads talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MtlsMode {
    /// Between two meshed workloads always TLS 1.3 with both sides verified; never plaintext, also not when a
    /// proxy is missing or a certificate has expired.
    #[default]
    Strict,
    /// The same between two meshed workloads; but where traffic is captured, plaintext that comes to a workload's
    /// own address is let in as well, as bytes of a caller without identity. For the time of moving into the mesh.
    Permissive,
}

/// What becomes of captured connections to what is no service of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Egress {
    /// They pass, and are counted (Istio's `ALLOW_ANY`).
    #[default]
    Allow,
    /// They are refused (Istio's `REGISTRY_ONLY`).
    Deny,
}

/// Who may call a workload that no ALLOW policy selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultInboundPolicy {
    /// Anybody, also callers without an identity of the mesh.
    #[default]
    AllUnauthenticated,
    /// Every caller with an identity of the mesh.
    AllAuthenticated,
    /// Nobody.
    Deny,
}

/// Certificates of workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSettings {
    /// How long a workload's certificate is valid, from 10 s to 720 h. Renewed at 50 to 70 % of it. Default
    /// `24h`, as in Istio.
    pub lifetime: Duration,
}

/// Logs of every proxy.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetrySettings {
    /// Which requests are logged. Default `failed`.
    pub access_log: AccessLog,
    /// How a log line looks. Default `json`.
    pub access_log_format: AccessLogFormat,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessLog {
    /// None.
    Off,
    /// Failed and denied ones.
    #[default]
    Failed,
    /// All.
    All,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessLogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Text, for people.
    Text,
}

/// Defaults of every proxy. Each number holds for one proxy process. What is about connections and requests that come
/// in can be said otherwise for one workload, service or Gateway: `TrafficPolicy.spec.inbound`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyDefaults {
    /// Whether a refusal names the policy in the response. Default true; turn it off where callers must not
    /// learn names.
    pub show_policy_in_response: bool,
    /// How long a client may stay silent before a port without declared protocol is treated as TCP. Default `1s`.
    pub detect_timeout: Duration,
    /// How long a drain may take before connections are cut. Default `10s`.
    pub drain_timeout: Duration,
    /// Largest header section of a request, in bytes. Default 65,536 (64 KiB; Envoy's is 60 KiB).
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub max_header_bytes: u32,
    /// Largest number of header lines. Default 100, as Envoy's.
    #[schemars(range(min = 8, max = 4096))]
    pub max_headers: u32,
    /// Concurrent streams on one HTTP/2 connection from a client. Default 256.
    #[schemars(range(min = 1, max = 65535))]
    pub max_concurrent_streams: u32,
    /// Connections that one proxy accepts. Default 10,000.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u32,
    /// Time for the head of a request to arrive. Default `30s`.
    pub header_timeout: Duration,
    /// Idle time after which a kept-alive connection of a client is closed. Default `5m`.
    pub client_idle_timeout: Duration,
    /// Idle time after which a pooled connection to an endpoint is closed. Default `60s`: shorter than what most
    /// origins allow. What a burst has left and nobody needs goes earlier, by halves every five seconds, to eight.
    pub upstream_idle_timeout: Duration,
    /// Age at which a pooled connection to an endpoint takes nothing new and closes when it is idle, less up to a tenth
    /// by chance, so that connections opened together do not end together. Default `1h`.
    pub upstream_max_age: Duration,
    /// How long a process that was replaced by a hot restart (`byrnie restart`) may go on with the connections that it
    /// has. Default `15m`, as Envoy's.
    pub restart_timeout: Duration,
    /// Requests in flight in one proxy; further ones get 503 with `BYR0240`. Default 100,000, as Linkerd's.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_requests: u32,
    /// What happens when memory (of the cgroup, where that has a limit) or descriptors run out.
    pub overload: OverloadSettings,
    /// Limits requests in flight also by what latency allows: while answers take no longer than those of a quiet proxy
    /// the limit grows, when they do it shrinks, and what is beyond gets 503 with `BYR0242`. Default false.
    pub adaptive_concurrency: bool,
    /// How many Services a Workload without `upstreams` gets addresses for. Default 64.
    #[schemars(range(min = 0, max = 1024))]
    pub upstream_limit: u32,
    /// Within which time a peer is noticed that has vanished with its host or the way to it, in whole seconds, `3s` to
    /// `1h`: of clients, applications and other proxies, on connections that are idle and on those that are not. What
    /// had it open is reset then. Default `9s`.
    pub peer_timeout: Duration,
    /// The resolver of workloads whose traffic is captured (`up --transparent`).
    pub dns: DnsDefaults,
    /// What a Gateway says to applications about the client: `X-Forwarded-For`, `-Proto` and `-Host`. Default `append`.
    pub forwarded_headers: ForwardedHeaders,
    /// How many proxies stand in front of a Gateway whose `X-Forwarded-*` are believed. Default 0: what comes as
    /// `X-Forwarded-Proto` and `-Host` is replaced.
    #[schemars(range(min = 0, max = 16))]
    pub trusted_hops: u32,
    /// Whether an application hears who calls it: `X-Forwarded-Client-Cert: By=…;URI=…`, the SPIFFE IDs of its own
    /// and of the calling workload. What callers send under this name is removed, always. Default false.
    pub peer_identity_header: bool,
    /// Whether clients may CONNECT through Gateways and to Services; else that is answered with 501 and `BYR0214`.
    /// Default false.
    pub allow_connect: bool,
    /// The PROXY protocol: whether clients of Gateways begin with it, and whether applications get it. Default neither.
    pub proxy_protocol: ProxyProtocol,
}

/// What becomes of `X-Forwarded-*` at a Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ForwardedHeaders {
    /// The client's address is appended to the list that came.
    #[default]
    Append,
    /// Of the list that came only what `trustedHops` proxies added is kept.
    Replace,
    /// They pass as they came.
    Off,
}

/// The resolver of workloads whose traffic is captured. It answers for Services and asks the host's resolvers for
/// everything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsDefaults {
    /// How long an answer about a Service may be kept, `1s` to `1h`. Default `30s`, as Istio's.
    pub ttl: Duration,
    /// Time for the host's resolvers to answer, `100ms` to `60s`. Default `5s`, that of the C library for one try.
    pub timeout: Duration,
    /// Questions of one workload that wait for them at once; further ones fail at once. Default 1,024.
    #[schemars(range(min = 1, max = 65_536))]
    pub max_queries: u32,
}

impl Default for DnsDefaults {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(30), timeout: Duration::from_secs(5), max_queries: 1024 }
    }
}

/// What happens when memory or descriptors run out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OverloadSettings {
    /// Share in use, in percent, from which on kept-alive connections end with their next answer. Default 85.
    #[schemars(range(min = 1, max = 100))]
    pub drain_percent: u8,
    /// Share in use, in percent, from which on new connections are closed and new requests get 503 with `BYR0241`.
    /// Default 92 (Envoy's usual values are 92 and 95). 0: never.
    #[schemars(range(min = 0, max = 100))]
    pub shed_percent: u8,
    /// What a proxy may keep for others, in percent of the control group's limit (else of the machine's memory): large
    /// heads, what clients of HTTP/1 do not read, bodies kept for another try, copies. Heads and copies that need more
    /// are refused, bodies not kept.
    /// HTTP/2 windows are made smaller where all together promise as much. Default 25. 0: no bound.
    #[schemars(range(min = 0, max = 100))]
    pub buffer_percent: u8,
}

impl Default for OverloadSettings {
    fn default() -> Self {
        Self { drain_percent: 85, shed_percent: 92, buffer_percent: 25 }
    }
}

impl Default for MeshSpec {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".to_owned(),
            mtls: MtlsMode::default(),
            default_inbound_policy: DefaultInboundPolicy::default(),
            certificates: CertificateSettings::default(),
            telemetry: TelemetrySettings::default(),
            egress: Egress::default(),
            capture: CaptureSettings::default(),
            virtual_addresses: VirtualAddressSettings::default(),
            proxy: ProxyDefaults::default(),
        }
    }
}

impl Default for CertificateSettings {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(24 * 3600) }
    }
}

impl Default for ProxyDefaults {
    fn default() -> Self {
        Self {
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
            restart_timeout: Duration::from_secs(15 * 60),
            max_requests: 100_000,
            overload: OverloadSettings::default(),
            adaptive_concurrency: false,
            upstream_limit: 64,
            peer_timeout: Duration::from_secs(9),
            dns: DnsDefaults::default(),
            forwarded_headers: ForwardedHeaders::default(),
            trusted_hops: 0,
            peer_identity_header: false,
            allow_connect: false,
            proxy_protocol: ProxyProtocol::default(),
        }
    }
}
