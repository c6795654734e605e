//! Gateways of our class: listeners judged (`listeners`), those of ListenerSets among them (`sets`), ports given out
//! (`ports`), routes attached (`attach`), status written (`status`).

mod attach;
mod listeners;
mod ports;
mod sets;
mod status;

use byrnie_plan::{GatewayRoutes, ObjectName, Resource};

pub(crate) use ports::{PortHolders, port};
use sets::sets;
pub(crate) use sets::{SetFound, listener_set};
pub(crate) use status::class_status;

use crate::findings::{self, finding};
use crate::graph::{Parent, Place, RouteId};
use crate::model::{AllowedNamespaces, Gateway};
use crate::outputs::{Derived, Product};
use crate::policy;
use crate::status::Verdict;
use crate::view::View;
use crate::workload::gateway_holds_its_name;

/// `Key::GatewayRoutes`, the Gateway's status, what its ListenerSets come to, and what it says to its routes.
pub(crate) fn gateway(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let parent = Parent::Gateway(name.clone());
    let Some(gateway) = view.gateway(name) else {
        let routes = view.routes_on(&parent);
        if routes.is_empty() {
            return None;
        }
        let message = format!("there is no Gateway {name}");
        return Some(Product {
            attachments: attach::to_nothing(&parent, &routes, findings::PARENT_MISSING, &message),
            ..Product::default()
        });
    };
    if !view.is_our_class(&gateway.class) {
        return Some(Product::default());
    }
    let mut found = Vec::new();
    let usable = usable(gateway, view);
    if let Verdict { holds: false, message, reason } = &usable {
        let (code, field) = match (*reason, &gateway.unsupported) {
            ("UnsupportedAddress", _) => (findings::GATEWAY_ADDRESS, "spec.addresses"),
            ("NameTaken", _) | (_, None) => (findings::NAME_TAKEN, "metadata.name"),
            (_, Some(unsupported)) => (findings::GATEWAY_UNSUPPORTED, unsupported.field),
        };
        found.push(finding(code, &gateway.meta, field, message.clone()));
    }
    let sets = sets(gateway, view);
    let mut judged = listeners::judge(gateway, &sets.attached, &usable, view);
    for listener in judged.iter().filter(|listener| listener.set.is_none()) {
        found.extend(listener.findings.iter().cloned());
    }
    let (listeners, mut attachments) = attach::attach(gateway, &mut judged, view);
    let own = attachments.remove(&parent).unwrap_or_default();
    let sets = sets::found(&sets, &usable, &judged, attachments);
    let status = status::gateway_status(gateway, &usable, &judged, &sets);
    let resources = if usable.holds {
        vec![Resource::GatewayRoutes(GatewayRoutes { gateway: name.clone(), listeners })]
    } else {
        Vec::new()
    };
    Some(Product {
        resources,
        status: Some(status),
        findings: found,
        attachments: own,
        derived: Some(Derived::Sets(sets)),
    })
}

/// The listeners of a Gateway that serve a route, each with what its policies say and where they stand.
pub(crate) fn seats_of(
    route: &RouteId,
    gateway: &Gateway,
    view: &View<'_>,
) -> Vec<(Vec<Place>, policy::OfListener)> {
    let judged = listeners::judge(gateway, &sets(gateway, view).attached, &usable(gateway, view), view);
    attach::seats_of(route, gateway, &judged, view)
}

/// Whether the Gateway can be served at all.
fn usable(gateway: &Gateway, view: &View<'_>) -> Verdict {
    if let Some(address) = &gateway.bad_address {
        return Verdict::no(
            "UnsupportedAddress",
            format!("{address} is no address that a Gateway can listen on"),
        );
    }
    if let Some(unsupported) = &gateway.unsupported {
        let message = format!("{}; nothing is served in its place", unsupported.message);
        return Verdict::no(unsupported.reason, message);
    }
    if !gateway_holds_its_name(gateway, view) {
        let name = &gateway.meta.name;
        let message =
            format!("an older Workload of namespace {} is named {}, too", name.namespace, name.name);
        return Verdict::no("NameTaken", message);
    }
    Verdict::yes("Accepted")
}

/// Whether objects of a namespace are let in by one in another namespace, or the same.
fn allows(allowed: &AllowedNamespaces, own: &str, other: &str, view: &View<'_>) -> bool {
    match allowed {
        AllowedNamespaces::All => true,
        AllowedNamespaces::Same => own == other,
        AllowedNamespaces::Selector(selector) => {
            // Kubernetes gives every namespace this label; off Kubernetes a namespace may have no object at
            // all.
            let object = view.namespace(&other.to_owned());
            let mut labels = object.map(|namespace| namespace.meta.labels.clone()).unwrap_or_default();
            labels.insert("kubernetes.io/metadata.name".to_owned(), other.to_owned());
            selector.matches(&labels)
        }
    }
}
