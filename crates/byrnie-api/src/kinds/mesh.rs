//! `Mesh`: what holds for every proxy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaptureSettings, PolicyStatus, VirtualAddressSettings};
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

/// Defaults of every proxy. Each number holds for one proxy process.
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
    /// origins allow.
    pub upstream_idle_timeout: Duration,
    /// Age at which a pooled connection to an endpoint takes nothing new and closes when it is idle, less up to a tenth
    /// by chance, so that connections opened together do not end together. Default `1h`.
    pub upstream_max_age: Duration,
    /// How many Services a Workload without `upstreams` gets addresses for. Default 64.
    #[schemars(range(min = 0, max = 1024))]
    pub upstream_limit: u32,
    /// Within which time a peer is noticed that has vanished with its host or the way to it, in whole seconds, `3s` to
    /// `1h`: of clients, applications and other proxies, on connections that are idle and on those that are not. What
    /// had it open is reset then. Default `9s`.
    pub peer_timeout: Duration,
    /// The resolver of workloads whose traffic is captured (`up --transparent`).
    pub dns: DnsDefaults,
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
            upstream_limit: 64,
            peer_timeout: Duration::from_secs(9),
            dns: DnsDefaults::default(),
        }
    }
}
