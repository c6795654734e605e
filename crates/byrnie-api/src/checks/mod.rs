//! What a schema cannot say: the rules between fields. Those of the Gateway API are the CEL rules of its CRDs.

mod controls;
mod gateway;
mod mesh;
mod policy;
mod profile;
mod route;
mod service;
mod tls;

use std::collections::HashMap;
use std::hash::Hash;

use crate::codes::{self, Code};
use crate::finding::Severity;
use crate::object::Typed;
use crate::walk::Issue;

/// Checks one object, whose fields fit the schema.
pub(crate) fn check(object: &Typed) -> Vec<Issue> {
    let mut issues = Issues::default();
    match object {
        Typed::Service(service) => service::service(&service.spec, &mut issues),
        Typed::Gateway(gateway) => gateway::gateway(&gateway.spec, &mut issues),
        Typed::HTTPRoute(route) => route::http_route(&route.spec, &mut issues),
        Typed::GRPCRoute(route) => route::grpc_route(&route.spec, &mut issues),
        Typed::TCPRoute(route) => route::tcp_route(&route.spec, &mut issues),
        Typed::TLSRoute(route) => route::tls_route(&route.spec, &mut issues),
        Typed::UDPRoute(route) => route::udp_route(&route.spec, &mut issues),
        Typed::ListenerSet(set) => gateway::listener_set(&set.spec, &mut issues),
        Typed::BackendTLSPolicy(policy) => tls::backend_tls_policy(&policy.spec, &mut issues),
        Typed::ServiceSubset(subset) => service::subset(&subset.spec, &mut issues),
        Typed::Mesh(mesh) => mesh::mesh(&mesh.spec, &mut issues),
        Typed::Workload(workload) => mesh::workload(&workload.spec, &mut issues),
        Typed::TrafficPolicy(policy) => policy::traffic_policy(&policy.spec, &mut issues),
        Typed::AuthorizationPolicy(policy) => policy::authorization_policy(&policy.spec, &mut issues),
        Typed::ServiceProfile(profile) => profile::service_profile(&profile.spec, &mut issues),
        Typed::RateLimitPolicy(policy) => controls::rate_limit_policy(&policy.spec, &mut issues),
        Typed::FaultPolicy(policy) => controls::fault_policy(&policy.spec, &mut issues),
        Typed::Namespace(_)
        | Typed::ServiceAccount(_)
        | Typed::GatewayClass(_)
        | Typed::ReferenceGrant(_) => {}
    }
    issues.0
}

/// What was found so far.
#[derive(Default)]
struct Issues(Vec<Issue>);

impl Issues {
    fn error(&mut self, code: Code, path: impl Into<String>, message: impl Into<String>) {
        let (path, message) = (path.into(), message.into());
        self.0.push(Issue { code, severity: Severity::Error, path, message, remedy: None, at: None });
    }

    /// Every key but the first of its kind is an error. `None` stands for nothing.
    fn unique<K: Hash + Eq>(
        &mut self,
        code: Code,
        keys: impl Iterator<Item = (Option<K>, String)>,
        what: &str,
    ) {
        let mut seen = HashMap::new();
        for (key, path) in keys.filter_map(|(key, path)| Some((key?, path))) {
            if let Some(first) = seen.get(&key) {
                self.error(code, path, format!("the same {what} as in {first}"));
            } else {
                seen.insert(key, path);
            }
        }
    }

    /// A regular expression that the proxy can compile.
    fn regex(&mut self, path: String, expression: &str) {
        if let Err(error) = regex::RegexBuilder::new(expression).size_limit(REGEX_LIMIT).build() {
            let text = error.to_string();
            let last =
                text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
            self.error(codes::BAD_REGEX, path, last);
        }
    }
}

/// Bytes of one compiled regular expression: 1 MiB, as the proxy has it.
const REGEX_LIMIT: usize = 1024 * 1024;
