//! What the operator sees while a mesh runs: addresses as they become ready, and one refreshed table.

use std::rc::Rc;
use std::time::Duration;

use byrnie_api::{Object, Typed};
use byrnie_control::api::SightQuery;
use tokio::sync::watch;

use super::desired::{Kind, UnitKey};
use super::environment::Addresses;
use super::shared::Shared;
use crate::cli::stat;

/// How often the table is refreshed.
const REFRESH: Duration = Duration::from_secs(1);
/// The seconds that its numbers look back.
const WINDOW_SECONDS: u32 = 10;

/// Says where a proxy can be reached, once it is ready: a Gateway's listeners, the addresses of what a workload calls.
pub async fn addresses(
    shared: Rc<Shared>,
    key: UnitKey,
    object: Option<Object>,
    mut ready: watch::Receiver<bool>,
) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    let line = match key.kind {
        Kind::Gateway => object.map(|object| listeners(&object).join("  ")),
        _ => Addresses::read(&shared.home.proxy(&key)).ok().map(|addresses| upstreams(&addresses)),
    };
    if let Some(line) = line.filter(|line| !line.is_empty()) {
        shared.screen.line(&format!("{key}: {line}"));
    }
}

/// `http://127.0.0.1:18080/` for each listener and address of a Gateway.
fn listeners(gateway: &Object) -> Vec<String> {
    let Typed::Gateway(gateway) = gateway.typed() else { return Vec::new() };
    let mut hosts: Vec<String> =
        gateway.spec.addresses.iter().filter_map(|address| address.value.clone()).collect();
    if hosts.is_empty() {
        hosts.push("127.0.0.1".to_owned());
    }
    let mut all: Vec<String> = Vec::new();
    for listener in &gateway.spec.listeners {
        for host in &hosts {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let place = match listener.protocol.as_str() {
                "HTTP" => format!("http://{host}:{}/", listener.port),
                protocol @ ("TCP" | "TLS") => format!("{protocol} {host}:{}", listener.port),
                // Not served; the Gateway's status says why.
                _ => continue,
            };
            // Several listeners may share a port.
            if !all.contains(&place) {
                all.push(place);
            }
        }
    }
    all
}

/// `calls voting:80 at 127.0.0.1:40001, …`.
fn upstreams(addresses: &Addresses) -> String {
    let one = |upstream: &super::environment::Upstream| {
        format!("{}.{}:{} at {}", upstream.service, upstream.namespace, upstream.port, upstream.address)
    };
    let all: Vec<String> = addresses.upstreams.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!("calls {}", all.join(", ")) }
}

/// Refreshes the table of services each second, where stdout is a terminal.
pub async fn live_table(shared: Rc<Shared>) {
    if !shared.screen.is_terminal() {
        return;
    }
    let query = SightQuery { window_seconds: Some(WINDOW_SECONDS), ..SightQuery::default() };
    while !shared.stopping.get() {
        if let Ok(list) = shared.client.stat(&query).await
            && !shared.stopping.get()
        {
            shared.screen.table(stat::table(&list.items, true, true).render());
        }
        tokio::time::sleep(REFRESH).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_gateway_listens() {
        let gateway = |addresses: serde_json::Value| {
            let value = serde_json::json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {"name": "front", "namespace": "shop"},
                "spec": {
                    "gatewayClassName": "byrnie",
                    "addresses": addresses,
                    "listeners": [
                        {"name": "http", "port": 80, "protocol": "HTTP"},
                        {"name": "more", "port": 80, "protocol": "HTTP", "hostname": "more.example"},
                        {"name": "udp", "port": 82, "protocol": "UDP"},
                        {"name": "tcp", "port": 81, "protocol": "TCP"},
                    ],
                },
            });
            listeners(&Object::from_value(value).unwrap())
        };
        assert_eq!(gateway(serde_json::json!([])), ["http://127.0.0.1:80/", "TCP 127.0.0.1:81"]);
        let two = serde_json::json!([{"value": "::1"}]);
        assert_eq!(gateway(two), ["http://[::1]:80/", "TCP [::1]:81"]);
    }
}
