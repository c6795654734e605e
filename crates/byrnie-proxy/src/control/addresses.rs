//! `addresses.json`: where this proxy listens, for the supervisor and for this proxy's next life.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use byrnie_plan::{ObjectName, ServicePortRef};
use serde::{Deserialize, Serialize};

/// The file's name in the state directory.
const FILE: &str = "addresses.json";

/// Larger files are none of ours, in bytes.
const LIMIT: u64 = 4 * 1024 * 1024;

/// Where the proxy listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// Metrics and readiness.
    pub admin: Option<SocketAddr>,
    /// Where peers reach the workload; a Gateway has none.
    pub mesh: Option<SocketAddr>,
    /// Where the workload's HTTP proxy is, if it wants one.
    pub http_proxy: Option<SocketAddr>,
    /// One for each service port that the workload calls.
    #[serde(default)]
    pub upstreams: Vec<UpstreamAddress>,
}

/// The local address of one service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct UpstreamAddress {
    /// The Service and its port.
    pub service: ServicePortRef,
    /// Where to connect to.
    pub address: SocketAddr,
}

/// As it is in the file.
#[derive(Serialize, Deserialize)]
struct Written {
    namespace: String,
    service: String,
    port: u16,
    address: SocketAddr,
}

impl From<Written> for UpstreamAddress {
    fn from(written: Written) -> Self {
        let service = ObjectName::new(written.namespace, written.service);
        Self { service: ServicePortRef { service, port: written.port }, address: written.address }
    }
}

impl From<UpstreamAddress> for Written {
    fn from(from: UpstreamAddress) -> Self {
        let ServicePortRef { service, port } = from.service;
        let (namespace, service) = (service.namespace.clone(), service.name.clone());
        Self { namespace, service, port, address: from.address }
    }
}

impl Addresses {
    /// What the last life wrote; nothing if there is none or it cannot be read.
    pub fn read(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let small = fs::metadata(&path).is_ok_and(|file| file.len() <= LIMIT);
        let bytes = if small { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes the file whole or not at all. Not synced: after a crash of the machine no address is worth keeping.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let beside = state_dir.join("addresses.json.tmp");
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::File::create(&beside)?.write_all(&text)?;
        fs::rename(&beside, state_dir.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Addresses::read(dir.path()), Addresses::default());
        let addresses = Addresses {
            admin: Some("127.0.0.1:1".parse().unwrap()),
            mesh: Some("127.0.0.1:2".parse().unwrap()),
            http_proxy: None,
            upstreams: vec![UpstreamAddress {
                service: ServicePortRef { service: ObjectName::new("shop", "web"), port: 80 },
                address: "127.0.0.1:3".parse().unwrap(),
            }],
        };
        addresses.write(dir.path()).unwrap();
        addresses.write(dir.path()).unwrap();
        assert_eq!(Addresses::read(dir.path()), addresses);
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.contains("\"httpProxy\": null"), "{text}");
        assert!(text.contains("\"namespace\": \"shop\""), "{text}");
    }

    #[test]
    fn a_broken_file_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{\"admin\": 1").unwrap();
        assert_eq!(Addresses::read(dir.path()), Addresses::default());
    }
}
