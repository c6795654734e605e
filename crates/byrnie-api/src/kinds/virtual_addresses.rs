//! Where the virtual addresses of Services come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the virtual addresses of Services come from (only with `up --transparent`). A Service keeps its address as
/// long as it exists and the range holds it. No other host may be reached by an address of these ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualAddressSettings {
    /// A network of `/8` to `/28`. Default `240.240.0.0/16`, of the addresses that nobody uses (RFC 1112 section
    /// 4), as Istio and Consul have it.
    #[schemars(length(min = 9, max = 18))]
    pub ipv4_range: String,
    /// A network of `/16` to `/104`; empty: Services get no IPv6 address. Default `2001:2::/48` (RFC 5180), as Istio
    /// has it.
    #[schemars(length(max = 43))]
    pub ipv6_range: String,
}

impl Default for VirtualAddressSettings {
    fn default() -> Self {
        Self { ipv4_range: "240.240.0.0/16".to_owned(), ipv6_range: "2001:2::/48".to_owned() }
    }
}

impl VirtualAddressSettings {
    /// The ranges, read. The error names the field and what is wrong.
    pub fn range(&self) -> Result<VirtualRange, (&'static str, String)> {
        let v4 = v4(&self.ipv4_range).map_err(|why| ("ipv4Range", why))?;
        let v6 = match self.ipv6_range.as_str() {
            "" => None,
            text => Some(v6(text).map_err(|why| ("ipv6Range", why))?),
        };
        Ok(VirtualRange { v4, v6 })
    }
}

fn v4(text: &str) -> Result<Ipv4Net, String> {
    let net: Ipv4Net =
        text.parse().map_err(|_| format!("{text:.64?} is no network such as 240.240.0.0/16"))?;
    let first = net.addr();
    match () {
        () if !(8..=28).contains(&net.prefix_len()) => Err("the prefix is not within /8 to /28".to_owned()),
        () if net.trunc() != net => {
            Err(format!("bits behind the prefix are set; the network is {}", net.trunc()))
        }
        () if first.octets()[0] == 0
            || first.is_loopback()
            || first.is_multicast()
            || first.is_link_local() =>
        {
            Err(format!("{net} cannot be dialed"))
        }
        () => Ok(net),
    }
}

fn v6(text: &str) -> Result<Ipv6Net, String> {
    let net: Ipv6Net = text.parse().map_err(|_| format!("{text:.64?} is no network such as 2001:2::/48"))?;
    let first = net.addr();
    match () {
        () if !(16..=104).contains(&net.prefix_len()) => {
            Err("the prefix is not within /16 to /104".to_owned())
        }
        () if net.trunc() != net => {
            Err(format!("bits behind the prefix are set; the network is {}", net.trunc()))
        }
        () if first.segments()[0] == 0 || first.is_multicast() || first.is_unicast_link_local() => {
            Err(format!("{net} cannot be dialed"))
        }
        () => Ok(net),
    }
}

/// The virtual addresses that there are. Each has a number; a Service's IPv4 and IPv6 address have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualRange {
    v4: Ipv4Net,
    v6: Option<Ipv6Net>,
}

impl Default for VirtualRange {
    fn default() -> Self {
        let (v4, v6) = (Ipv4Addr::new(240, 240, 0, 0), Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0));
        Self { v4: Ipv4Net::new_assert(v4, 16), v6: Some(Ipv6Net::new_assert(v6, 48)) }
    }
}

impl VirtualRange {
    /// How many Services can have an address: the first and the last one of the IPv4 network are left out.
    pub fn len(&self) -> u32 {
        (1_u32 << (32 - u32::from(self.v4.prefix_len()))) - 2
    }

    /// Never: the smallest network has 14.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The addresses of number 0 to `len() - 1`, IPv4 first.
    pub fn addresses(&self, number: u32) -> Vec<IpAddr> {
        let offset = number + 1;
        let v4 = Ipv4Addr::from(u32::from(self.v4.addr()) | offset);
        let v6 = self.v6.map(|net| Ipv6Addr::from(u128::from(net.addr()) | u128::from(offset)));
        [Some(IpAddr::V4(v4)), v6.map(IpAddr::V6)].into_iter().flatten().collect()
    }

    /// The number that has exactly these addresses.
    pub fn number(&self, addresses: &[IpAddr]) -> Option<u32> {
        let number = self.number_of_v4(*addresses.first()?)?;
        (self.addresses(number) == addresses).then_some(number)
    }

    /// The number whose first address this is.
    pub fn number_of_v4(&self, address: IpAddr) -> Option<u32> {
        let IpAddr::V4(v4) = address else { return None };
        if !self.v4.contains(&v4) {
            return None;
        }
        let number = (u32::from(v4) - u32::from(self.v4.addr())).checked_sub(1)?;
        (number < self.len()).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(ipv4: &str, ipv6: &str) -> VirtualAddressSettings {
        VirtualAddressSettings { ipv4_range: ipv4.to_owned(), ipv6_range: ipv6.to_owned() }
    }

    #[test]
    fn the_default_is_the_default() {
        assert_eq!(VirtualAddressSettings::default().range(), Ok(VirtualRange::default()));
        assert_eq!(VirtualRange::default().len(), 65_534);
    }

    #[test]
    fn a_number_is_two_addresses_and_back() {
        let range = settings("10.9.0.0/28", "fd00:1::/64").range().unwrap();
        assert_eq!(range.len(), 14);
        let text: Vec<String> = range.addresses(13).iter().map(ToString::to_string).collect();
        assert_eq!(text, ["10.9.0.14", "fd00:1::e"]);
        for number in 0..14 {
            assert_eq!(range.number(&range.addresses(number)), Some(number));
        }
        for other in ["10.9.0.0", "10.9.0.15", "10.9.1.1", "fd00:1::e"] {
            assert_eq!(range.number(&[other.parse().unwrap()]), None, "{other}");
        }
        // One of the families only, or two numbers: that is another range's.
        assert_eq!(range.number(&range.addresses(3)[..1]), None);
        assert_eq!(range.number(&[range.addresses(3)[0], range.addresses(4)[1]]), None);
        let v4_only = settings("10.9.0.0/28", "").range().unwrap();
        assert_eq!(v4_only.number(&v4_only.addresses(3)), Some(3));
    }

    #[test]
    fn what_is_no_range() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.1/24",
            "10.0.0.0/29",
            "10.0.0.0/7",
            "127.0.0.0/8",
            "224.0.0.0/8",
            "0.0.0.0/8",
            "169.254.0.0/16",
            "10.0.0.0/33",
            "x",
            "2001:2::/48",
        ] {
            assert_eq!(settings(bad, "").range().unwrap_err().0, "ipv4Range", "{bad}");
        }
        for bad in
            ["fd00::1/64", "fd00::/105", "fd00::/8", "::/16", "fe80::/16", "ff00::/16", "10.0.0.0/8", "x"]
        {
            assert_eq!(settings("10.0.0.0/8", bad).range().unwrap_err().0, "ipv6Range", "{bad}");
        }
    }
}
