//! How traffic is captured.

use std::net::IpAddr;

use ipnet::{Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How traffic is captured (only with `byrnie up --transparent`). Read when the mesh starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CaptureSettings {
    /// Where the addresses of workloads come from: a private network of `/8` to `/29` that nothing else on this host
    /// uses. The first one is the host's. Default `10.213.0.0/16`.
    #[schemars(length(min = 9, max = 18))]
    pub ipv4_range: String,
    /// The same for IPv6, of `/16` to `/120`; empty: no IPv6. Default `fd62:7972:6e69:65::/64`.
    #[schemars(length(max = 43))]
    pub ipv6_range: String,
    /// Outbound TCP to these ports is not captured: it goes its own way, as far as the network reaches.
    #[schemars(length(max = 64))]
    pub exclude_outbound_ports: Vec<u16>,
    /// Outbound TCP to these networks (`192.0.2.0/24`) is not captured.
    #[schemars(length(max = 64))]
    pub exclude_outbound_ranges: Vec<String>,
    /// Inbound TCP to these ports is not captured: it reaches the application without mTLS and without policy.
    #[schemars(length(max = 64))]
    pub exclude_inbound_ports: Vec<u16>,
    /// What these users send is not captured. Names or numbers.
    #[schemars(length(max = 64))]
    pub exclude_users: Vec<String>,
    /// Whether an application sees the address of the client that calls it instead of the proxy's, as far as client and
    /// application speak the same IP version. A Workload may say otherwise. Default false.
    pub original_source: bool,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self {
            ipv4_range: "10.213.0.0/16".to_owned(),
            ipv6_range: "fd62:7972:6e69:65::/64".to_owned(),
            exclude_outbound_ports: Vec::new(),
            exclude_outbound_ranges: Vec::new(),
            exclude_inbound_ports: Vec::new(),
            exclude_users: Vec::new(),
            original_source: false,
        }
    }
}

/// The networks of [`CaptureSettings`], read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureNetworks {
    /// Workloads' addresses.
    pub v4: Ipv4Net,
    /// The same for IPv6.
    pub v6: Option<Ipv6Net>,
    /// What is not captured.
    pub excluded: Vec<(IpAddr, u8)>,
}

impl CaptureSettings {
    /// The networks, read. The error names the field and what is wrong.
    pub fn networks(&self) -> Result<CaptureNetworks, (String, String)> {
        let v4 = v4(&self.ipv4_range).map_err(|why| ("ipv4Range".to_owned(), why))?;
        let v6 = match self.ipv6_range.as_str() {
            "" => None,
            text => Some(v6(text).map_err(|why| ("ipv6Range".to_owned(), why))?),
        };
        let excluded =
            self.exclude_outbound_ranges.iter().enumerate().map(|(index, text)| {
                range(text).map_err(|why| (format!("excludeOutboundRanges[{index}]"), why))
            });
        Ok(CaptureNetworks { v4, v6, excluded: excluded.collect::<Result<_, _>>()? })
    }
}

fn v4(text: &str) -> Result<Ipv4Net, String> {
    let net: Ipv4Net =
        text.parse().map_err(|_| format!("{text:.64?} is no network such as 10.213.0.0/16"))?;
    match () {
        () if !(8..=29).contains(&net.prefix_len()) => Err("the prefix is not within /8 to /29".to_owned()),
        () if net.trunc() != net => Err(behind(net.trunc())),
        () if !net.addr().is_private() && !is_shared(net) => {
            Err(format!("{net} is no private network (RFC 1918, RFC 6598)"))
        }
        () => Ok(net),
    }
}

/// 100.64.0.0/10 (RFC 6598).
fn is_shared(net: Ipv4Net) -> bool {
    let [first, second, ..] = net.addr().octets();
    first == 100 && second & 0xc0 == 64 && net.prefix_len() >= 10
}

fn v6(text: &str) -> Result<Ipv6Net, String> {
    let net: Ipv6Net =
        text.parse().map_err(|_| format!("{text:.64?} is no network such as fd62:7972:6e69:65::/64"))?;
    match () {
        () if !(16..=120).contains(&net.prefix_len()) => {
            Err("the prefix is not within /16 to /120".to_owned())
        }
        () if net.trunc() != net => Err(behind(net.trunc())),
        () if !net.addr().is_unique_local() => Err(format!("{net} is no private network (RFC 4193)")),
        () => Ok(net),
    }
}

fn behind(net: impl std::fmt::Display) -> String {
    format!("bits behind the prefix are set; the network is {net}")
}

fn range(text: &str) -> Result<(IpAddr, u8), String> {
    let net: Result<ipnet::IpNet, _> = text.parse();
    let net = net.or_else(|error| text.parse::<IpAddr>().map(ipnet::IpNet::from).map_err(|_| error));
    let net = net.map_err(|_| format!("{text:.64?} is no address and no network such as 192.0.2.0/24"))?;
    if net.trunc() == net { Ok((net.addr(), net.prefix_len())) } else { Err(behind(net.trunc())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_as_a_table() {
        let settings = CaptureSettings::default();
        let read = settings.networks().unwrap();
        assert_eq!((read.v4.to_string(), read.excluded.len()), ("10.213.0.0/16".to_owned(), 0));
        for (v4, v6, excluded, field) in [
            ("100.64.0.0/10", "", "192.0.2.1", None),
            ("192.168.7.0/29", "fd00::/16", "2001:db8::/32", None),
            ("10.213.0.1/16", "", "", Some("ipv4Range")),
            ("10.213.0.0/30", "", "", Some("ipv4Range")),
            ("8.8.0.0/16", "", "", Some("ipv4Range")),
            ("10.0.0.0/8", "2001:db8::/32", "", Some("ipv6Range")),
            ("10.0.0.0/8", "fd00::1/64", "", Some("ipv6Range")),
            ("10.0.0.0/8", "", "192.0.2.1/24", Some("excludeOutboundRanges[0]")),
            ("10.0.0.0/8", "", "x", Some("excludeOutboundRanges[0]")),
        ] {
            let settings = CaptureSettings {
                ipv4_range: v4.to_owned(),
                ipv6_range: v6.to_owned(),
                exclude_outbound_ranges: excluded.split_terminator(',').map(str::to_owned).collect(),
                ..CaptureSettings::default()
            };
            let wrong = settings.networks().err().map(|(field, _)| field);
            assert_eq!(wrong.as_deref(), field, "{v4} {v6} {excluded}");
        }
    }
}
