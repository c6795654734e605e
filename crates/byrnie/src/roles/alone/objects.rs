//! The objects that `--listen` and `--to` stand for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use serde_json::{Value, json};

use crate::cli::failure::Failure;

/// What is spoken at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http,
    Http2,
    Bytes,
}

/// One Gateway, one route, one Service and a Workload for each `--to`.
pub fn from_flags(listen: &str, to: &[String]) -> Result<Vec<Value>, Failure> {
    let (addresses, port) = listening(listen)?;
    let endpoints: Vec<(Speaks, SocketAddr)> = to.iter().map(|to| endpoint(to)).collect::<Result<_, _>>()?;
    let speaks = endpoints.first().map_or(Speaks::Http, |(speaks, _)| *speaks);
    if endpoints.iter().any(|(other, _)| *other != speaks) {
        return Err(Failure::argument(
            "--to with different schemes",
            "requests go to endpoints of one kind; use --config for more than that",
        ));
    }
    let (protocol, kind, app_protocol) = match speaks {
        Speaks::Http => ("HTTP", "HTTPRoute", "http"),
        Speaks::Http2 => ("HTTP", "HTTPRoute", "kubernetes.io/h2c"),
        Speaks::Bytes => ("TCP", "TCPRoute", "tcp"),
    };
    let addresses: Vec<Value> =
        addresses.iter().map(|ip| json!({"type": "IPAddress", "value": ip.to_string()})).collect();
    let mut objects = vec![
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": metadata("proxy"),
            "spec": {
                "gatewayClassName": "byrnie", "addresses": addresses,
                "listeners": [{"name": "listen", "port": port, "protocol": protocol}],
            },
        }),
        json!({
            "apiVersion": version(kind), "kind": kind, "metadata": metadata("proxy"),
            "spec": {
                "parentRefs": [{"name": "proxy"}],
                "rules": [{"backendRefs": [{"name": "to", "port": 80}]}],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata("to"),
            "spec": {
                "selector": {"app": "to"},
                "ports": [{"name": "to", "port": 80, "targetPort": "to", "appProtocol": app_protocol}],
            },
        }),
    ];
    for (index, (_, address)) in endpoints.iter().enumerate() {
        let mut metadata = metadata(&format!("to-{}", index + 1));
        metadata["labels"] = json!({"app": "to"});
        objects.push(json!({
            "apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Workload", "metadata": metadata,
            "spec": {"address": address.ip().to_string(), "ports": [{"name": "to", "port": address.port()}]},
        }));
    }
    Ok(objects)
}

/// A Mesh that says no more than which requests are logged.
pub fn mesh(access_log: &str) -> Value {
    json!({
        "apiVersion": "mesh.byrnie.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "default"},
        "spec": {"telemetry": {"accessLog": access_log}},
    })
}

fn version(kind: &str) -> String {
    byrnie_api::Kind::from_word(kind).map(byrnie_api::Kind::api_version).unwrap_or_default()
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": "default"})
}

/// `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`.
fn listening(text: &str) -> Result<(Vec<IpAddr>, u16), Failure> {
    let wrong = || {
        Failure::argument(format!("--listen {text} is no [HOST]:PORT"), "write --listen :8080, for example")
    };
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| wrong())?;
        return Ok((every_address(), port));
    }
    let address = resolve(text).ok_or_else(wrong)?;
    Ok((vec![address.ip()], address.port()))
}

/// Every address of IPv4, and of IPv6 where the machine has it.
fn every_address() -> Vec<IpAddr> {
    let mut all = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        all.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    all
}

fn endpoint(text: &str) -> Result<(Speaks, SocketAddr), Failure> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let speaks = match scheme {
        "http" => Speaks::Http,
        "h2c" | "grpc" => Speaks::Http2,
        "tcp" => Speaks::Bytes,
        _ => {
            let message = format!("--to {text}: {scheme} is not spoken");
            return Err(Failure::argument(message, "write http://, h2c:// or tcp://"));
        }
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let address = resolve(rest).filter(|address| address.port() != 0);
    let help = "write --to 127.0.0.1:3000, for example; a name must be known when the proxy starts";
    let wrong =
        || Failure::argument(format!("--to {text}: {rest} is no HOST:PORT that can be reached"), help);
    Ok((speaks, address.ok_or_else(wrong)?))
}

/// A name's first address of IPv4, else of IPv6: `localhost` stands for both, and most programs listen on the first.
fn resolve(text: &str) -> Option<SocketAddr> {
    let found: Vec<SocketAddr> = text.to_socket_addrs().ok()?.collect();
    found.iter().find(|address| address.is_ipv4()).or_else(|| found.first()).copied()
}
