//! Effective values of an object, defaults included, each with its origin.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_api::kinds::MeshSpec;
use byrnie_api::{Kind, Object, ObjectKey, Typed};
use byrnie_decide::{request_limit, try_limit};
use byrnie_mesh::{Change, Compiler, Controlled, Entry, Options, Origins, RuleValues, ServiceValues};
use byrnie_plan::{BackendTarget, HttpRule, InboundOverrides, Key, ObjectName, Resource, RouteKind};
use serde_json::Value;

use super::{indent, words};
use crate::cli::failure::Failure;
use crate::output::table::Table;

/// Value and origin by field.
pub(super) type Values = BTreeMap<String, (String, String)>;

/// Whether there is something to say about an object.
pub(super) fn has_values(object: &Value) -> bool {
    let kinds = ["Service", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "Gateway", "Workload"];
    object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind))
}

/// All objects, compiled.
pub(super) struct World {
    compiler: Compiler,
    mesh: Option<Object>,
}

impl World {
    pub(super) fn new(objects: Vec<Object>) -> Self {
        let is_mesh =
            |object: &&Object| matches!(object.typed(), Typed::Mesh(mesh) if mesh.metadata.name == "default");
        let mesh = objects.iter().find(is_mesh).cloned();
        let mut compiler = Compiler::new(Options::default());
        compiler.apply(&objects.into_iter().map(Change::Applied).collect::<Vec<_>>());
        Self { compiler, mesh }
    }

