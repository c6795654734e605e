//! Which rule takes the request, and which backends that leads to.

use byrnie_decide::{Miss, Router, explain, most_specific, wished};
use byrnie_plan::{
    AppProtocol, Backend, BackendTarget, Controls, GatewayRoutes, HttpMatch, HttpRule, HttpTable, Key,
    ListenerProtocol, ObjectName, Resource, Routes, TcpRule,
};

use super::filters::Onward;
use super::{Destination, Ending, Request, Source, filters, limits, step, words};
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
    pub onward: Option<Onward>,
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
    if let Some(choice) = overridden(table, source, destination, request, steps) {
        return Ok(choice);
    }
    let service = &destination.service.name;
    let default_host = format!("{}.{}.svc.cluster.local", service.name, service.namespace);
    let view = request.view(&default_host);
    let (http, tcp) = match source.is_gateway {
        true => gateway_tables(table, &source.name, destination, &view),
        false => match service_tables(table, &source.name.namespace, destination, request) {
            Ok(tables) => tables,
            Err(name) => {
                let detail = format!("no TLSRoute is for the server name {name:?}: the connection is reset");
                steps.push(step("route", false, "none", detail));
                return Ok(unreachable("no route is for the server name: the proxy resets the connection"));
            }
        },
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
            steps.extend(limits::of_hops(table, Some(rule), hops));
        }
        return Ok(choice);
    }
    if let Some(rule) = tcp {
        let name = rule.name.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
        steps.push(step("route", true, name, "a route for connections"));
        let backends = rule.backends.iter().filter(|backend| backend.weight > 0);
        let hops = backends.filter_map(|backend| hop(backend, None, rule.controls.as_deref()));
        return Ok(Choice::Backends(hops.collect()));
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
    let onward = (!is_bytes).then(|| Onward::new(request));
    let (service, port) = (service.clone(), destination.port);
    let hop = Hop { service, port, subset: Vec::new(), weight: 1, onward, controls: None };
    let hops = vec![hop];
    steps.extend(limits::of_hops(table, None, &hops));
    Ok(Choice::Backends(hops))
}

/// The consumer's routes replace the producer's where they exist. `Err`: there are routes by server name, and none is
/// for the one that the connection asks for.
fn service_tables(
    table: &Table,
    client: &str,
    to: &Destination,
    request: &Request,
) -> Result<(Option<HttpTable>, Option<TcpRule>), String> {
    let service = to.service.name.clone();
    let get = |client_namespace| match table.get(&Key::Routes { service: service.clone(), client_namespace })
    {
        Some(published) => match &published.resource {
            Resource::Routes(routes) => Some(routes.clone()),
            _ => None,
        },
        None => None,
    };
    let routes: Option<Routes> = get(Some(client.into())).or_else(|| get(None));
    let port = routes.and_then(|routes| routes.ports.into_iter().find(|p| p.port == to.port));
    let Some(port) = port else { return Ok((None, None)) };
    let name = request.host.as_deref().unwrap_or_default();
    match most_specific(&port.tcp, name) {
        None if !port.tcp.is_empty() => Err(name.to_owned()),
        rule => Ok((port.http, rule.cloned())),
    }
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
    let name = rule.name.to_string();
    let mut onward = Onward::new(request);
    if let Some(status) = filters::follow(&rule.filters, &entry.path, &name, &mut onward, steps) {
        return redirected(&name, status);
    }
    let usable: Vec<&Backend> = rule.backends.iter().filter(|backend| backend.weight > 0).collect();
    let mut hops = Vec::new();
    let mut redirect = None;
    for backend in &usable {
        let invalid = match &backend.target {
            BackendTarget::Invalid(why) => words::invalid(*why),
            BackendTarget::Service { .. } => {
                let mut onward = onward.clone();
                match filters::follow(&backend.filters, &entry.path, &name, &mut onward, steps) {
                    Some(status) => redirect = Some(status),
                    None => hops.extend(hop(backend, Some(onward), rule.controls.as_deref())),
                }
                continue;
            }
        };
        let detail = format!("a backend cannot be used ({invalid}): its share is answered with 500");
        steps.push(step("route", false, name.as_str(), detail));
    }
    if usable.is_empty() {
        steps.push(step("route", false, name.as_str(), "no backend has a weight: 500"));
    }
    match (hops.is_empty(), redirect) {
        (false, _) => Choice::Backends(hops),
        (true, Some(status)) => redirected(&name, status),
        (true, None) => unreachable("the rule has no usable backend: the proxy answers 500"),
    }
}

fn redirected(rule: &str, status: u16) -> Choice {
    let summary = format!("{rule} answers with a redirect ({status})");
    Choice::Ends(Ending { verdict: WhyVerdict::Allowed, summary })
}

/// What goes to one backend; `None`: nothing can.
fn hop(backend: &Backend, onward: Option<Onward>, controls: Option<&Controls>) -> Option<Hop> {
    let BackendTarget::Service { service, port, subset } = &backend.target else { return None };
    Some(Hop {
        service: service.clone(),
        port: *port,
        subset: subset.clone(),
        weight: backend.weight,
        onward,
        controls: controls.cloned().map(Box::new),
    })
}

/// Where the application asks for another Service than the one that it calls, and a policy lets it.
fn overridden(
    table: &Table,
    source: &Source,
    destination: &Destination,
    request: &Request,
    steps: &mut Vec<WhyStep>,
) -> Option<Choice> {
    let (_, wish) = request.headers.iter().find(|(name, _)| name == "byrnie-override")?;
    let called = &destination.service.name;
    let published = table.get(&Key::Upstreams(source.name.clone()));
    let offered = match published.as_ref().map(|published| &published.resource) {
        Some(Resource::Upstreams(upstreams)) if !source.is_gateway => {
            upstreams.overrides.iter().find(|offer| offer.service == *called)
        }
        _ => None,
    };
    let Some(offered) = offered else {
        let detail = format!("byrnie-override: no policy lets {} send requests elsewhere", source.name);
        steps.push(step("route", true, "none", detail));
        return None;
    };
    let Some(target) = wished(wish, &called.namespace, &offered.targets, |target| target) else {
        let detail =
            format!("byrnie-override: {wish:.128} is nothing that a policy offers for {called}: 404");
        steps.push(step("route", false, "override", detail));
        return Some(unreachable("the override leads nowhere: the proxy answers 404"));
    };
    let detail = format!("byrnie-override: goes to {}:{} instead", target.service, target.port);
    steps.push(step("route", true, "override", detail));
    let hop = Hop {
        service: target.service.clone(),
        port: target.port,
        subset: Vec::new(),
        weight: 1,
        onward: Some(Onward::new(request)),
        controls: None,
    };
    steps.extend(limits::of_hops(table, None, std::slice::from_ref(&hop)));
    Some(Choice::Backends(vec![hop]))
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
