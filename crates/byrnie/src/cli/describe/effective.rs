//! Effective values of an object, defaults included, each with its origin.

use std::collections::{BTreeMap, BTreeSet};

use byrnie_api::kinds::MeshSpec;
use byrnie_api::{Kind, Object, ObjectKey, Typed};
use byrnie_mesh::{Change, Compiler, Holding, Options};
use serde_json::Value;

use super::indent;
use crate::cli::failure::Failure;
use crate::output::table::Table;

/// What a Service without any TrafficPolicy has, by field. A test compares it with what the compiler makes of none.
pub(super) const TRAFFIC_DEFAULTS: [(&str, &str); 20] = [
    ("balancer.type", "peakEwma"),
    ("timeouts.connect", "1s"),
    ("timeouts.request", "none"),
    ("timeouts.idle", "none"),
    ("retry.attempts", "2"),
    ("retry.on", "what was not processed"),
    ("retry.perTryTimeout", "none"),
    ("retry.backoff", "25ms"),
    ("retry.backoffMax", "250ms"),
    ("retry.budget.percent", "20"),
    ("retry.budget.minPerSecond", "3"),
    ("limits.maxConnections", "1024"),
    ("limits.maxPending", "1024"),
    ("limits.maxInFlight", "1024"),
    ("outlierEjection", "never"),
    ("slowStart", "none"),
    ("locality", "none"),
    ("retry.otherLocality", "false"),
    ("retryAfterMax", "30s"),
    ("sessionPersistence", "none"),
];
/// Settings of a TrafficPolicy whose parts are settings of their own.
const JOINED: [&str; 2] = ["timeouts", "limits"];

/// Value and origin by field.
type Values = BTreeMap<String, (String, String)>;

