//! Which rule takes the request, and which backends that leads to.

use byrnie_decide::{Miss, Router, explain, rewrite_path};
use byrnie_plan::{
    AppProtocol, Backend, BackendTarget, Controls, Filter, GatewayRoutes, HttpMatch, HttpRule, HttpTable,
    Key, ListenerProtocol, ObjectName, Resource, Routes, TcpRule,
};

use super::{Destination, Ending, Request, Source, limits, step, words};
use crate::api::{ErrorBody, WhyStep, WhyVerdict};
use crate::error;
use crate::table::Table;

/// Passed-over entries that are told; the rest is counted.
const TOLD_MISSES: usize = 5;

/// What the route says.
pub enum Choice {
    /// The request goes on to one of these.
    Backends(Vec<Hop>),
    /// It is answered here.
    Ends(Ending),
}

/// A backend, and the request as it arrives there.
pub struct Hop {
    pub service: ObjectName,
    pub port: u16,
    pub subset: Vec<(String, String)>,
    pub weight: u32,
    /// `None`: bytes, not requests.
    pub http: Option<(String, String)>,
    /// The rule's rate limits and faults.
    pub controls: Option<Box<Controls>>,
}

/// Finds the rule.
pub fn choose(
    table: &Table,
    source: &Source,
    destination: &Destination,
    request: &Request,
    steps: &mut Vec<WhyStep>,
) -> Result<Choice, ErrorBody> {
    let service = &destination.service.name;
    let default_host = format!("{}.{}.svc.cluster.local", service.name, service.namespace);
    let view = request.view(&default_host);
    let (http, tcp) = match source.is_gateway {
        true => gateway_tables(table, &source.name, destination, &view),
        false => service_tables(table, &source.name.namespace, destination),
    };
    if let Some(http) = http {
        let router = Router::compile(&http).map_err(error::bad_table)?;
        let told = explain(&view, &http, &router, None);
        let Some(found) = told.found else {
            let detail = format!("no rule matches {} {}{}: 404", view.method, view.host, view.path);
            steps.push(step("route", false, "none", format!("{detail}; {}", misses(&told.routes))));
            return Ok(unreachable("no route matches: the proxy answers 404"));
        };
        let (entry, rule) =
            (http.matches.get(found.match_index as usize), http.rules.get(found.rule as usize));
        let (Some(entry), Some(rule)) = (entry, rule) else {
            return Err(error::bad_table("a rule is missing"));
        };
        let passed = &told.routes[..told.routes.len().saturating_sub(1)];
        steps.push(step("route", true, rule.name.to_string(), describe(entry, passed)));
        let choice = http_rule(entry, rule, request, steps);
        if let Choice::Backends(hops) = &choice {
            let service = hops.first().and_then(|hop| super::service(table, &hop.service));
            steps.push(limits::of_rule(rule, service.as_ref()));
        }
        return Ok(choice);
    }
    if let Some(rule) = tcp {
        let name = rule.name.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
        steps.push(step("route", true, name, "a route for connections"));
        return Ok(Choice::Backends(hops(&rule.backends, None, rule.controls.as_deref())));
    }
    if source.is_gateway {
        steps.push(step("route", false, "none", "no listener of the Gateway has a route for this"));
        return Ok(unreachable("no listener of the Gateway has a route for this"));
    }
    steps.push(step(
        "route",
        true,
        "default",
        format!("no route is attached to {service}: straight to its endpoints"),
    ));
    let protocol = destination.service.ports.iter().find(|p| p.port == destination.port).map(|p| p.protocol);
    let is_bytes = matches!(protocol, Some(AppProtocol::Tcp | AppProtocol::Tls));
    let http = (!is_bytes).then(|| (request.method.clone(), request.path.clone()));
    if http.is_some() {
        steps.push(limits::of_service(&destination.service));
    }
    let (service, port) = (service.clone(), destination.port);
    let hop = Hop { service, port, subset: Vec::new(), weight: 1, http, controls: None };
    Ok(Choice::Backends(vec![hop]))
}

/// The consumer's routes replace the producer's where they exist.
fn service_tables(table: &Table, client: &str, to: &Destination) -> (Option<HttpTable>, Option<TcpRule>) {
    let service = to.service.name.clone();
    let get = |client_namespace| match table.get(&Key::Routes { service: service.clone(), client_namespace })
    {
        Some(published) => match &published.resource {
            Resource::Routes(routes) => Some(routes.clone()),
            _ => None,
        },
        None => None,
    };
    let routes: Option<Routes> = get(Some(client.to_owned())).or_else(|| get(None));
    let port = routes.and_then(|routes| routes.ports.into_iter().find(|p| p.port == to.port));
    port.map_or((None, None), |port| (port.http, port.tcp))
}

/// The listener whose rule for this request leads to the destination, else the first that has a rule for it.
fn gateway_tables(
    table: &Table,
    gateway: &ObjectName,
    to: &Destination,
    view: &byrnie_decide::RequestView<'_, [(String, String)]>,
) -> (Option<HttpTable>, Option<TcpRule>) {
    let Some(published) = table.get(&Key::GatewayRoutes(gateway.clone())) else {
        return (None, None);
    };
    let Resource::GatewayRoutes(GatewayRoutes { listeners, .. }) = &published.resource else {
        return (None, None);
    };
    let leads = |backends: &[Backend]| backends.iter().any(|b| is_service(&b.target, &to.service.name));
    let finds = |http: &HttpTable| {
        let rule = Router::compile(http).ok()?.find(view)?.rule;
        Some(http.rules.get(rule as usize).is_some_and(|rule| leads(&rule.backends)))
    };
    let http = || listeners.iter().filter(|l| l.protocol == ListenerProtocol::Http).map(|l| &l.http);
    let tcp = listeners.iter().flat_map(|l| &l.tcp).map(|(_, rule)| rule).find(|rule| leads(&rule.backends));
    if let Some(table) = http().find(|table| finds(table) == Some(true)) {
        return (Some(table.clone()), None);
    }
    match tcp {
        Some(rule) => (None, Some(rule.clone())),
        None => (http().find(|table| finds(table).is_some()).or_else(|| http().next()).cloned(), None),
    }
}

