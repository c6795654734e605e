//! `Workload`: an endpoint that is not a pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::duration::Duration;
use crate::meta::{Condition, ObjectMeta};

/// An endpoint that is not a pod: a process on this machine or on another host. Its labels are what the
/// selectors of Services and policies choose by.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Address, ports, identity, what it calls, how to start it.
    #[serde(default)]
    pub spec: WorkloadSpec,
    /// Where its proxy is, and what the mesh says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<WorkloadStatus>,
}

/// Address, ports, identity, what a workload calls, how to start it.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// The account that the workload runs as: its identity is
    /// `spiffe://<trust-domain>/ns/<namespace>/sa/<serviceAccount>`. Default `default`, as in Kubernetes.
    /// No ServiceAccount object is needed.
    #[serde(default = "default_service_account")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account: String,
    /// The IP address that the application listens on. Default `127.0.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "ip"))]
    pub address: Option<IpAddr>,
    /// The ports that the application listens on; nothing else is ever dialed. Absent: the workload only calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ports: Vec<WorkloadPort>,
    /// Program and arguments that `byrnie up` starts once the proxy is ready, in the directory of the file that
    /// this Workload stands in; restarted with backoff (0.1 to 30 s). Absent: somebody else starts the process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub command: Vec<String>,
    /// Environment of the command, beside what the mesh sets (`<SERVICE>_SERVICE_HOST`, `<SERVICE>_SERVICE_PORT`).
    /// A list of `{name, value}`, or a map.
    #[serde(default, deserialize_with = "env_list_or_map", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "env_schema")]
    pub env: Vec<EnvVar>,
    /// What the workload calls; each gets one stable local address. Absent: the Services of its namespace, at
    /// most the Mesh's `proxy.upstreamLimit` (64), beyond that a finding. An empty list: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub upstreams: Option<Vec<WorkloadUpstream>>,
    /// The user that the command runs as, by name or number; with a group, `user:group`. Only with `byrnie up
    /// --transparent`, where the command has no capabilities, whoever it runs as. Default: the user who called
    /// `byrnie` (through `sudo`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 65),
        regex(pattern = "^[A-Za-z0-9_][-A-Za-z0-9_.]*(:[A-Za-z0-9_][-A-Za-z0-9_.]*)?$")
    )]
    pub run_as: Option<String>,
    /// Whether the application sees the address of the client that calls it instead of its proxy's. Only with `byrnie
    /// up --transparent`. Default: `spec.capture.originalSource` of the Mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_source: Option<bool>,
    /// Sets `HTTP_PROXY` for the command to the proxy's outbound port. Default false.
    #[serde(default)]
    pub http_proxy: bool,
    /// Whether the workload is part of the mesh. Default `sidecar`.
    #[serde(default)]
    pub proxy: ProxyMode,
    /// Region, zone and subzone joined by `/`, for example `eu/eu-1/rack7`. Default empty: unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub locality: String,
    /// Questions to the application that tell whether it is healthy; all must be answered well. While it is not, it is
    /// no endpoint, and the condition `Ready` says why. Asked by its proxy, or, with `proxy: none`, by the control
    /// plane. Absent: it is believed to be healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub health_checks: Vec<HealthCheck>,
    /// Relative share of a service's requests; 0 gets nothing. Default 1.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: u32,
}

/// One port that an application listens on.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadPort {
    /// The name that a Service's `targetPort` may use: a DNS label of at most 15 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// The number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// `TCP`, the default and the only one that is proxied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<super::IpProtocol>,
    /// What is spoken there: `http`, `http2`, `grpc`, `tcp`, `tls`. Absent: what the Service says, else detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub app_protocol: Option<String>,
}

/// One question to an application, asked again and again.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// What is asked.
    pub protocol: HealthCheckProtocol,
    /// Where: one of the workload's ports, or any other port of its address. Default: its first port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Path and query, for `http`. Default `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/[!-~]*$"))]
    pub path: Option<String>,
    /// The Host header, for `http`. Default: address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// The service asked for, for `grpc` (`grpc.health.v1.HealthCheckRequest.service`). Default: the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service: Option<String>,
    /// From one question to the next. Default `10s` (Kubernetes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Longest wait for an answer. Default `1s` (Kubernetes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Good answers in a row that make it healthy again; at the start one is enough. Default 1 (Kubernetes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub healthy_threshold: Option<u32>,
    /// Bad answers in a row that make it unhealthy. Default 3 (Kubernetes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub unhealthy_threshold: Option<u32>,
    /// By how much of itself the interval is lengthened by chance, in percent, so that many checks do not come
    /// together. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub jitter_percent: Option<u32>,
}

/// What a health check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HealthCheckProtocol {
    /// A GET in plaintext; good is a status of 200 to 399.
    #[default]
    Http,
    /// `grpc.health.v1.Health/Check` in plaintext; good is `SERVING`.
    Grpc,
    /// A connection; good is that it comes about.
    Tcp,
}

/// One variable of a command's environment.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// The variable's name.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[^=\\x00]+$"))]
    pub name: String,
    /// Its value. Default empty.
    #[serde(default)]
    pub value: String,
}

/// A service that a workload calls.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadUpstream {
    /// The Service: `name`, or `namespace/name`.
    #[schemars(
        length(min = 1, max = 317),
        regex(pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub service: String,
    /// The Service's namespace. Default: the part before `/` of `service`, else the workload's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// The Service's port. Absent: every TCP port of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

impl WorkloadUpstream {
    /// Namespace and name of the Service that a workload of `own_namespace` means.
    pub fn target<'a>(&'a self, own_namespace: &'a str) -> (&'a str, &'a str) {
        let (prefix, name) = match self.service.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, self.service.as_str()),
        };
        (self.namespace.as_deref().or(prefix).unwrap_or(own_namespace), name)
    }
}

/// Whether a workload is part of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProxyMode {
    /// It has a proxy of its own, which speaks mTLS for it.
    #[default]
    Sidecar,
    /// A plain endpoint outside the mesh: no proxy, no identity, nothing encrypted.
    None,
}

/// Where a workload's proxy is, and what the mesh says about the workload.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// The workload's own address, with `byrnie up --transparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// What its proxy reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<WorkloadProxyStatus>,
    /// The local addresses of what it calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstreams: Vec<WorkloadUpstreamStatus>,
    /// `Accepted`, `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What a proxy reported about itself.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadProxyStatus {
    /// `address:port` of its mesh port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_address: Option<String>,
    /// The run of the supervisor that started it; addresses of an older run are void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// `address:port` of its admin listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// How often the rules that capture the workload's traffic had to be restored, since this proxy began. Absent:
    /// never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_restored: Option<u64>,
}

/// The local address of one service port that a workload calls.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadUpstreamStatus {
    /// The Service.
    pub service: String,
    /// Its namespace.
    pub namespace: String,
    /// Its port.
    pub port: u16,
    /// `address:port` to connect to.
    pub address: String,
}

fn default_service_account() -> String {
    "default".to_owned()
}

fn default_weight() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Env {
    List(Vec<EnvVar>),
    Map(BTreeMap<String, String>),
}

fn env_list_or_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EnvVar>, D::Error> {
    Ok(match Env::deserialize(deserializer)? {
        Env::List(list) => list,
        Env::Map(map) => map.into_iter().map(|(name, value)| EnvVar { name, value }).collect(),
    })
}

fn env_schema(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<EnvVar>();
    json_schema!({
        "x-byrnie-list-or-map": true,
        "type": "array",
        "maxItems": 1024,
        "items": item,
    })
}
