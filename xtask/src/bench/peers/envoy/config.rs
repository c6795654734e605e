//! Envoy's configurations: its defaults, no access log, no admin port; HTTP/2 and TLS 1.3 between the two of a pair.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::bench::certificates::identity;
use crate::bench::origin::Origin;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// Where the certificates are.
pub struct Tls<'a> {
    /// As `certificates::write` left them.
    pub directory: &'a Path,
}

/// One proxy, plaintext.
pub fn hop(listen: SocketAddr, origin: &Origin) -> Value {
    whole(&[listener("http", listen, &http("http"), None)], &[cluster("http", origin.http, false, None)])
}

/// The client's side: HTTP, gRPC, TCP.
pub fn client(tls: &Tls, listen: [SocketAddr; 3], mesh: [SocketAddr; 3]) -> Value {
    let upstream = tls.upstream();
    whole(
        &[
            listener("http", listen[0], &http("http"), None),
            listener("grpc", listen[1], &http("grpc"), None),
            listener("tcp", listen[2], &tcp("tcp"), None),
        ],
        &[
            cluster("http", mesh[0], true, Some(&upstream)),
            cluster("grpc", mesh[1], true, Some(&upstream)),
            cluster("tcp", mesh[2], false, Some(&upstream)),
        ],
    )
}

/// The server's side: HTTP, gRPC, TCP.
pub fn server(tls: &Tls, mesh: [SocketAddr; 3], origin: &Origin) -> Value {
    let downstream = tls.downstream();
    whole(
        &[
            listener("http", mesh[0], &http("http"), Some(&downstream)),
            listener("grpc", mesh[1], &http("grpc"), Some(&downstream)),
            listener("tcp", mesh[2], &tcp("tcp"), Some(&downstream)),
        ],
        &[
            cluster("http", origin.http, false, None),
            cluster("grpc", origin.grpc, true, None),
            cluster("tcp", origin.tcp, false, None),
        ],
    )
}

impl Tls<'_> {
    /// Own certificate, and who the other must be.
    fn common(&self, own: &str, peer: &str) -> Value {
        let file = |name: String| json!({"filename": self.directory.join(name)});
        json!({
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{
                "certificate_chain": file(format!("{own}.pem")),
                "private_key": file(format!("{own}.key")),
            }],
            "validation_context": {
                "trusted_ca": file("ca.pem".to_owned()),
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": identity(peer)}}],
            },
            "alpn_protocols": ["h2"],
        })
    }

    fn upstream(&self) -> Value {
        let tls = format!("{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext");
        let context = json!({"@type": tls, "common_tls_context": self.common("client", "server")});
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
    }

    fn downstream(&self) -> Value {
        let tls = format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext");
        let common = self.common("server", "client");
        let context = json!({"@type": tls, "require_client_certificate": true, "common_tls_context": common});
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
    }
}

fn whole(listeners: &[Value], clusters: &[Value]) -> Value {
    json!({"static_resources": {"listeners": listeners, "clusters": clusters}})
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn listener(name: &str, listen: SocketAddr, filter: &Value, tls: Option<&Value>) -> Value {
    let mut chain = json!({"filters": [filter]});
    if let Some(tls) = tls {
        chain["transport_socket"] = tls.clone();
    }
    json!({"name": name, "address": address(listen), "filter_chains": [chain]})
}

/// A listener's filter that routes every request to one cluster.
fn http(cluster: &str) -> Value {
    let manager = format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager");
    let router = format!("{TYPES}.filters.http.router.v3.Router");
    let route = |prefix: &str, timeout: &str| json!({"match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": timeout}});
    let mut routes = vec![route("/", "15s")];
    if cluster == "grpc" {
        // A stream lasts as long as it lasts.
        routes.insert(0, route("/bench.Echo/Stream", "0s"));
    }
    let config = json!({
        "@type": manager,
        "stat_prefix": cluster,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    });
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": config})
}

/// A listener's filter that passes all bytes to one cluster.
fn tcp(cluster: &str) -> Value {
    let proxy = format!("{TYPES}.filters.network.tcp_proxy.v3.TcpProxy");
    let config = json!({"@type": proxy, "stat_prefix": cluster, "cluster": cluster});
    json!({"name": "envoy.filters.network.tcp_proxy", "typed_config": config})
}

fn cluster(name: &str, endpoint: SocketAddr, http2: bool, tls: Option<&Value>) -> Value {
    let endpoint = json!({"endpoint": {"address": address(endpoint)}});
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    });
    if http2 {
        let options = format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions");
        let explicit = json!({"@type": options, "explicit_http_config": {"http2_protocol_options": {}}});
        let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        cluster["typed_extension_protocol_options"] = json!({key: explicit});
    }
    if let Some(tls) = tls {
        cluster["transport_socket"] = tls.clone();
    }
    cluster
}
