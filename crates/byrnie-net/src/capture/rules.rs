//! The rules of one namespace: what is redirected to the proxy, what is spared, and that nothing slips through.
//!
//! One table of our own (`inet byrnie`), put in force by one transaction and taken away by another; whatever other
//! tables there are stay as they are. TCP is redirected (destination NAT to a local port): the destination that the
//! program named is kept by connection tracking and read with `SO_ORIGINAL_DST`.

use std::fmt::Write;
use std::net::IpAddr;

use super::tool::{self, ToolError};
use crate::netns::Namespace;

/// The table's name.
pub const TABLE: &str = "byrnie";
/// The mark of what the proxy itself sends (`SO_MARK`): it is never redirected. The number is Istio's.
pub const MARK: u32 = 0x539;
/// The mark of what the proxy sends to its own application. Sockets that the application accepts inherit it, so that
/// its answers find the way back to the proxy where the proxy shows the client's address instead of its own. It leads
/// nowhere but to loopback: whoever has such a socket cannot leave the namespace with it.
pub const APPLICATION_MARK: u32 = 0x53a;
/// Where outbound connections are redirected to.
pub const OUTBOUND: u16 = 15001;
/// Where inbound connections are redirected to.
pub const INBOUND: u16 = 15006;
/// The mesh port: reached directly.
pub const MESH: u16 = 15008;
/// Where names are asked for.
pub const DNS: u16 = 15053;

/// A network: its address and the length of the prefix.
pub type Network = (IpAddr, u8);

/// What is not captured. Everything else is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Outbound TCP to these ports goes its own way.
    pub spared_outbound_ports: Vec<u16>,
    /// Outbound traffic to these networks goes its own way.
    pub spared_outbound_networks: Vec<Network>,
    /// Inbound TCP to these ports reaches the application directly.
    pub spared_inbound_ports: Vec<u16>,
    /// Whatever these users send goes its own way.
    pub spared_users: Vec<u32>,
}

impl Rules {
    /// Puts the rules in force, instead of those that were there.
    pub fn apply(&self, namespace: &Namespace) -> Result<(), ToolError> {
        tool::nft(namespace, &self.script())
    }

    /// The transaction that puts the rules in force.
    pub fn script(&self) -> String {
        let Self { spared_outbound_ports, spared_inbound_ports, .. } = self;
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (address, prefix) in &self.spared_outbound_networks {
            let list = if address.is_ipv4() { &mut v4 } else { &mut v6 };
            list.push(format!("{address}/{prefix}"));
        }
        let mut spared = String::new();
        line(&mut spared, "ip daddr", &v4);
        line(&mut spared, "ip6 daddr", &v6);
        line(&mut spared, "tcp dport", spared_outbound_ports);
        let mut users = String::new();
        line(&mut users, "meta skuid", &self.spared_users);
        let mut open = vec![MESH];
        open.extend(spared_inbound_ports);
        let open = list(&open);
        format!(
            "table inet {TABLE}\n\
             delete table inet {TABLE}\n\
             table inet {TABLE} {{\n\
             \tchain spared {{\n\
             \t\toifname \"lo\" accept\n\
             \t\tfib daddr type local accept\n\
             {spared}\
             \t}}\n\
             \tchain outbound {{\n\
             \t\ttype nat hook output priority -100; policy accept;\n\
             \t\tmeta mark {MARK} accept\n\
             \t\tmeta mark {APPLICATION_MARK} oifname \"lo\" accept\n\
             {users}\
             \t\tmeta l4proto {{ tcp, udp }} th dport 53 redirect to :{DNS}\n\
             \t\tjump spared\n\
             \t\tmeta l4proto tcp redirect to :{OUTBOUND}\n\
             \t}}\n\
             \tchain inbound {{\n\
             \t\ttype nat hook prerouting priority -100; policy accept;\n\
             \t\tiifname \"lo\" accept\n\
             \t\ttcp dport {{ {open} }} accept\n\
             \t\tmeta l4proto tcp redirect to :{INBOUND}\n\
             \t}}\n\
             \tchain outbound_guard {{\n\
             \t\ttype filter hook output priority 0; policy accept;\n\
             \t\tmeta mark {MARK} accept\n\
             {users}\
             \t\tmeta l4proto != tcp accept\n\
             \t\tct status dnat accept\n\
             \t\tjump spared\n\
             \t\tct direction reply ct state != invalid accept\n\
             \t\tcounter drop\n\
             \t}}\n\
             \tchain inbound_guard {{\n\
             \t\ttype filter hook input priority 0; policy accept;\n\
             \t\tiifname \"lo\" accept\n\
             \t\tmeta l4proto != tcp accept\n\
             \t\ttcp dport {{ {open} }} accept\n\
             \t\tct status dnat accept\n\
             \t\tct direction reply ct state != invalid accept\n\
             \t\tcounter drop\n\
             \t}}\n\
             }}\n"
        )
    }
}

/// Takes the rules away; nothing happens where there are none.
pub fn remove(namespace: &Namespace) -> Result<(), ToolError> {
    tool::nft(namespace, &format!("table inet {TABLE}\ndelete table inet {TABLE}\n"))
}

/// The rules that are in force, as `nft` shows them without counters; `None`: there are none.
pub fn in_force(namespace: &Namespace) -> Result<Option<String>, ToolError> {
    match tool::nft_says(namespace, &["-s", "-n", "list", "table", "inet", TABLE]) {
        Ok(text) => Ok(Some(text)),
        Err(ToolError::Refused { why, .. }) if why.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error),
    }
}

fn line(rules: &mut String, what: &str, values: &[impl ToString]) {
    if !values.is_empty() {
        let _ = writeln!(rules, "\t\t{what} {{ {} }} accept", list(values));
    }
}

fn list(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
