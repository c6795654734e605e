//! `why SRC DST [request]`: what would happen to a request, and which rule decides.
//!
//! Walks the compiled resources in the order in which a request meets them and asks `byrnie-decide`, the same code
//! that the proxies ask. Nothing is sent.

mod controls;
mod entries;
mod files;
mod filters;
mod limits;
mod route;
mod server;
pub mod words;

pub use entries::of_mesh;
pub use files::why_files;

use byrnie_mesh::Compiler;
use byrnie_plan::{Key, ObjectName, Resource, Service, ServicePortRef, WorkloadIdentity};

use crate::api::{ErrorBody, WhyQuery, WhyResponse, WhyStep, WhyVerdict};
use crate::error;
use crate::nodes::Nodes;
use crate::table::Table;

/// Explains. The table must be caught up with the store, and be the compiler's. `nodes`: the proxies that run; `None`
/// where none does.
pub fn why(
    table: &Table,
    compiler: &Compiler,
    nodes: Option<&Nodes>,
    query: &WhyQuery,
) -> Result<WhyResponse, ErrorBody> {
    let request = Request::read(query)?;
    let source = Source::find(table, &ObjectName::new(&query.namespace, &query.src))?;
    let mut steps = vec![source.step()];
    let ending = walk(table, compiler, nodes, query, &request, &source, &mut steps)?;
    Ok(WhyResponse { verdict: ending.verdict, summary: ending.summary, steps })
}

/// How the walk ended.
struct Ending {
    verdict: WhyVerdict,
    summary: String,
}

fn walk(
    table: &Table,
    compiler: &Compiler,
    nodes: Option<&Nodes>,
    query: &WhyQuery,
    request: &Request,
    source: &Source,
    steps: &mut Vec<WhyStep>,
) -> Result<Ending, ErrorBody> {
    let wanted = ObjectName::new(&query.dst_namespace, &query.dst);
    let destination = Destination::find(table, &wanted, query.port)?;
    steps.push(destination.step());
    steps.extend(match source.is_gateway {
        true => entries::at_gateway(table, compiler, &source.name),
        false => entries::at_caller(table, compiler, &source.name, &destination.service.name),
    });
    let backends = match route::choose(table, source, &destination, request, steps)? {
        route::Choice::Backends(backends) => backends,
        route::Choice::Ends(ending) => return Ok(ending),
    };
    controls::at_caller(table, source, request, &backends, steps);
    let ending = server::reach(table, nodes, source, &destination, &backends, steps);
    controls::at_servers(table, source, &backends, steps);
    entries::at_servers(table, compiler, &backends, steps);
    Ok(ending)
}

/// The request in question, normalised as a proxy does it.
struct Request {
    method: String,
    host: Option<String>,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Request {
    fn read(query: &WhyQuery) -> Result<Self, ErrorBody> {
        let target = query.path.as_deref().unwrap_or("/");
        let (path, rest) = target.split_once('?').map_or((target, None), |(path, rest)| (path, Some(rest)));
        let path = match byrnie_decide::normalize_path(path.as_bytes()) {
            byrnie_decide::Normalized::Borrowed(path) => path.to_owned(),
            byrnie_decide::Normalized::Owned(path) => path,
            byrnie_decide::Normalized::Refused(why) => {
                return Err(error::bad_request(format!("a proxy answers 400 to the path {target}: {why}")));
            }
        };
        let host = match query.host.as_deref() {
            None => None,
            Some(host) => {
                let host = byrnie_decide::normalize_authority(host).map_err(|why| {
                    error::bad_request(format!("a proxy answers 400 to the host {host}: {why}"))
                })?;
                Some(host.host.into_owned())
            }
        };
        let headers =
            query.headers.as_deref().unwrap_or_default().lines().map(header).collect::<Result<_, _>>()?;
        let method = query.method.clone().unwrap_or_else(|| "GET".to_owned());
        Ok(Self { method, host, path, query: rest.map(str::to_owned), headers })
    }

    fn view<'a>(&'a self, default_host: &'a str) -> byrnie_decide::RequestView<'a, [(String, String)]> {
        byrnie_decide::RequestView {
            method: &self.method,
            host: self.host.as_deref().unwrap_or(default_host),
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

fn header(line: &str) -> Result<(String, String), ErrorBody> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| error::bad_request(format!("header `{line}` is not `name: value`")))?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// Who calls.
struct Source {
    name: ObjectName,
    identity: WorkloadIdentity,
    is_gateway: bool,
}

impl Source {
    fn find(table: &Table, name: &ObjectName) -> Result<Self, ErrorBody> {
        let is_gateway = table.get(&Key::GatewayRoutes(name.clone())).is_some();
        match table.get(&Key::InboundPolicy(name.clone())).map(|p| p.resource.clone()) {
            Some(Resource::InboundPolicy(policy)) => {
                Ok(Self { name: name.clone(), identity: policy.identity, is_gateway })
            }
            _ => Err(error::not_in_mesh(&name.namespace, &name.name)),
        }
    }

    fn step(&self) -> WhyStep {
        step(
            "identity",
            true,
            self.identity.to_string(),
            format!("{} proves this identity to its peers", self.name),
        )
    }
}

/// Who is called: a port of a Service, and when a Workload was named only that one behind it.
struct Destination {
    service: Service,
    port: u16,
    only: Option<ObjectName>,
}

impl Destination {
    fn find(table: &Table, name: &ObjectName, port: Option<u16>) -> Result<Self, ErrorBody> {
        if let Some(service) = service(table, name) {
            return Self::of_service(service, port, None);
        }
        let Some(Resource::InboundPolicy(policy)) =
            table.get(&Key::InboundPolicy(name.clone())).map(|p| p.resource.clone())
        else {
            return Err(error::not_found("Service or meshed Workload", &name.namespace, &name.name));
        };
        let mut ports = policy.ports.iter().flat_map(|p| &p.services);
        let behind: Option<&ServicePortRef> = ports.find(|r| port.is_none_or(|port| port == r.port));
        match behind.and_then(|r| Some((service(table, &r.service)?, r.port))) {
            Some((service, port)) => Self::of_service(service, Some(port), Some(name.clone())),
            None => Err(error::no_service_leads_to(&name.namespace, &name.name)),
        }
    }

    fn of_service(service: Service, port: Option<u16>, only: Option<ObjectName>) -> Result<Self, ErrorBody> {
        let found = service.ports.iter().map(|p| p.port).find(|p| port.is_none_or(|port| port == *p));
        match found {
            Some(port) => Ok(Self { service, port, only }),
            None => Err(error::no_such_port(&service.name.namespace, &service.name.name, port)),
        }
    }

    fn step(&self) -> WhyStep {
        let port = self.service.ports.iter().find(|p| p.port == self.port);
        let speaks = port.map_or("", |p| words::protocol(p.protocol));
        let detail = format!("port {} of Service {}, appProtocol {speaks}", self.port, self.service.name);
        step("service", true, format!("{}:{}", self.service.name, self.port), detail)
    }
}

fn service(table: &Table, name: &ObjectName) -> Option<Service> {
    match &table.get(&Key::Service(name.clone()))?.resource {
        Resource::Service(service) => Some((**service).clone()),
        _ => None,
    }
}

fn step(step: &str, ok: bool, rule: impl Into<String>, detail: impl Into<String>) -> WhyStep {
    WhyStep { step: step.to_owned(), ok, rule: rule.into(), detail: detail.into() }
}
