//! Which endpoints the request may reach, what they prove, and what their policies say.

use byrnie_decide::{Authorizer, HttpOperation, PeerView, Reason};
use byrnie_plan::{Endpoint, Hop as HopKind, InboundPolicy, Key, ObjectName, Resource, ServicePortRef};

use super::route::Hop;
use super::{Destination, Ending, Source, step, words};
use crate::api::{WhyStep, WhyVerdict};
use crate::nodes::{Nodes, timestamp};
use crate::table::Table;

/// Endpoints that are told one by one; the rest is counted.
const TOLD_ENDPOINTS: usize = 10;

/// Goes on to the endpoints of every backend.
pub fn reach(
    table: &Table,
    nodes: Option<&Nodes>,
    source: &Source,
    destination: &Destination,
    hops: &[Hop],
    steps: &mut Vec<WhyStep>,
) -> Ending {
    let total: u64 = hops.iter().map(|hop| u64::from(hop.weight)).sum();
    let (mut reached, mut denied, mut allowed) = (0_usize, None, None);
    for hop in hops {
        let endpoints = endpoints(table, hop, destination);
        let share = u64::from(hop.weight) * 100 / total.max(1);
        let rule = format!("{}:{}", hop.service, hop.port);
        if endpoints.is_empty() {
            let detail = format!("{share} % of requests, but nothing to send them to: 503");
            steps.push(step("endpoint", false, rule, detail));
            continue;
        }
        steps.push(step(
            "endpoint",
            true,
            rule,
            format!("{share} % of requests, {}", chosen(table, hop, endpoints.len())),
        ));
        reached += endpoints.len();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let tell = (index < TOLD_ENDPOINTS).then_some(&mut *steps);
            match visit(table, nodes, source, hop, endpoint, tell) {
                Ok(rule) => allowed = Some(rule),
                Err(rule) => denied = Some((endpoint.workload.clone(), rule)),
            }
        }
    }
    match (denied, allowed) {
        _ if reached == 0 => {
            end(WhyVerdict::Unreachable, "there is no endpoint: the proxy answers 503".to_owned())
        }
        (Some((workload, rule)), _) => {
            end(WhyVerdict::Denied, format!("{rule} refuses it at {workload} (403)"))
        }
        (None, rule) => end(WhyVerdict::Allowed, format!("it gets through: {}", rule.unwrap_or_default())),
    }
}

/// How one of several endpoints is chosen.
fn chosen(table: &Table, hop: &Hop, count: usize) -> String {
    match super::service(table, &hop.service) {
        Some(service) if count > 1 => {
            format!("{count} endpoint(s), chosen {}", words::balancer(&service.settings.balancer))
        }
        _ => format!("{count} endpoint(s)"),
    }
}

fn end(verdict: WhyVerdict, summary: String) -> Ending {
    Ending { verdict, summary }
}

fn endpoints(table: &Table, hop: &Hop, destination: &Destination) -> Vec<Endpoint> {
    let Some(published) = table.get(&Key::Endpoints(hop.service.clone())) else {
        return Vec::new();
    };
    let Resource::Endpoints(endpoints) = &published.resource else {
        return Vec::new();
    };
    let has = |endpoint: &Endpoint| hop.subset.iter().all(|label| endpoint.labels.contains(label));
    let is_wanted = |name: &ObjectName| destination.only.as_ref().is_none_or(|only| only == name);
    let port = endpoints.ports.iter().find(|p| p.port == hop.port);
    let all = port.into_iter().flat_map(|p| &p.endpoints);
    all.filter(|e| e.weight > 0 && has(e) && is_wanted(&e.workload)).map(|e| (**e).clone()).collect()
}

