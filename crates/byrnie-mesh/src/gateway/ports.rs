//! Which Gateway holds a port on which address: the older one, then the first by name.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use byrnie_plan::ObjectName;

use crate::model::Gateway;
use crate::outputs::{Derived, Product};
use crate::view::View;
use crate::workload::gateway_holds_its_name;

/// The Gateways that lost a port, each with the one that holds it.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct PortHolders {
    pub(crate) losers: BTreeMap<ObjectName, ObjectName>,
}

/// `Node::Port`.
pub(crate) fn port(port: u16, view: &View<'_>) -> Option<Product> {
    let all = view.gateways_on_port(port)?;
    let mut gateways: Vec<&Gateway> = all.into_iter().filter(|gateway| binds(gateway, port, view)).collect();
    gateways.sort_by(|a, b| a.meta.age.cmp(&b.meta.age));
    let mut holders: Vec<&Gateway> = Vec::new();
    let mut losers = BTreeMap::new();
    for gateway in gateways {
        match holders.iter().find(|holder| overlap(&holder.addresses, &gateway.addresses)) {
            Some(holder) => {
                losers.insert(gateway.meta.name.clone(), holder.meta.name.clone());
            }
            None => holders.push(gateway),
        }
    }
    Some(Product { derived: Some(Derived::Port(PortHolders { losers })), ..Product::default() })
}

/// Whether a Gateway would open the port if it were alone.
fn binds(gateway: &Gateway, port: u16, view: &View<'_>) -> bool {
    let speaks = |listener: &crate::model::Listener| {
        listener.port == port && listener.protocol.protocol().is_some() && listener.hostname.is_some()
    };
    let sets = || super::sets(gateway, view).attached;
    view.is_our_class(&gateway.class)
        && gateway.bad_address.is_none()
        && gateway.unsupported.is_none()
        && gateway_holds_its_name(gateway, view)
        && (gateway.listeners.iter().any(speaks) || sets().iter().flat_map(|set| &set.listeners).any(speaks))
}

/// Whether two lists of addresses cannot be bound side by side on one port. Empty: loopback.
fn overlap(a: &[IpAddr], b: &[IpAddr]) -> bool {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let of = |list| {
        if <[IpAddr]>::is_empty(list) { &loopback[..] } else { list }
    };
    of(a).iter().any(|a| of(b).iter().any(|b| same(*a, *b)))
}

fn same(a: IpAddr, b: IpAddr) -> bool {
    // `::` takes IPv4, too, on Linux.
    let any_v6 = |address: IpAddr| address.is_ipv6() && address.is_unspecified();
    a == b
        || any_v6(a)
        || any_v6(b)
        || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}