/// Whether there is something to say about an object.
pub(super) fn has_values(object: &Value) -> bool {
    let kinds = ["Service", "HTTPRoute", "GRPCRoute", "Gateway", "Workload"];
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
            Kind::HTTPRoute | Kind::GRPCRoute => self.rules(&key, object),
            Kind::Gateway => vec![(String::new(), self.gateway(&key)?)],
            Kind::Workload => vec![(String::new(), self.workload(&key)?)],
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
        let mut values = settle(&self.compiler.policies_for(key, None));
        for (field, value) in TRAFFIC_DEFAULTS {
            fill(&mut values, field, value);
        }
        values
    }

    /// The policies of the first Gateway that a route is attached to, and of the listener that it names.
    fn of_gateway(&self, key: &ObjectKey, route: &Value) -> Vec<Holding> {
        let parents = route["spec"]["parentRefs"].as_array().into_iter().flatten();
        let mut gateways = parents.filter(|parent| parent["kind"].as_str().unwrap_or("Gateway") == "Gateway");
        let Some(parent) = gateways.next() else { return Vec::new() };
        let namespace = parent["namespace"].as_str().unwrap_or(&key.namespace);
        let gateway = ObjectKey::new(Kind::Gateway, namespace, parent["name"].as_str().unwrap_or_default());
        self.compiler.policies_for(&gateway, parent["sectionName"].as_str())
    }

    /// Each rule: what it says itself, else the policies of rule and route, of its Gateway, of its first backend's
    /// Service.
    fn rules(&self, key: &ObjectKey, object: &Value) -> Vec<(String, Values)> {
        let rules = object["spec"]["rules"].as_array().cloned().unwrap_or_default();
        let mut tables = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let name = rule["name"].as_str().map_or_else(|| index.to_string(), str::to_owned);
            let own = format!("rule {name}");
            let mut values = Values::new();
            for field in ["timeouts", "retry"] {
                flatten(&mut values, field, &rule[field], &own);
            }
            let mut held = self.compiler.policies_for(key, Some(&name));
            held.extend(self.of_gateway(key, object));
            let backend = &rule["backendRefs"][0];
            if let Some(service) = backend["name"].as_str() {
                let namespace = backend["namespace"].as_str().unwrap_or(&key.namespace);
                held.extend(
                    self.compiler.policies_for(&ObjectKey::new(Kind::Service, namespace, service), None),
                );
            }
            // A rule's retry is one setting, as a policy's is.
            let has_retry = rule["retry"].is_object();
            let mut settled = settle(&held);
            settled.retain(|field, _| {
                let of_request = ["timeouts.request", "retry.", "rateLimits.", "faults."]
                    .iter()
                    .any(|prefix| field.starts_with(prefix));
                of_request && !(has_retry && field.starts_with("retry."))
            });
            for (field, value) in settled {
                values.entry(field).or_insert(value);
            }
            let requests = TRAFFIC_DEFAULTS.iter().filter(|(field, _)| {
                *field == "timeouts.request" || (field.starts_with("retry.") && !has_retry)
            });
            for (field, value) in requests {
                fill(&mut values, field, value);
            }
            tables.push((format!(" of rule {name}"), values));
        }
        tables
    }

    fn gateway(&self, key: &ObjectKey) -> Result<Values, Failure> {
        let mut values = settle(&self.compiler.policies_for(key, None));
        values.extend(self.mesh_values(&["proxy", "telemetry"])?);
        Ok(values)
    }

    fn workload(&self, key: &ObjectKey) -> Result<Values, Failure> {
        let fields = ["proxy", "telemetry", "certificates", "defaultInboundPolicy", "mtls", "trustDomain"];
        let mut values = self.mesh_values(&fields)?;
        let name = byrnie_plan::ObjectName::new(key.namespace.as_str(), key.name.as_str());
        if let Some(byrnie_plan::Resource::InboundPolicy(policy)) =
            self.compiler.resource(&byrnie_plan::Key::InboundPolicy(name))
        {
            let origin = "spec.serviceAccount".to_owned();
            values.insert("identity".to_owned(), (policy.identity.to_string(), origin));
            for policy in &policy.authorization {
                let mode = if policy.dry_run { " (dry run)" } else { "" };
                let value = format!("{:?}{mode}", policy.action).to_uppercase();
                let origin = format!("AuthorizationPolicy {}", policy.name);
                values.insert(format!("authorization.{}", policy.name), (value, origin));
            }
        }
        Ok(values)
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

/// What the policies come to: each setting of the nearest one that has it.
fn settle(held: &[Holding]) -> Values {
    let mut values = Values::new();
    let mut settled = BTreeSet::new();
    for holding in held {
        let origin = format!("{} ({})", holding.policy, holding.place);
        for (field, value) in holding.spec.as_object().into_iter().flatten() {
            if field == "targetRefs" {
                continue;
            }
            let parts = value.as_object().filter(|_| JOINED.contains(&field.as_str()));
            match parts {
                Some(parts) => {
                    for (part, value) in parts {
                        let path = format!("{field}.{part}");
                        if settled.insert(path.clone()) {
                            flatten(&mut values, &path, value, &origin);
                        }
                    }
                }
                None => {
                    if settled.insert(field.clone()) {
                        flatten(&mut values, field, value, &origin);
                    }
                }
            }
        }
    }
    values
}

/// A default, unless the field or a part of it has a value.
fn fill(values: &mut Values, field: &str, default: &str) {
    let part = format!("{field}.");
    if !values.contains_key(field) && !values.keys().any(|known| known.starts_with(&part)) {
        values.insert(field.to_owned(), (default.to_owned(), "default".to_owned()));
    }
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
mod tests {
    use super::*;

    const OBJECTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: near, namespace: shop}
spec: {targetRefs: [{kind: Service, name: web}], timeouts: {request: 5s}, retry: {attempts: 1}}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: far, namespace: shop}
spec:
  targetRefs: [{kind: Namespace, name: shop}]
  timeouts: {request: 9s, connect: 3s}
  retry: {attempts: 7, backoff: 1ms}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - name: own
    timeouts: {request: 1s}
    retry: {attempts: 3, codes: [503, 504]}
    backendRefs: [{name: web, port: 80}]
  - backendRefs: [{name: web, port: 80}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {name: web-1, namespace: shop}
spec: {serviceAccount: web}
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {defaultInboundPolicy: deny, proxy: {detectTimeout: 2s}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: outside, namespace: shop}
spec:
  parentRefs: [{name: front, sectionName: http}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: edge, namespace: shop}
spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}], timeouts: {request: 2s}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {gatewayClassName: byrnie, listeners: [{name: http, port: 8080, protocol: HTTP}]}
";

    fn world() -> (World, Vec<Object>) {
        let reading = byrnie_api::read_documents(OBJECTS, "f.yaml");
        assert_eq!(reading.findings, []);
        let objects: Vec<Object> = reading.objects.into_iter().map(|(object, _)| object).collect();
        (World::new(objects.clone()), objects)
    }

    fn described(index: usize) -> String {
        let (world, objects) = world();
        world.describe(&objects[index].to_value()).unwrap()
    }

    fn row(text: &str, field: &str) -> String {
        let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{field} ")));
        let words: Vec<&str> =
            line.unwrap_or_else(|| panic!("no {field} in {text}")).split_whitespace().collect();
        words.join(" ")
    }

    #[test]
    fn settings_of_a_service_name_their_policies() {
        let text = described(0);
        for (field, expected) in [
            ("timeouts.request", "timeouts.request 5s TrafficPolicy shop/near (Service shop/web)"),
            ("timeouts.connect", "timeouts.connect 3s TrafficPolicy shop/far (Namespace shop)"),
            ("timeouts.idle", "timeouts.idle none default"),
            ("retry.attempts", "retry.attempts 1 TrafficPolicy shop/near (Service shop/web)"),
            // The nearer policy's retry holds as a whole.
            ("retry.backoff", "retry.backoff 25ms default"),
            ("balancer.type", "balancer.type peakEwma default"),
        ] {
            assert_eq!(row(&text, field), expected);
        }
    }

    #[test]
    fn rules_say_it_themselves_or_take_it_from_afar() {
        let text = described(3);
        let (own, other) = text.split_once("Effective values of rule 1:").unwrap();
        assert!(own.starts_with("Effective values of rule own:\n"), "{own}");
        assert_eq!(row(own, "timeouts.request"), "timeouts.request 1s rule own");
        assert_eq!(row(own, "retry.codes"), "retry.codes 503, 504 rule own");
        assert!(!own.contains("retry.backoff"), "{own}");
        assert_eq!(
            row(other, "timeouts.request"),
            "timeouts.request 5s TrafficPolicy shop/near (Service shop/web)"
        );
    }

    #[test]
    fn a_gateway_is_nearer_than_the_service_behind_it() {
        let text = described(6);
        let request = "timeouts.request 2s TrafficPolicy shop/edge (Gateway shop/front)";
        assert_eq!(row(&text, "timeouts.request"), request);
        assert_eq!(
            row(&text, "retry.attempts"),
            "retry.attempts 1 TrafficPolicy shop/near (Service shop/web)"
        );
        assert_eq!(row(&described(8), "timeouts.request"), request);
    }

    #[test]
    fn what_a_workload_has_of_the_mesh() {
        let text = described(4);
        assert_eq!(
            row(&text, "identity"),
            "identity spiffe://cluster.local/ns/shop/sa/web spec.serviceAccount"
        );
        assert_eq!(
            row(&text, "defaultInboundPolicy"),
            "defaultInboundPolicy deny Mesh default spec.defaultInboundPolicy"
        );
        assert_eq!(
            row(&text, "proxy.detectTimeout"),
            "proxy.detectTimeout 2s Mesh default spec.proxy.detectTimeout"
        );
        assert_eq!(row(&text, "certificates.lifetime"), "certificates.lifetime 24h default");
    }

    /// The defaults shown are those that the compiler fills in.
    #[test]
    fn the_defaults_are_the_compilers() {
        let of = byrnie_plan::TrafficSettings::default();
        let shown: BTreeMap<&str, &str> = TRAFFIC_DEFAULTS.into_iter().collect();
        assert_eq!(shown["timeouts.connect"], format!("{:?}", of.connect_timeout));
        assert_eq!(shown["retry.attempts"], of.retry.attempts.to_string());
        assert_eq!(shown["retry.backoff"], format!("{:?}", of.retry.backoff));
        assert_eq!(shown["retry.backoffMax"], format!("{:?}", of.retry.backoff_max));
        assert_eq!(shown["retry.budget.percent"], of.retry.budget.percent.to_string());
        assert_eq!(shown["retry.budget.minPerSecond"], of.retry.budget.min_per_second.to_string());
        assert_eq!(shown["limits.maxConnections"], of.limits.max_connections.to_string());
        assert_eq!(shown["limits.maxPending"], of.limits.max_pending.to_string());
        assert_eq!(shown["limits.maxInFlight"], of.limits.max_in_flight.to_string());
        assert_eq!((of.request_timeout, of.idle_timeout, of.retry.per_try_timeout), (None, None, None));
        assert!(of.outlier.is_none() && of.slow_start.is_none());
        assert!(of.locality.is_none() && of.session.is_none() && !of.retry.other_locality);
        assert_eq!(shown["retryAfterMax"], format!("{:?}", of.retry_after_max));
        assert_eq!(of.balancer, byrnie_plan::Balancer::PeakEwma);
    }
}
