//! Any sequence of changes, in any batching, gives exactly what one compile of the end state gives.

use std::collections::BTreeMap;

use byrnie_api::{Object, ObjectKey};
use byrnie_plan::{Key, Resource};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Kind, name, and the shapes that the object may have: labels and spec.
type Kin = (&'static str, &'static str, Vec<(Value, Value)>);

/// Every object of a small world, in several shapes each, chosen so that they meet: same ports, names,
/// targets.
#[expect(clippy::too_many_lines, reason = "a table")]
fn universe() -> Vec<Kin> {
    let none = json!({});
    let plain =
        |specs: Vec<Value>| -> Vec<(Value, Value)> { specs.into_iter().map(|s| (json!({}), s)).collect() };
    let mut all = Vec::new();
    for name in ["a/s", "a/t", "b/s"] {
        all.push((
            "Service",
            name,
            plain(vec![
                json!({"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": "http"}]}),
                json!({"selector": {"app": "x", "v": "1"}, "ports": [{"port": 80, "appProtocol": "grpc"},
                {"name": "y", "port": 81}]}),
                json!({"selector": {"app": "y"}, "ports": [{"port": 81, "targetPort": 80}]}),
                json!({"clusterIP": "None", "ports": [{"port": 80}]}),
                json!({"type": "ExternalName", "externalName": "a.b"}),
            ]),
        ));
    }
    for name in ["a/w1", "a/w2", "b/w1", "a/g"] {
        let ports = json!([{"name": "http", "port": 80}]);
        all.push((
            "Workload",
            name,
            vec![
                (json!({"app": "x", "v": "1"}), json!({"ports": ports})),
                (json!({"app": "x"}), json!({"ports": ports, "proxy": "none"})),
                (
                    json!({"app": "y"}),
                    json!({"ports": ports, "serviceAccount": "y",
                "upstreams": [{"service": "b/s", "port": 80}, {"service": "t"}]}),
                ),
            ],
        ));
    }
    for name in ["a/g", "b/g"] {
        let from_all = json!({"namespaces": {"from": "All"}});
        let by_label = json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"t": "1"}}}});
        all.push((
            "Gateway",
            name,
            plain(vec![
                json!({"gatewayClassName": "byrnie", "listeners": [{"name": "l", "port": 80,
                "protocol": "HTTP", "allowedRoutes": from_all}]}),
                json!({"gatewayClassName": "byrnie", "listeners": [
                {"name": "l", "port": 80, "protocol": "HTTP", "hostname": "*.a.com",
                    "allowedRoutes": by_label},
                {"name": "m", "port": 80, "protocol": "HTTP"}, {"name": "t", "port": 81,
                    "protocol": "TCP"}]}),
                json!({"gatewayClassName": "c", "addresses": [{"value": "127.0.0.2"}],
                "listeners": [{"name": "l", "port": 80, "protocol": "TCP"}]}),
                json!({"gatewayClassName": "byrnie", "listeners": [{"name": "l", "port": 81,
                "protocol": "HTTPS"}], "allowedListeners": {"namespaces": {"from": "All"}}}),
                json!({"gatewayClassName": "byrnie", "allowedListeners": {"namespaces": {"from": "Same"}},
                "listeners": [{"name": "l", "port": 80, "protocol": "HTTP", "allowedRoutes": from_all},
                {"name": "p", "port": 82, "protocol": "TLS", "tls": {"mode": "Passthrough"},
                    "hostname": "*.a.com", "allowedRoutes": from_all}]}),
                json!({"gatewayClassName": "byrnie", "tls": {"frontend": {"default": {}}},
                "listeners": [{"name": "l", "port": 80, "protocol": "HTTP"}]}),
            ]),
        ));
    }
    for name in ["a/set", "b/set"] {
        let to = |gateway: &str| json!({"name": gateway, "namespace": "a"});
        all.push((
            "ListenerSet",
            name,
            plain(vec![
                json!({"parentRef": to("g"), "listeners": [{"name": "l", "port": 80, "protocol": "HTTP",
                "hostname": "b.com", "allowedRoutes": {"namespaces": {"from": "All"}}}]}),
                json!({"parentRef": to("g"), "listeners": [{"name": "t", "port": 81, "protocol": "TCP"},
                {"name": "l", "port": 80, "protocol": "HTTP", "hostname": "b.com"}]}),
                json!({"parentRef": to("none"), "listeners": [{"name": "l", "port": 80,
                "protocol": "HTTP"}]}),
            ]),
        ));
    }
    all.push((
        "ServiceSubset",
        "a/part",
        plain(vec![
            json!({"service": "s", "labels": {"v": "1"}}),
            json!({"service": "t", "labels": {"app": "x"}}),
        ]),
    ));
    all.push((
        "UDPRoute",
        "a/u",
        plain(vec![
            json!({"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [{"name": "s", "port": 80}]}]}),
            json!({"parentRefs": [{"name": "set", "kind": "ListenerSet"}],
            "rules": [{"backendRefs": [{"name": "s", "port": 80}]}]}),
        ]),
    ));
    all.push((
        "BackendTLSPolicy",
        "a/tls",
        plain(vec![
            json!({"targetRefs": [{"group": "", "kind": "Service", "name": "s"}],
            "validation": {"hostname": "a.b", "wellKnownCACertificates": "System"}}),
            json!({"targetRefs": [{"group": "", "kind": "Service", "name": "t", "sectionName": "y"}],
            "validation": {"hostname": "a.b", "wellKnownCACertificates": "System"}}),
        ]),
    ));
    let service = |name: &str, namespace: &str| {
        json!({"group": "", "kind": "Service", "name": name,
        "namespace": namespace})
    };
    let gateway = |name: &str, namespace: &str| json!({"name": name, "namespace": namespace});
    let rules = json!([
        {"matches": [{"path": {"value": "/p"}}, {"method": "GET"}], "backendRefs": [{"name": "s",
            "port": 80}, {"name": "s", "namespace": "b", "port": 80}]},
        {"backendRefs": [{"name": "t", "port": 81, "weight": 0}]},
    ]);
    for (kind, name) in [
        ("HTTPRoute", "a/r"),
        ("HTTPRoute", "b/r"),
        ("HTTPRoute", "a/q"),
        ("GRPCRoute", "a/r"),
        ("TCPRoute", "a/r"),
        ("TLSRoute", "a/r"),
        ("TLSRoute", "b/r"),
    ] {
        let rules = if kind == "HTTPRoute" {
            rules.clone()
        } else {
            json!([{"backendRefs": [{"name": "s", "port": 80},
                {"group": "mesh.byrnie.dev", "kind": "ServiceSubset", "name": "part", "port": 80}]}])
        };
        let mut specs = vec![
            json!({"parentRefs": [service("s", "a"), gateway("g", "a")], "rules": rules}),
            json!({"parentRefs": [gateway("g", "b"), service("s", "b")], "rules": rules}),
            json!({"parentRefs": [gateway("g", "a"), gateway("g", "b")], "rules": rules}),
        ];
        let set = |namespace: &str| json!({"kind": "ListenerSet", "name": "set", "namespace": namespace});
        specs.push(json!({"parentRefs": [set("a"), set("b"), gateway("g", "a")], "rules": rules}));
        if kind == "TLSRoute" {
            specs.iter_mut().for_each(|spec| spec["hostnames"] = json!(["y.a.com"]));
        }
        if kind != "TCPRoute" {
            specs[1]["hostnames"] = json!(["x.a.com"]);
            specs[2]["hostnames"] = json!(["*.a.com", "b.com"]);
        }
        if kind == "HTTPRoute" {
            specs.push(json!({"parentRefs": [service("s", "a"), service("t", "a")], "rules": [
                {"matches": [{"path": {"type": "RegularExpression", "value": "(("}}]},
                {"filters": [{"type": "CORS", "cors": {"allowOrigins": ["*"]}}]}]}));
        }
        all.push((kind, name, plain(specs)));
    }
    for name in ["a/p", "a/o", "b/p"] {
        all.push((
            "TrafficPolicy",
            name,
            plain(vec![
                json!({"targetRefs": [{"kind": "Service", "name": "s"}], "retry": {"attempts": 1}}),
                json!({"targetRefs": [{"kind": "Namespace", "name": "a"}, {"kind": "Service", "name": "t"}],
                "slowStart": "1s"}),
                json!({"targetRefs": [{"kind": "HTTPRoute", "name": "r"}, {"kind": "Gateway", "name": "g",
                "sectionName": "m"}], "retry": {"attempts": 3}, "balancer": {"type": "random"}}),
                json!({"targetRefs": [{"kind": "HTTPRoute", "name": "r", "sectionName": "0"},
                {"kind": "Gateway", "name": "g"}, {"kind": "Mesh", "name": "default"}],
                "timeouts": {"request": "1s", "connect": "2s"}}),
            ]),
        ));
        all.push((
            "RateLimitPolicy",
            name,
            plain(vec![
                json!({"targetRefs": [{"kind": "Service", "name": "s"}, {"kind": "Mesh", "name": "default"}],
                    "limits": [{"requests": 1}]}),
                json!({"targetRefs": [{"kind": "Workload", "name": "w1"}, {"kind": "HTTPRoute", "name": "r"}],
                    "limits": [{"connections": 1, "matches": [{"identities": ["a/b"]}]}]}),
                json!({"targetRefs": [{"kind": "Gateway", "name": "g"}, {"kind": "TCPRoute", "name": "r"}],
                    "direction": "outbound", "limits": [{"requests": 2}]}),
            ]),
        ));
        all.push((
            "FaultPolicy",
            name,
            plain(vec![
                json!({"targetRefs": [{"kind": "Service", "name": "s"}, {"kind": "Namespace", "name": "a"}],
                    "expires": "1s", "faults": [{"abort": {"httpStatus": 503}}]}),
                json!({"targetRefs": [{"kind": "HTTPRoute", "name": "r", "sectionName": "0"}],
                    "direction": "inbound", "expires": "3s", "faults": [{"delay": {"fixed": "1s"}}]}),
            ]),
        ));
        all.push(("AuthorizationPolicy", name, plain(vec![
            json!({"targetRefs": [{"kind": "Service", "name": "s"}], "action": "DENY", "rules": [{}]}),
            json!({"targetRefs": [{"kind": "Mesh", "name": "default"}, {"kind": "Gateway", "name": "g"}]}),
            json!({"selector": {"matchLabels": {"app": "x"}},
                "rules": [{"from": [{"identities": ["a/b"]}]}]}),
            json!({"targetRefs": [{"kind": "Workload", "name": "w1"}, {"kind": "Pod", "name": "x"}]}),
        ])));
    }
    all.push((
        "GatewayClass",
        "byrnie",
        plain(vec![json!({"controllerName": "x.y/z"}), json!({"controllerName": crate::CONTROLLER_NAME})]),
    ));
    all.push(("GatewayClass", "c", plain(vec![json!({"controllerName": crate::CONTROLLER_NAME})])));
    all.push(("Namespace", "b", vec![(json!({"t": "1"}), none.clone()), (none.clone(), none.clone())]));
    all.push(("Namespace", "a", vec![(json!({"t": "1"}), none)]));
    all.push((
        "Mesh",
        "default",
        plain(vec![
            json!({"trustDomain": "x.org"}),
            json!({"defaultInboundPolicy": "deny", "proxy": {"upstreamLimit": 1}}),
        ]),
    ));
    all.push(("Mesh", "other", plain(vec![json!({})])));
    all.push((
        "ReferenceGrant",
        "b/grant",
        plain(vec![
            json!({"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "a"}],
            "to": [{"group": "", "kind": "Service"}]}),
        ]),
    ));
    all
}

/// One step: which object, its shape (`None`: deleted), its age, and whether a batch ends here.
#[derive(Clone, Debug)]
struct Step {
    object: prop::sample::Index,
    shape: Option<prop::sample::Index>,
    created: i64,
    reported: bool,
    ends: bool,
    /// Seconds that pass before the batch.
    passes: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let flags = (any::<bool>(), any::<bool>(), prop::sample::select(vec![0_i64, 0, 0, 1]));
    (index(), prop::option::weighted(0.75, index()), 0..3_i64, flags).prop_map(
        |(object, shape, created, (reported, ends, passes))| Step {
            object,
            shape,
            created,
            reported,
            ends,
            passes,
        },
    )
}

fn change(step: &Step, universe: &[Kin]) -> (ObjectKey, Option<Object>) {
    let (kind, name, shapes) = step.object.get(universe);
    let (labels, spec) = step.shape.map_or(&shapes[0], |shape| shape.get(shapes));
    let mut object = with_labels(kind, name, step.created, labels.clone(), spec.clone());
    if *kind == "Workload" && step.reported {
        let status = json!({"proxy": {"meshAddress": "127.0.0.1:4000", "run": RUN}});
        object = object.with_status(Some(status)).unwrap();
    }
    (object.key(), step.shape.map(|_| object))
}

proptest! {
    // PROPTEST_CASES runs more of them.
    #[test]
    fn any_sequence_equals_one_compile_of_the_end_state(steps in prop::collection::vec(step(), 1..60)) {
        let universe = universe();
        let mut compiler = transparent();
        let mut seen: BTreeMap<Key, Resource> = compiler.resources().map(|r| (r.key(), r.clone())).collect();
        let mut said: BTreeMap<ObjectKey, Value> = BTreeMap::new();
        let mut end: BTreeMap<ObjectKey, Object> = BTreeMap::new();
        let mut batch = Vec::new();
        let mut now = 0;
        for (index, step) in steps.iter().enumerate() {
            let (key, object) = change(step, &universe);
            match object {
                Some(object) => {
                    end.insert(key, object.clone());
                    batch.push(Change::Applied(object));
                }
                None => {
                    end.remove(&key);
                    // An object that is gone takes its status along.
                    said.remove(&key);
                    batch.push(Change::Deleted(key));
                }
            }
            if step.ends || index + 1 == steps.len() {
                now += step.passes;
                let mut output = compiler.advance(jiff::Timestamp::from_second(now).unwrap());
                // An object that is gone by now told of its end for nothing.
                output.statuses.retain(|status| end.contains_key(&status.key));
                let applied = compiler.apply(&std::mem::take(&mut batch));
                for output in [output, applied] {
                for update in output.updates {
                    prop_assert_ne!(seen.get(&update.key), update.resource.as_ref(), "only what differs");
                    match update.resource {
                        Some(resource) => {
                            prop_assert_eq!(resource.key(), update.key.clone());
                            seen.insert(update.key, resource);
                        }
                        None => {
                            seen.remove(&update.key);
                        }
                    }
                }
                for status in output.statuses {
                    said.insert(status.key, status.status);
                }
                }
            }
        }
        said.retain(|_, status| *status != json!({}));
        let objects: Vec<Object> = end.into_values().collect();
        let mut fresh = transparent();
        fresh.advance(jiff::Timestamp::from_second(now).unwrap());
        apply(&mut fresh, &objects);
        prop_assert_eq!(state(&compiler), state(&fresh));
        // Facts may differ: which label a selector is looked up by depends on how rare it was at the time.
        prop_assert_eq!(compiler.size().0, fresh.size().0, "nothing is kept of what is gone");
        let resources: BTreeMap<Key, Resource> = fresh.resources().map(|r| (r.key(), r.clone())).collect();
        prop_assert_eq!(seen, resources, "the updates add up to the resources");
        let statuses: BTreeMap<ObjectKey, Value> =
            fresh.statuses().map(|s| (s.key.clone(), s.status.clone())).collect();
        prop_assert_eq!(said, statuses, "the status updates add up to the statuses");
    }
}
