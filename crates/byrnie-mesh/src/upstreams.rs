//! `Upstreams`: what a workload calls through local addresses.

use std::collections::BTreeSet;

use byrnie_plan::{ObjectName, Override, Resource, ServicePortRef, Upstream, Upstreams};

use crate::Finding;
use crate::findings::{self, finding};
use crate::model::{WantedUpstream, Workload};
use crate::outputs::Product;
use crate::policy;
use crate::view::View;

/// `Key::Upstreams` of a Workload with a proxy.
pub(crate) fn upstreams(name: &ObjectName, view: &View<'_>) -> Option<Product> {
    let workload = view.workload(name)?;
    if !workload.meshed || !crate::workload::holds_its_name(workload, view) {
        return Some(Product::default());
    }
    let mut findings = Vec::new();
    let upstreams = match &workload.upstreams {
        Some(wanted) => named(workload, wanted, view, &mut findings),
        None => whole_namespace(workload, view, &mut findings),
    };
    let overrides = overrides(workload, &upstreams, view);
    let compiled =
        Upstreams { workload: name.clone(), upstreams, http_proxy: workload.http_proxy, overrides };
    Some(Product { resources: vec![Resource::Upstreams(compiled)], findings, ..Product::default() })
}

/// Where policies let this workload send single requests instead. Only who is named hears of it.
fn overrides(workload: &Workload, upstreams: &[Upstream], view: &View<'_>) -> Vec<Override> {
    let own = view.identity(&workload.meta.name.namespace, &workload.service_account);
    let services: BTreeSet<&ObjectName> = upstreams.iter().map(|upstream| &upstream.service).collect();
    let mut all = Vec::new();
    for service in services {
        let Some((namespace, spec)) = policy::override_of(service, view) else { continue };
        let short = format!("{}/{}", own.namespace, own.service_account);
        if !spec.from.iter().any(|name| *name == short || *name == own.to_string()) {
            continue;
        }
        let targets = spec.to.iter().map(|to| ServicePortRef {
            service: ObjectName::new(to.namespace.as_deref().unwrap_or(&namespace), to.name.as_str()),
            port: to.port,
        });
        all.push(Override { service: service.clone(), targets: targets.collect() });
    }
    all
}

/// In the order of the list, each port once. A port that is named keeps its local address also while its
/// Service is missing, so that nothing moves when the Service comes back.
fn named(
    workload: &Workload,
    wanted: &[WantedUpstream],
    view: &View<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, want) in wanted.iter().enumerate() {
        let service = view.service(&want.service);
        let known: Vec<u16> = service.map(|s| s.ports.iter().map(|p| p.port).collect()).unwrap_or_default();
        if service.is_none() || want.port.is_some_and(|port| !known.contains(&port)) {
            let what = if service.is_none() { "no such Service" } else { "the Service has no such port" };
            let port = want.port.map(|port| format!(":{port}")).unwrap_or_default();
            let message = format!("upstream {}{port}: {what}; calls to it fail with 503", want.service);
            let path = format!("spec.upstreams[{index}]");
            findings.push(finding(findings::UPSTREAM_UNKNOWN, &workload.meta, path, message));
        }
        for port in want.port.map_or(known, |port| vec![port]) {
            let upstream = Upstream { service: want.service.clone(), port };
            if seen.insert(upstream.clone()) {
                upstreams.push(upstream);
            }
        }
    }
    upstreams
}

/// Every port of every Service of the workload's namespace, by name, up to the mesh's limit.
fn whole_namespace(workload: &Workload, view: &View<'_>, findings: &mut Vec<Finding>) -> Vec<Upstream> {
    let namespace = &workload.meta.name.namespace;
    let limit = view.mesh().upstream_limit;
    // One more than the limit, to know whether there are more; the others are not even read.
    let ports = view.services_in(namespace).flat_map(|service| {
        service.ports.iter().map(|port| Upstream { service: service.meta.name.clone(), port: port.port })
    });
    let mut upstreams: Vec<Upstream> = ports.take(limit.saturating_add(1)).collect();
    if upstreams.len() > limit {
        upstreams.truncate(limit);
        let message = format!(
            "namespace {namespace} has more than {limit} Service ports, and a Workload without spec.upstreams \
             gets addresses for the first {limit} by name; name what it calls in spec.upstreams"
        );
        findings.push(finding(findings::TOO_MANY_UPSTREAMS, &workload.meta, "spec.upstreams", message));
    }
    upstreams
}
