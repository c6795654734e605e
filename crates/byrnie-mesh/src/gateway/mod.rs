//! Gateways of our class: listeners judged (`listeners`), ports given out (`ports`), routes attached
//! (`attach`), status written (`status`).

mod attach;
mod listeners;
mod ports;
mod status;

use byrnie_plan::{GatewayRoutes, ObjectName, Resource};

pub(crate) use ports::{PortHolders, port};
pub(crate) use status::class_status;

use crate::findings::{self, finding};
use crate::graph::Parent;
use crate::model::Gateway;
use crate::outputs::Product;
use crate::status::Verdict;
use crate::view::View;
use crate::workload::gateway_holds_its_name;

/// `Key::GatewayRoutes`, the Gateway's status, and what it says to its routes.
pub(crate) fn gateway(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let parent = Parent::Gateway(name.clone());
    let routes = view.routes_on(&parent);
    let Some(gateway) = view.gateway(name) else {
        if routes.is_empty() {
            return None;
        }
        return Some(Product { attachments: attach::to_nothing(&parent, &routes), ..Product::default() });
    };
    if !view.is_our_class(&gateway.class) {
        return Some(Product::default());
    }
    let mut found = Vec::new();
    let usable = usable(gateway, view);
    if let Verdict { holds: false, message, reason } = &usable {
        let (code, field) = match *reason {
            "UnsupportedAddress" => (findings::GATEWAY_ADDRESS, "spec.addresses"),
            _ => (findings::NAME_TAKEN, "metadata.name"),
        };
        found.push(finding(code, &gateway.meta, field, message.clone()));
    }
    let mut judged = listeners::judge(gateway, &usable, view);
    for listener in &judged {
        found.extend(listener.findings.iter().cloned());
    }
    let (listeners, attachments) = attach::attach(gateway, &routes, &mut judged, view);
    let status = status::gateway_status(gateway, &usable, &judged);
    let resources = if usable.holds {
        vec![Resource::GatewayRoutes(GatewayRoutes { gateway: name.clone(), listeners })]
    } else {
        Vec::new()
    };
    Some(Product { resources, status: Some(status), findings: found, attachments, ..Product::default() })
}

/// Whether the Gateway can be served at all.
fn usable(gateway: &Gateway, view: &View<'_>) -> Verdict {
    if let Some(address) = &gateway.bad_address {
        return Verdict::no(
            "UnsupportedAddress",
            format!("{address} is no address that a Gateway can listen on"),
        );
    }
    if !gateway_holds_its_name(gateway, view) {
        let name = &gateway.meta.name;
        let message =
            format!("an older Workload of namespace {} is named {}, too", name.namespace, name.name);
        return Verdict::no("NameTaken", message);
    }
    Verdict::yes("Accepted")
}
