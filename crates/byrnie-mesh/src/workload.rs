//! Workloads: which of two objects holds a proxy's name, and the Workload's status.

use byrnie_plan::ObjectName;

use crate::findings::{self, finding};
use crate::model::{Gateway, Workload};
use crate::outputs::Product;
use crate::status::{Verdict, conditions};
use crate::view::View;

/// Whether a meshed Workload may have a proxy of its name. A Gateway of the same namespace and name would
/// share its key, its directory and its place in every table, so the younger of the two is refused.
pub(crate) fn holds_its_name(workload: &Workload, view: &View<'_>) -> bool {
    rival_gateway(&workload.meta.name, view).is_none_or(|gateway| workload.meta.age <= gateway.meta.age)
}

/// The same question for a Gateway of ours.
pub(crate) fn gateway_holds_its_name(gateway: &Gateway, view: &View<'_>) -> bool {
    let rival = view.workload(&gateway.meta.name).filter(|workload| workload.meshed);
    rival.is_none_or(|workload| gateway.meta.age < workload.meta.age)
}

fn rival_gateway<'a>(name: &ObjectName, view: &View<'a>) -> Option<&'a Gateway> {
    view.gateway(name).filter(|gateway| view.is_our_class(&gateway.class))
}

/// Status of a Workload.
pub(crate) fn status(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let workload = view.workload(name)?;
    let mut findings = workload.findings.clone();
    let accepted = if !workload.meshed || holds_its_name(workload, view) {
        Verdict::yes("Accepted")
    } else {
        let message = format!("an older Gateway of namespace {} is named {}, too", name.namespace, name.name);
        findings.push(finding(findings::NAME_TAKEN, &workload.meta, "metadata.name", message.clone()));
        Verdict::no("NameTaken", message)
    };
    let status = conditions(&workload.meta, &[("Accepted", accepted)]);
    Some(Product { status: Some(status), findings, ..Product::default() })
}
