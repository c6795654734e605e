//! A switch in a namespace of its own, and what is plugged into it: workloads' namespaces and the host.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::answers;
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
        let mut outside = format!("link add {name} type veth peer name host netns {}\n", path.display());
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
        answers::apply(namespace)?;
        tool::ip(&self.namespace, &format!("link set p{port} master {BRIDGE}\nlink set p{port} up\n"))?;
        // A program without privileges may serve port 80 here: the namespace is its own.
        namespace.run(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
            std::fs::write("/proc/sys/net/ipv4/tcp_fwmark_accept", "1")
        })?;
        Ok(())
    }

    /// Takes a port off the network; nothing happens where it is gone already.
    pub fn unplug(&self, port: u32) {
        if let Err(error) = tool::ip(&self.namespace, &format!("link del p{port}\n")) {
            tracing::debug!(%error, "port {port} of the switch is gone already");
        }
    }

    /// The switch's namespace: where its links can be listened to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// The interface of this host whose route leads into this network, or contains it (the default route aside).
pub fn who_has(network: Ipv4Addr, prefix: u8) -> std::io::Result<Option<String>> {
    Ok(overlapping(&std::fs::read_to_string("/proc/net/route")?, network, prefix))
}

/// Of the lines of `/proc/net/route` the first that overlaps: its interface.
fn overlapping(routes: &str, network: Ipv4Addr, prefix: u8) -> Option<String> {
    let wanted = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok().map(u32::from_be);
        let (destination, mask) = (number(1)?, number(7)?);
        let both = wanted & mask;
        let is_default = mask == 0;
        (!is_default && destination & both == network.to_bits() & both)
            .then(|| fields.first().map(|name| (*name).to_owned()))?
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_overlap() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                      tun0\t0005D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        for (network, prefix, want) in [
            ("10.213.0.0", 16, Some("tun0")),
            ("10.213.5.128", 25, Some("tun0")),
            ("10.213.6.0", 24, None),
            ("10.0.0.0", 8, Some("tun0")),
            ("192.0.2.0", 29, Some("eth0")),
            ("100.64.0.0", 10, None),
        ] {
            let found = overlapping(routes, network.parse().unwrap(), prefix);
            assert_eq!(found.as_deref(), want, "{network}/{prefix}");
        }
    }
}