fn is_service(target: &BackendTarget, name: &ObjectName) -> bool {
    matches!(target, BackendTarget::Service { service, .. } if service == name)
}

fn http_rule(entry: &HttpMatch, rule: &HttpRule, request: &Request, steps: &mut Vec<WhyStep>) -> Choice {
    let mut path = request.path.clone();
    for filter in &rule.filters {
        match filter {
            Filter::Redirect(redirect) => {
                steps.push(step(
                    "route",
                    true,
                    rule.name.to_string(),
                    format!("answers with {}", redirect.status),
                ));
                let summary = format!("{} answers with a redirect ({})", rule.name, redirect.status);
                return Choice::Ends(Ending { verdict: WhyVerdict::Allowed, summary });
            }
            Filter::Rewrite(rewrite) => {
                if let Some(to) = &rewrite.path {
                    path = rewrite_path(&path, &entry.path, to).into_owned();
                    steps.push(step(
                        "route",
                        true,
                        rule.name.to_string(),
                        format!("rewrites the path to {path}"),
                    ));
                }
            }
            Filter::Mirror(mirror) => {
                if let BackendTarget::Service { service, port, .. } = &mirror.target {
                    let share = format!("{} of {} requests", mirror.numerator, mirror.denominator);
                    let detail = format!("copies {share} to {service}:{port}, whose answers are discarded");
                    steps.push(step("route", true, rule.name.to_string(), detail));
                }
            }
            Filter::RequestHeaders(change) => {
                let detail = format!("changes headers of the request: {}", words::headers(change));
                steps.push(step("route", true, rule.name.to_string(), detail));
            }
            Filter::ResponseHeaders(change) => {
                let detail = format!("changes headers of the response: {}", words::headers(change));
                steps.push(step("route", true, rule.name.to_string(), detail));
            }
            Filter::Cors(cors) => {
                let origins = cors.allow_origins.join(", ");
                let detail = format!("answers preflight requests itself; origins that may call: {origins}");
                steps.push(step("route", true, rule.name.to_string(), detail));
            }
        }
    }
    let unusable = rule.backends.iter().filter(|b| b.weight > 0).find_map(|b| match &b.target {
        BackendTarget::Invalid(why) => Some(words::invalid(*why)),
        BackendTarget::Service { .. } => None,
    });
    let http = Some((request.method.clone(), path));
    let hops = hops(&rule.backends, http, rule.controls.as_deref());
    match unusable {
        Some(why) => {
            let detail = format!("a backend cannot be used ({why}): its share is answered with 500");
            steps.push(step("route", false, rule.name.to_string(), detail));
        }
        None if hops.is_empty() => {
            steps.push(step("route", false, rule.name.to_string(), "no backend has a weight: 500"));
        }
        None => {}
    }
    if hops.is_empty() {
        unreachable("the rule has no usable backend: the proxy answers 500")
    } else {
        Choice::Backends(hops)
    }
}

fn hops(backends: &[Backend], http: Option<(String, String)>, controls: Option<&Controls>) -> Vec<Hop> {
    let usable = backends.iter().filter(|backend| backend.weight > 0);
    usable
        .filter_map(|backend| match &backend.target {
            BackendTarget::Service { service, port, subset } => Some(Hop {
                service: service.clone(),
                port: *port,
                subset: subset.clone(),
                weight: backend.weight,
                http: http.clone(),
                controls: controls.cloned().map(Box::new),
            }),
            BackendTarget::Invalid(_) => None,
        })
        .collect()
}

fn unreachable(summary: &str) -> Choice {
    Choice::Ends(Ending { verdict: WhyVerdict::Unreachable, summary: summary.to_owned() })
}

fn describe(entry: &HttpMatch, passed: &[byrnie_decide::RouteStep]) -> String {
    let mut parts = vec![words::host(&entry.host), words::path(&entry.path)];
    parts.extend(entry.method.iter().map(|method| format!("method {method}")));
    parts.extend(entry.headers.iter().map(|header| format!("header {}", header.name)));
    parts.extend(entry.queries.iter().map(|query| format!("query {}", query.name)));
    let matched = parts.join(", ");
    if passed.is_empty() {
        format!("matches {matched}")
    } else {
        format!("matches {matched}; {}", misses(passed))
    }
}

fn misses(passed: &[byrnie_decide::RouteStep]) -> String {
    let mut told: Vec<String> = passed
        .iter()
        .take(TOLD_MISSES)
        .map(|passed| {
            let name = passed.route.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            format!("{name} fails on {}", passed.miss.as_ref().map_or("nothing", part))
        })
        .collect();
    if passed.len() > TOLD_MISSES {
        told.push(format!("{} more", passed.len() - TOLD_MISSES));
    }
    if told.is_empty() { "the table is empty".to_owned() } else { told.join("; ") }
}

fn part(miss: &Miss) -> &str {
    match miss {
        Miss::Scope => "the listener's hostname",
        Miss::Host => "the host",
        Miss::Path => "the path",
        Miss::Method => "the method",
        Miss::Header(name) | Miss::Query(name) => name,
    }
}
