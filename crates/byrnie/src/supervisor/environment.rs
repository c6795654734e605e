//! What a command finds in its environment: the local addresses of what it calls, as Kubernetes names them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use byrnie_api::{Object, Typed};
use serde::Deserialize;

/// The file of a proxy that says where it listens.
pub const ADDRESSES_FILE: &str = "addresses.json";

/// Where a proxy listens, as it wrote down before it was ready.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// Its outbound port that speaks HTTP proxying.
    #[serde(default)]
    pub http_proxy: Option<SocketAddr>,
    /// One local address for each service port that the workload calls.
    #[serde(default)]
    pub upstreams: Vec<Upstream>,
}

/// The local address of one service port.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Upstream {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// Where to connect to.
    pub address: SocketAddr,
}

/// The names of Service ports by namespace, service and number; ports without a name are left out.
pub type PortNames = BTreeMap<(String, String, u16), String>;

/// Adds the names of a Service's ports. Objects of other kinds add nothing.
pub fn add_port_names(object: &Object, names: &mut PortNames) {
    let Typed::Service(service) = object.typed() else { return };
    let metadata = object.metadata();
    for port in &service.spec.ports {
        let key = (metadata.namespace.clone(), metadata.name.clone(), port.port);
        names.extend(port.name.clone().map(|name| (key, name)));
    }
}

impl Addresses {
    /// Reads the file in a proxy's directory.
    pub fn read(state_dir: &Path) -> Result<Self, String> {
        let path = state_dir.join(ADDRESSES_FILE);
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The variables of a command of `namespace`: `WEB_SERVICE_HOST`, `WEB_SERVICE_PORT` (the first port),
/// `WEB_SERVICE_PORT_<NAME>`. A service of another namespace has that before its name: `BILLING_WEB_SERVICE_HOST`.
/// With `http_proxy`, also `HTTP_PROXY` (both spellings) and `NO_PROXY` for loopback, where the explicit addresses are.
pub fn variables(
    addresses: &Addresses,
    names: &PortNames,
    namespace: &str,
    http_proxy: bool,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for upstream in &addresses.upstreams {
        let service = variable_name(&upstream.service);
        let prefix = if upstream.namespace == namespace {
            service
        } else {
            format!("{}_{service}", variable_name(&upstream.namespace))
        };
        let port = upstream.address.port().to_string();
        variables
            .entry(format!("{prefix}_SERVICE_HOST"))
            .or_insert_with(|| upstream.address.ip().to_string());
        variables.entry(format!("{prefix}_SERVICE_PORT")).or_insert_with(|| port.clone());
        let key = (upstream.namespace.clone(), upstream.service.clone(), upstream.port);
        if let Some(name) = names.get(&key) {
            variables.insert(format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), port);
        }
    }
    if let (true, Some(proxy)) = (http_proxy, addresses.http_proxy) {
        for name in ["HTTP_PROXY", "http_proxy"] {
            variables.insert(name.to_owned(), format!("http://{proxy}"));
        }
        for name in ["NO_PROXY", "no_proxy"] {
            variables.insert(name.to_owned(), "127.0.0.1,::1,localhost".to_owned());
        }
    }
    variables
}

/// `web-front` → `WEB_FRONT`.
fn variable_name(name: &str) -> String {
    name.replace(['-', '.'], "_").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(upstreams: &str) -> Addresses {
        let text =
            format!(r#"{{"admin":"127.0.0.1:1","httpProxy":"127.0.0.1:9","upstreams":[{upstreams}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn lines(variables: BTreeMap<String, String>) -> Vec<String> {
        variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn names_are_those_of_kubernetes() {
        let addresses = addresses(
            r#"{"namespace":"shop","service":"web-front","port":80,"address":"127.0.0.1:41"},
               {"namespace":"shop","service":"web-front","port":90,"address":"127.0.0.1:42"},
               {"namespace":"billing","service":"web","port":80,"address":"127.0.0.2:43"}"#,
        );
        let service = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web-front", "namespace": "shop"},
            "spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin-v1", "port": 90}]},
        });
        let mut names = PortNames::new();
        add_port_names(&Object::from_value(service).unwrap(), &mut names);
        assert_eq!(
            lines(variables(&addresses, &names, "shop", false)),
            [
                "BILLING_WEB_SERVICE_HOST=127.0.0.2",
                "BILLING_WEB_SERVICE_PORT=43",
                "WEB_FRONT_SERVICE_HOST=127.0.0.1",
                "WEB_FRONT_SERVICE_PORT=41",
                "WEB_FRONT_SERVICE_PORT_ADMIN_V1=42",
                "WEB_FRONT_SERVICE_PORT_HTTP=41",
            ]
        );
    }

    #[test]
    fn an_http_proxy_is_set_only_when_wished() {
        let addresses = addresses("");
        assert!(variables(&addresses, &PortNames::new(), "shop", false).is_empty());
        assert_eq!(
            lines(variables(&addresses, &PortNames::new(), "shop", true)),
            [
                "HTTP_PROXY=http://127.0.0.1:9",
                "NO_PROXY=127.0.0.1,::1,localhost",
                "http_proxy=http://127.0.0.1:9",
                "no_proxy=127.0.0.1,::1,localhost",
            ]
        );
    }

    #[test]
    fn a_broken_file_names_itself() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Addresses::read(directory.path()).unwrap_err().contains("addresses.json"));
        std::fs::write(directory.path().join(ADDRESSES_FILE), "{").unwrap();
        assert!(Addresses::read(directory.path()).unwrap_err().contains("EOF"));
    }
}
