//! A switch in a namespace of its own, and what is plugged into it: workloads' namespaces and the host.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::tool::{self, ToolError};
use crate::netns::Namespace;

/// The bridge's name in the switch's namespace.
const BRIDGE: &str = "switch";
/// The name of a workload's only interface beside loopback.
pub const INTERFACE: &str = "eth0";

/// An address of each family, with the length of the network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4, always there.
    pub v4: (Ipv4Addr, u8),
    /// IPv6, where the kernel has it.
    pub v6: Option<(Ipv6Addr, u8)>,
}

/// A bridge in a namespace of its own. Dropping it takes everything that is plugged in off the network, and the
/// interface on the host with it.
#[derive(Debug)]
pub struct Switch {
    namespace: Namespace,
    host: Addresses,
}

impl Switch {
    /// Makes the switch and plugs this thread's namespace (the host's) into it, as interface `name` (at most 15
    /// bytes) with these addresses.
    pub fn create(name: &str, host: Addresses) -> Result<Self, ToolError> {
        let namespace = Namespace::create()?;
        let path = namespace.path();
        // No address of its own: a switch is nobody's neighbour.
        let inside = format!(
            "link set lo up\nlink add {BRIDGE} type bridge\nlink set {BRIDGE} addrgenmode none\n\
             link set {BRIDGE} up\n"
        );
        tool::ip(&namespace, &inside)?;
        let here = Namespace::current()?;
        let mut outside =
            format!("link add {name} type veth peer name host netns {}\n", path.display());
        outside.push_str(&address_lines(name, &host));
        tool::ip(&here, &outside)?;
        tool::ip(&namespace, &format!("link set host master {BRIDGE}\nlink set host up\n"))?;
        Ok(Self { namespace, host })
    }

    /// Gives a namespace an interface on the switch, addresses, and a default route to the host. `port` is unique at
    /// this switch.
    pub fn plug_in(&self, namespace: &Namespace, port: u32, addresses: &Addresses) -> Result<(), ToolError> {
        let path = self.namespace.path();
        let mut lines = format!(
            "link set lo up\nlink add {INTERFACE} type veth peer name p{port} netns {}\n",
            path.display()
        );
        lines.push_str(&address_lines(INTERFACE, addresses));
        // Nothing is forwarded there; without a route no connection would even begin, and so not be captured.
        let _ = writeln!(lines, "route add default via {} dev {INTERFACE}", self.host.v4.0);
        if let (Some((host, _)), true) = (self.host.v6, addresses.v6.is_some()) {
            let _ = writeln!(lines, "route add default via {host} dev {INTERFACE}");
        }
        tool::ip(namespace, &lines)?;
        tool::ip(&self.namespace, &format!("link set p{port} master {BRIDGE}\nlink set p{port} up\n"))?;
        // A program without privileges may serve port 80 here: the namespace is its own.
        namespace.run(|| std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"))?;
        Ok(())
    }

    /// The switch's namespace: where its links can be listened to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// Whether this machine has IPv6.
pub fn has_v6() -> bool {
    let disabled = std::fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6");
    disabled.is_ok_and(|text| text.trim() == "0")
}

fn address_lines(interface: &str, addresses: &Addresses) -> String {
    let mut lines = format!("addr add {}/{} dev {interface}\n", addresses.v4.0, addresses.v4.1);
    if let Some((address, prefix)) = addresses.v6 {
        // Nobody else has it: the first packet need not wait until that is found out.
        let _ = writeln!(lines, "addr add {address}/{prefix} dev {interface} nodad");
    }
    let _ = writeln!(lines, "link set {interface} up");
    lines
}
