//! Transparent capture: the workload has a network namespace of its own, and whatever TCP it begins or is sent there
//! comes to this proxy, which learns from the kernel where it was to go.
//!
//! The workers live in the workload's namespace; the control thread stays in the host's, where the control plane is.
//! What the proxy dials within the mesh's network leaves from the workload's namespace, so that the workload's own
//! address is seen; everything else leaves from the host's, as if the workload ran there.

pub mod inbound;
mod inside;
pub mod outbound;
mod outside;
mod tracker;
mod watching;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use byrnie_net::Namespace;
use byrnie_net::capture::confine::{Powers, keep_only};
use byrnie_net::capture::rules::{self, Rules};
use byrnie_telemetry::{Counter, Registry, names};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpSocket, TcpStream};

use inside::Inside;
use outside::Outside;

/// The name under which the supervisor hands the workload's network namespace over.
pub const NAMESPACE: &str = "netns";
/// The file in the state directory that holds [`CaptureOptions`].
pub const CAPTURE_FILE: &str = "capture.json";

/// How the workload's traffic is captured, as the supervisor tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureOptions {
    /// The workload's own address.
    pub v4: Ipv4Addr,
    /// The same for IPv6, where there is IPv6.
    #[serde(default)]
    pub v6: Option<Ipv6Addr>,
    /// Where the addresses of all captured workloads are: address and length of the prefix.
    pub networks: Vec<(IpAddr, u8)>,
    /// Outbound TCP to these ports goes its own way.
    #[serde(default)]
    pub spared_outbound_ports: Vec<u16>,
    /// Outbound traffic to these networks goes its own way.
    #[serde(default)]
    pub spared_outbound_networks: Vec<(IpAddr, u8)>,
    /// Inbound TCP to these ports reaches the application directly.
    #[serde(default)]
    pub spared_inbound_ports: Vec<u16>,
    /// Whatever these users send goes its own way.
    #[serde(default)]
    pub spared_users: Vec<u32>,
    /// Whether the application sees the address of its client.
    #[serde(default)]
    pub original_source: bool,
}

impl CaptureOptions {
    /// The rules of the workload's namespace.
    pub fn rules(&self) -> Rules {
        Rules {
            spared_outbound_ports: self.spared_outbound_ports.clone(),
            spared_outbound_networks: self.spared_outbound_networks.clone(),
            spared_inbound_ports: self.spared_inbound_ports.clone(),
            spared_users: self.spared_users.clone(),
        }
    }
}

/// What all threads of a proxy share that captures.
pub struct Captured {
    /// The workload's namespace.
    pub namespace: Namespace,
    /// Addresses and networks.
    pub options: CaptureOptions,
    /// What was counted.
    pub counters: Counters,
    /// How often the rules had to be restored.
    pub restored: AtomicU64,
    /// What is wrong with the rules now; empty: nothing.
    pub trouble: Mutex<String>,
    /// For what is to be opened in the workload's namespace by others than the workers.
    pub inside: Inside,
    outside: Outside,
}

/// What became of captured connections.
pub struct Counters {
    /// Outbound, to a service's virtual address.
    pub service: Arc<Counter>,
    /// Outbound, to the address of an endpoint.
    pub endpoint: Arc<Counter>,
    /// Outbound, to what the mesh does not know.
    pub passed: Arc<Counter>,
    /// Outbound, refused.
    pub refused: Arc<Counter>,
    /// Inbound plaintext that was let in.
    pub plaintext: Arc<Counter>,
    /// Inbound plaintext that was refused.
    pub plaintext_refused: Arc<Counter>,
    /// Rules that were restored.
    pub restored: Arc<Counter>,
}

impl Counters {
    fn new(metrics: &Registry) -> Self {
        let of = |direction, outcome| metrics.counter(&names::CAPTURED, &[direction, outcome]);
        Self {
            service: of("outbound", "service"),
            endpoint: of("outbound", "endpoint"),
            passed: of("outbound", "passthrough"),
            refused: of("outbound", "refused"),
            plaintext: of("inbound", "plaintext"),
            plaintext_refused: of("inbound", "refused"),
            restored: metrics.counter(&names::RULES_RESTORED, &[]),
        }
    }
}

/// Whose side a connection is dialed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The workload's: its application, at whatever address it listens there.
    Workload,
    /// Wherever the address leads.
    Anywhere,
}

impl Captured {
    /// Call it in the host's namespace. Nothing is captured yet.
    pub fn new(namespace: Namespace, options: CaptureOptions, metrics: &Registry) -> io::Result<Self> {
        let inside = Inside::start(&namespace)?;
        tracker::watch(&inside, metrics);
        Ok(Self {
            inside,
            namespace,
            options,
            counters: Counters::new(metrics),
            restored: AtomicU64::new(0),
            trouble: Mutex::default(),
            outside: Outside::start()?,
        })
    }

