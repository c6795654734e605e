//! `TrafficPolicy.spec.inbound`: how a proxy treats what comes in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ForwardedHeaders;
use crate::duration::Duration;

/// How a proxy treats connections and requests that come in. What is absent holds as a farther policy says, last as
/// `Mesh.spec.proxy` does; each field is a setting of its own.
///
/// At a Gateway it is about the Gateway's clients; with `sectionName` about those of one listener, where
/// `maxConnections` has no effect (a port that several listeners share takes each setting from the first of them that
/// has it). At a Workload it is about what comes into its proxy, from its callers as well as from its own application.
/// At a Service it is about calls of the Service: at its callers' proxies limits, time-outs and `allowConnect`, at the
/// workloads behind it `peerIdentityHeader` and `proxyProtocol.send`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboundSettings {
    /// What a Gateway says to applications about the client: `X-Forwarded-For`, `-Proto` and `-Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_headers: Option<ForwardedHeaders>,
    /// How many proxies stand in front of a Gateway whose `X-Forwarded-*` are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16))]
    pub trusted_hops: Option<u32>,
    /// Whether an application hears who calls it: `X-Forwarded-Client-Cert: By=…;URI=…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_identity_header: Option<bool>,
    /// Whether clients may CONNECT. The request follows routes by its host, with method `CONNECT` and path `/`, and is
    /// handed to the application as it came; once that answers 2xx, bytes flow. Where it is not allowed, CONNECT is
    /// answered with 501 and `BYR0214`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_connect: Option<bool>,
    /// The PROXY protocol, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Largest header section of a request, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub max_header_bytes: Option<u32>,
    /// Largest number of header lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 4096))]
    pub max_headers: Option<u32>,
    /// Concurrent streams on one HTTP/2 connection from a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_concurrent_streams: Option<u32>,
    /// Connections that the proxy accepts, of all its addresses together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: Option<u32>,
    /// Time for the head of a request to arrive, and for the header of the PROXY protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_timeout: Option<Duration>,
    /// Idle time after which a kept-alive connection of a client is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_idle_timeout: Option<Duration>,
    /// How long a client may take to make clear what it speaks, before a port without declared protocol is treated as
    /// TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect_timeout: Option<Duration>,
}

/// The PROXY protocol: who the client is, said once at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// Whether every connection to a Gateway must begin with a header of version 1 or 2; the address in it is the
    /// client's from then on, for logs, `X-Forwarded-For`, rate limits and hashing. What begins otherwise is closed.
    /// Only where nobody but such a load balancer can reach the port: whoever can, says who it is. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<bool>,
    /// What a connection to an application begins with. One that carries requests of many clients says that it speaks
    /// for none (`PROXY UNKNOWN`, or `LOCAL`); theirs is `X-Forwarded-For`. Default `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<ProxyProtocolVersion>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProxyProtocolVersion {
    /// None is sent.
    #[default]
    Off,
    /// One line of text.
    V1,
    /// Binary.
    V2,
}