    /// The table of an object, under its heading.
    pub(super) fn describe(&self, object: &Value) -> Result<String, Failure> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let Some(kind) = object["kind"].as_str().and_then(Kind::from_word) else { return Ok(String::new()) };
        let key = ObjectKey::new(kind, text("namespace"), text("name"));
        let tables = match kind {
            Kind::Service => vec![(String::new(), self.service(&key))],
            Kind::HTTPRoute => self.rules(RouteKind::Http, &key, object),
            Kind::GRPCRoute => self.rules(RouteKind::Grpc, &key, object),
            Kind::TCPRoute => self.rules(RouteKind::Tcp, &key, object),
            Kind::TLSRoute => self.rules(RouteKind::Tls, &key, object),
            Kind::Gateway => self.gateway(&key)?,
            Kind::Workload => self.workload(&key)?,
            _ => Vec::new(),
        };
        let mut text = String::new();
        for (of, values) in tables.iter().filter(|(_, values)| !values.is_empty()) {
            text.push_str(&format!("Effective values{of}:\n"));
            let mut table = Table::new(&["FIELD", "VALUE", "ORIGIN"]);
            for (field, (value, origin)) in values {
                table.row([field.clone(), value.clone(), origin.clone()]);
            }
            indent(&mut text, &table.render());
        }
        Ok(text)
    }

    fn service(&self, key: &ObjectKey) -> Values {
        let held = self.compiler.service_values(&name(key));
        let mut values = Values::new();
        for (field, value) in words::settings(&held.settings) {
            values.insert(field.to_owned(), (value, origin(&held.origins, field)));
        }
        if let Some(Resource::Service(service)) = self.compiler.resource(&Key::Service(name(key))) {
            values.extend(self.said(key, &Entry::Service(name(key)), &service.overrides));
        }
        words::controlled(&mut values, "outbound", &held.outbound);
        words::controlled(&mut values, "inbound", &held.inbound);
        values
    }

    /// Each rule, for each listener or Service that has it and each Service that it leads to; what is the same
    /// everywhere stands there once.
    fn rules(&self, kind: RouteKind, key: &ObjectKey, object: &Value) -> Vec<(String, Values)> {
        let mut tables = Vec::new();
        for (index, written) in object["spec"]["rules"].as_array().into_iter().flatten().enumerate() {
            let rule = written["name"].as_str().map_or_else(|| index.to_string(), str::to_owned);
            let mut told: Vec<(String, Values)> = Vec::new();
            for held in self.compiler.rule_values(kind, &name(key), &rule) {
                let services = services(&held.rule);
                let several = services.len() > 1;
                for service in services {
                    let to = if several { format!(" to Service {service}") } else { String::new() };
                    let values = rule_values(&held, written, &self.compiler.service_values(&service));
                    told.push((format!(" at {}{to}", held.at), values));
                }
            }
            let is_same = told.iter().all(|(_, values)| *values == told[0].1);
            if is_same {
                told.truncate(1);
                told.iter_mut().for_each(|(place, _)| place.clear());
            }
            tables
                .extend(told.into_iter().map(|(place, values)| (format!(" of rule {rule}{place}"), values)));
        }
        tables
    }

    /// Each listener's policies, where they differ, and what the proxy has of the Mesh.
    fn gateway(&self, key: &ObjectKey) -> Result<Vec<(String, Values)>, Failure> {
        let mut tables: Vec<(String, Values)> = Vec::new();
        for held in self.compiler.listener_values(&name(key)) {
            let mut values = Values::new();
            if let Some(limit) = held.timeouts.request {
                let value = words::limit(Some(limit).filter(|limit| !limit.is_zero()));
                values.insert(
                    "timeouts.request".to_owned(),
                    (value, origin(&held.origins, "timeouts.request")),
                );
            }
            for (field, value) in held.retry.iter().flat_map(words::retry) {
                values.insert(field.to_owned(), (value, origin(&held.origins, field)));
            }
            words::controlled(&mut values, "inbound", &held.controlled);
            tables.push((format!(" of listener {}", held.listener), values));
        }
        if tables.iter().all(|(_, values)| *values == tables[0].1) {
            tables.truncate(1);
            tables.iter_mut().for_each(|(place, _)| place.clear());
        }
        let mut of_mesh = self.mesh_values(&["proxy", "telemetry"])?;
        self.entry(key, &Entry::Proxy, &mut of_mesh);
        match tables.as_mut_slice() {
            [(place, values)] if place.is_empty() => values.extend(of_mesh),
            _ => tables.push((String::new(), of_mesh)),
        }
        if let Some(Resource::GatewayRoutes(routes)) = self.compiler.resource(&Key::GatewayRoutes(name(key)))
        {
            let ports = routes.listeners.iter().map(|listener| (listener.port, &listener.overrides));
            tables.extend(self.ports(key, ports));
        }
        Ok(tables)
    }

    /// What policies say about all that comes in, in the place of what the Mesh says.
    fn entry(&self, key: &ObjectKey, entry: &Entry, values: &mut Values) {
        if let Some(Resource::InboundPolicy(policy)) = self.compiler.resource(&Key::InboundPolicy(name(key)))
        {
            values.extend(self.said(key, entry, &policy.overrides));
        }
    }

    fn said(&self, key: &ObjectKey, entry: &Entry, overrides: &InboundOverrides) -> Values {
        let origins = self.compiler.inbound_origins(&name(key), entry);
        let words = overrides.words().into_iter();
        words.map(|(field, value)| (format!("proxy.{field}"), (value, origin(&origins, field)))).collect()
    }

    /// What they say otherwise about single ports.
    fn ports<'a>(
        &self,
        key: &ObjectKey,
        ports: impl Iterator<Item = (u16, &'a InboundOverrides)>,
    ) -> Vec<(String, Values)> {
        let mut whole = Values::new();
        self.entry(key, &Entry::Proxy, &mut whole);
        let of = |(port, overrides): (u16, &InboundOverrides)| {
            let mut values = self.said(key, &Entry::Port(port), overrides);
            values.retain(|field, said| whole.get(field) != Some(said));
            (format!(" of port {port}"), values)
        };
        ports.map(of).collect()
    }

    fn workload(&self, key: &ObjectKey) -> Result<Vec<(String, Values)>, Failure> {
        let fields = ["proxy", "telemetry", "certificates", "defaultInboundPolicy", "mtls", "trustDomain"];
        let mut values = self.mesh_values(&fields)?;
        self.entry(key, &Entry::Proxy, &mut values);
        let mut ports = Vec::new();
        if let Some(Resource::InboundPolicy(policy)) = self.compiler.resource(&Key::InboundPolicy(name(key)))
        {
            let origin = "spec.serviceAccount".to_owned();
            values.insert("identity".to_owned(), (policy.identity.to_string(), origin));
            for policy in policy.authorization.iter() {
                let mode = if policy.dry_run { " (dry run)" } else { "" };
                let value = format!("{:?}{mode}", policy.action).to_uppercase();
                let origin = format!("AuthorizationPolicy {}", policy.name);
                values.insert(format!("authorization.{}", policy.name), (value, origin));
            }
            for inbound in &policy.controls {
                words::inbound(&mut values, inbound);
            }
            ports = self.ports(key, policy.ports.iter().map(|port| (port.port, &port.overrides)));
        }
        ports.insert(0, (String::new(), values));
        Ok(ports)
    }

    /// Settings of the Mesh: what is written there, else the default.
    fn mesh_values(&self, fields: &[&str]) -> Result<Values, Failure> {
        let spec = match self.mesh.as_ref().map(Object::typed) {
            Some(Typed::Mesh(mesh)) => mesh.spec.clone(),
            _ => MeshSpec::default(),
        };
        let effective = serde_json::to_value(spec).map_err(Failure::system)?;
        let written =
            self.mesh.as_ref().and_then(|mesh| mesh.as_map().get("spec").cloned()).unwrap_or_default();
        let mut set = Values::new();
        flatten(&mut set, "spec", &written, "");
        let set: BTreeSet<String> = set.into_keys().collect();
        let mut values = Values::new();
        for field in fields {
            flatten(&mut values, field, &effective[field], "default");
        }
        for (field, (_, origin)) in &mut values {
            let path = format!("spec.{field}");
            if set.contains(&path) {
                *origin = format!("Mesh default {path}");
            }
        }
        Ok(values)
    }
}