/// What decides at one endpoint: `Ok` lets through, `Err` refuses.
fn visit(
    table: &Table,
    nodes: Option<&Nodes>,
    source: &Source,
    hop: &Hop,
    endpoint: &Endpoint,
    mut steps: Option<&mut Vec<WhyStep>>,
) -> Result<String, String> {
    let mut tell = |told: WhyStep| {
        if let Some(steps) = steps.as_deref_mut() {
            steps.push(told);
        }
    };
    let workload = &endpoint.workload;
    let HopKind::Mesh { identity, .. } = &endpoint.hop else {
        let detail = format!("{workload} at {} is outside the mesh: plaintext, no policy", endpoint.address);
        tell(step("certificate", true, "none", detail));
        return Ok(format!("{workload} is outside the mesh, so no policy holds there"));
    };
    tell(certificate(nodes, workload, &identity.to_string(), endpoint));
    let policy = table.get(&Key::InboundPolicy(workload.clone()));
    let Some(Resource::InboundPolicy(policy)) = policy.as_ref().map(|p| &p.resource) else {
        tell(step("policy", false, "none", format!("nothing is compiled for {workload}: refused")));
        return Err("the missing policy".to_owned());
    };
    let called = ServicePortRef { service: hop.service.clone(), port: hop.port };
    let selects = policy.ports.iter().any(|p| p.port == endpoint.app_port && p.services.contains(&called));
    if !selects {
        let detail =
            format!("Service {} does not lead to port {} of {workload}", hop.service, endpoint.app_port);
        tell(step("policy", false, "hop", detail));
        return Err("the server's check of the service".to_owned());
    }
    authorize(source, hop, endpoint, policy, tell)
}

fn authorize(
    source: &Source,
    hop: &Hop,
    endpoint: &Endpoint,
    policy: &InboundPolicy,
    mut tell: impl FnMut(WhyStep),
) -> Result<String, String> {
    let authorizer = Authorizer::compile(&policy.authorization, policy.default_action);
    let id = source.identity.to_string();
    let peer = Some(PeerView { id: &id, namespace: &source.identity.namespace });
    let operation = hop.onward.as_ref().map(|onward| HttpOperation {
        method: Some(onward.method.as_str()),
        path: Some(onward.path.as_str()),
    });
    for seen in authorizer.steps(peer, operation, endpoint.app_port) {
        let dry = if seen.dry_run { " (dry run)" } else { "" };
        let action = words::action(seen.action);
        let detail = match seen.matched_rule {
            Some(rule) => format!("{action}{dry}: rule {rule} matches at {}", endpoint.workload),
            None => format!("{action}{dry}: no rule matches at {}", endpoint.workload),
        };
        tell(step("policy", true, seen.policy, detail));
    }
    let verdict = authorizer.check(peer, operation, endpoint.app_port);
    let sentence = match verdict.reason {
        Reason::Denied => format!("AuthorizationPolicy {} (DENY)", verdict.policy),
        Reason::Allowed => format!("AuthorizationPolicy {} allows it", verdict.policy),
        Reason::NotAllowed => {
            format!("AuthorizationPolicy {} (ALLOW) and every other one: no rule matches;", verdict.policy)
        }
        Reason::Default => {
            format!("the Mesh's defaultInboundPolicy ({})", words::default_action(policy.default_action))
        }
    };
    tell(step("policy", verdict.is_allowed(), verdict.policy, sentence.clone()));
    if verdict.is_allowed() { Ok(sentence) } else { Err(sentence) }
}

fn certificate(nodes: Option<&Nodes>, workload: &ObjectName, identity: &str, endpoint: &Endpoint) -> WhyStep {
    let Some(nodes) = nodes else {
        let detail = format!("{workload} must prove this identity (mTLS, TLS 1.3)");
        return step("certificate", true, identity, detail);
    };
    let node = nodes.get(workload).filter(|node| node.is_connected());
    let not_after = node.as_ref().and_then(|node| node.status()).and_then(|status| status.not_after);
    let until = match (node, not_after) {
        (Some(_), Some(end)) => format!("certificate until {}", timestamp(end)),
        (Some(_), None) => "its proxy has no certificate yet".to_owned(),
        (None, _) => "its proxy is not connected now; its certificate is as it was".to_owned(),
    };
    let detail =
        format!("{workload} at {} must prove this identity (mTLS, TLS 1.3); {until}", endpoint.address);
    step("certificate", true, identity, detail)
}