    /// Restores the rules whenever somebody changes them. Returns when they are in force.
    pub fn watch(self: &Arc<Self>) -> io::Result<()> {
        watching::start(self)
    }

    /// Moves the calling thread into the workload's namespace, where it may do nothing but what capturing needs.
    pub fn enter(&self) -> io::Result<()> {
        self.namespace.enter()?;
        keep_only(Powers { network: true, files: false })
    }

    /// The workload's own addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [IpAddr::V4(self.options.v4)].into_iter().chain(self.options.v6.map(IpAddr::V6))
    }

    /// Where peers' proxies come to.
    pub fn mesh_address(&self) -> SocketAddr {
        SocketAddr::new(self.options.v4.into(), rules::MESH)
    }

    /// Whether an address belongs to the network of captured workloads.
    pub fn is_mesh(&self, address: IpAddr) -> bool {
        self.options.networks.iter().any(|network| contains(*network, address))
    }

    /// Connects, from where the address can be reached. Call it on a worker: in the workload's namespace. `client`:
    /// whose address the application is to see.
    pub async fn dial(
        &self,
        address: SocketAddr,
        side: Side,
        client: Option<SocketAddr>,
    ) -> io::Result<TcpStream> {
        let new = || if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = match side {
            Side::Workload => {
                let socket = new()?;
                byrnie_net::socket::set_mark(&socket, rules::APPLICATION_MARK)?;
                if let Some(client) = client {
                    byrnie_net::socket::bind_as(&socket, client)?;
                }
                socket
            }
            Side::Anywhere if self.is_mesh(address.ip()) => {
                let socket = new()?;
                byrnie_net::socket::set_mark(&socket, rules::MARK)?;
                socket
            }
            Side::Anywhere => self.outside.socket(address.is_ipv6()).await?,
        };
        socket.connect(address).await
    }

    /// The address that an application at `application` is to see of this client: its own, where that is asked for.
    pub fn shown(&self, client: SocketAddr, application: SocketAddr) -> Option<SocketAddr> {
        if self.options.original_source { shown(client, application) } else { None }
    }
}

/// A client's address where an application can be shown it: of the same family, and of one host. A client on loopback
/// is nobody in particular.
fn shown(client: SocketAddr, application: SocketAddr) -> Option<SocketAddr> {
    let ip = client.ip().to_canonical();
    let is_one = match ip {
        IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified() && !v6.is_unicast_link_local(),
    };
    let shows = is_one && ip.is_ipv4() == application.is_ipv4() && !ip.is_loopback();
    shows.then(|| SocketAddr::new(ip, client.port()))
}

fn contains((network, prefix): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((network, width), (address, other)) = (bits(network), bits(address));
    let prefix = u32::from(prefix).min(width);
    width == other && (prefix == 0 || (network ^ address) >> (128 - prefix) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_an_application_sees() {
        for (client, application, want) in [
            ("10.0.0.7:4000", "127.0.0.1:80", Some("10.0.0.7:4000")),
            ("[::ffff:10.0.0.7]:4000", "127.0.0.1:80", Some("10.0.0.7:4000")),
            ("[fd00::7]:0", "[::1]:80", Some("[fd00::7]:0")),
            ("[fd00::7]:0", "127.0.0.1:80", None),
            ("10.0.0.7:4000", "[::1]:80", None),
            ("127.0.0.1:4000", "127.0.0.1:80", None),
            ("[::1]:4000", "[::1]:80", None),
            ("0.0.0.0:0", "127.0.0.1:80", None),
            ("255.255.255.255:9", "127.0.0.1:80", None),
            ("224.0.0.1:9", "127.0.0.1:80", None),
            ("[fe80::1]:9", "[::1]:80", None),
            ("[ff02::1]:9", "[::1]:80", None),
        ] {
            let want: Option<SocketAddr> = want.map(|want| want.parse().unwrap());
            assert_eq!(shown(client.parse().unwrap(), application.parse().unwrap()), want, "{client}");
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (network, prefix, address, want) in [
            ("10.213.0.0", 16, "10.213.255.1", true),
            ("10.213.0.0", 16, "10.214.0.1", false),
            ("10.213.0.0", 16, "::ffff:10.213.0.9", true),
            ("10.213.0.0", 32, "10.213.0.0", true),
            ("10.213.0.0", 32, "10.213.0.1", false),
            ("0.0.0.0", 0, "192.0.2.1", true),
            ("0.0.0.0", 0, "::1", false),
            ("fd62:7972:6e69:65::", 64, "fd62:7972:6e69:65::7", true),
            ("fd62:7972:6e69:65::", 64, "fd62:7972:6e69:66::7", false),
            ("fd62::", 64, "10.0.0.1", false),
        ] {
            let network = (network.parse().unwrap(), prefix);
            assert_eq!(contains(network, address.parse().unwrap()), want, "{network:?} {address}");
        }
    }
}
