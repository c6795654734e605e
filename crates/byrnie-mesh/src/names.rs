//! `Names`: what leads to a Service by name or by virtual address. The addresses themselves are given by whoever
//! keeps the store, and stand in the Services' statuses.

use byrnie_plan::{Name, Names, Resource};

use crate::model::{Service, ServiceShape};
use crate::outputs::Product;
use crate::view::View;

/// `Key::Names`. `None`: no Service is in this shard.
pub(crate) fn names(shard: u8, view: &View<'_>) -> Option<Product> {
    let names: Vec<Name> = view.services_in_shard(shard).map(name).collect();
    if names.is_empty() {
        return None;
    }
    Some(Product { resources: vec![Resource::Names(Names { shard, names })], ..Product::default() })
}

fn name(service: &Service) -> Name {
    let is_external = service.shape == ServiceShape::External;
    Name {
        service: service.meta.name.clone(),
        // One that was given before the Service became an alias is on its way back.
        addresses: if is_external { Vec::new() } else { service.addresses.clone() },
        ports: service.ports.iter().map(|port| port.port).collect(),
        alias: service.alias.clone(),
    }
}