fn name(key: &ObjectKey) -> ObjectName {
    ObjectName::new(key.namespace.as_str(), key.name.as_str())
}

/// The Services that a rule leads to; one that does not exist has the defaults.
fn services(rule: &HttpRule) -> Vec<ObjectName> {
    let mut services: Vec<ObjectName> = Vec::new();
    for backend in &rule.backends {
        if let BackendTarget::Service { service, .. } = &backend.target
            && !services.contains(service)
        {
            services.push(service.clone());
        }
    }
    if services.is_empty() {
        services.push(ObjectName::new("", ""));
    }
    services
}

/// What holds for a rule's requests that go to one Service: the rule's own, else the Service's, as proxies decide it.
fn rule_values(held: &RuleValues, written: &Value, service: &ServiceValues) -> Values {
    let rule = &held.rule;
    let own = format!("rule {}", rule.name.rule);
    let said = |path: &[&str]| path.iter().try_fold(written, |value, name| value.get(name)).is_some();
    let of = |is_own: bool, is_rules: bool, field: &str| match (is_own, is_rules) {
        (true, _) => own.clone(),
        (false, true) => origin(&held.origins, field),
        (false, false) => origin(&service.origins, field),
    };
    let mut values = Values::new();
    let mut put = |field: &str, value: String, origin: String| {
        values.insert(field.to_owned(), (value, origin));
    };
    if matches!(rule.name.kind, RouteKind::Tcp | RouteKind::Tls) {
        let connection = ["timeouts.connect", "timeouts.idle"];
        let settings = words::settings(&service.settings);
        for (field, value) in settings.into_iter().filter(|(field, _)| connection.contains(field)) {
            put(field, value, of(false, false, field));
        }
    } else {
        let request = words::limit(request_limit(rule.timeouts, &service.settings));
        let is_rules = rule.timeouts.request.is_some();
        put("timeouts.request", request, of(said(&["timeouts", "request"]), is_rules, "timeouts.request"));
        let is_rules = rule.retry.is_some();
        for (field, value) in words::retry(rule.retry.as_ref().unwrap_or(&service.settings.retry)) {
            let standard = match field {
                "retry.attempts" => "attempts",
                "retry.on" => "codes",
                "retry.backoff" => "backoff",
                _ => "-",
            };
            put(field, value, of(said(&["retry", standard]), is_rules, field));
        }
        if let Some(limit) = rule.timeouts.backend_request {
            let limit = words::limit(try_limit(rule.timeouts, Some(limit)));
            put("retry.perTryTimeout", limit, format!("{own} timeouts.backendRequest"));
        }
    }
    words::controlled(&mut values, "here", &nearest(&held.controlled, &service.outbound));
    values
}

/// A rule's limits and faults, else its Service's, as proxies have it.
fn nearest(rule: &Controlled, service: &Controlled) -> Controlled {
    let mut nearest = rule.clone();
    if nearest.controls.limits.is_none() {
        nearest.controls.limits.clone_from(&service.controls.limits);
        nearest.limits.clone_from(&service.limits);
    }
    if nearest.controls.faults.is_none() {
        nearest.controls.faults.clone_from(&service.controls.faults);
        nearest.faults.clone_from(&service.faults);
    }
    nearest
}

/// Whose word a field, or a part of it, is.
fn origin(origins: &Origins, field: &str) -> String {
    let below = format!("{field}.");
    let found = origins
        .get(field)
        .or_else(|| origins.iter().find(|(path, _)| path.starts_with(&below)).map(|(_, origin)| origin));
    found.cloned().unwrap_or_else(|| "default".to_owned())
}

/// Every value below a field, each under its path; a list is one value.
fn flatten(values: &mut Values, path: &str, value: &Value, origin: &str) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(values, &format!("{path}.{name}"), value, origin);
            }
        }
        Value::String(text) => {
            values.insert(path.to_owned(), (text.clone(), origin.to_owned()));
        }
        Value::Array(items) => {
            let plain = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            let text = items.iter().map(plain).collect::<Vec<_>>().join(", ");
            values.insert(path.to_owned(), (text, origin.to_owned()));
        }
        other => {
            values.insert(path.to_owned(), (other.to_string(), origin.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests;
