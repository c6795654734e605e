//! Every refusal: file, line, field path, code.

use byrnie_api::{Severity, codes, read_bytes, read_documents};

/// The errors of a text as `line path code`.
fn errors(text: &str) -> Vec<String> {
    let reading = read_documents(text, "f.yaml");
    let errors = reading.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors
        .map(|finding| {
            let location = finding.location.as_ref().unwrap();
            assert_eq!(location.file, "f.yaml");
            assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding}");
            format!("{} {} {}", location.line, finding.field, finding.code)
        })
        .collect()
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    assert_eq!(errors(text), expected, "{text}");
    let named = text.contains("name: x") && !text.contains("---");
    assert!(!named || read_documents(text, "f").objects.is_empty());
}

fn workload(spec: &str) -> String {
    format!("apiVersion: mesh.byrnie.dev/v1alpha1\nkind: Workload\nmetadata: {{name: x}}\nspec:\n  {spec}\n")
}

fn service(ports: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: x}}\nspec:\n  ports: {ports}\n")
}

fn rule(rule: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: x}}\nspec:\n  rules:\n  - {rule}\n"
    )
}

fn gateway(listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: x}}\nspec:\n  gatewayClassName: byrnie\n  listeners: {listeners}\n"
    )
}

fn traffic(spec: &str) -> String {
    format!(
        "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: x}}\nspec:\n  targetRefs: [{{kind: Service, name: a}}]\n  {spec}\n"
    )
}

fn authorization(spec: &str) -> String {
    format!(
        "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: x}}\nspec:\n  {spec}\n"
    )
}

#[test]
fn documents() {
    refused("a: [", &["1  BYR0001"]);
    refused("a: &a [*a]\n", &["1  BYR0001"]);
    refused("a: b: c", &["1  BYR0001"]);
    refused("a: 1\na: 2\n", &["2  BYR0001"]);
    refused("- a\n", &["1  BYR0006"]);
    refused("text", &["1  BYR0006"]);
    refused("kind: Service\n", &["1 apiVersion BYR0007"]);
    refused("apiVersion: v1\nmetadata: {name: x}\n", &["1 kind BYR0007"]);
    refused("apiVersion: v1\nkind: 5\n", &["2 kind BYR0007"]);
    refused("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", &["2 kind BYR0008"]);
    refused(
        "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: Wrokload\nmetadata: {name: x}\n",
        &["2 kind BYR0008"],
    );
    refused(
        "apiVersion: networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: x}\n",
        &["1 apiVersion BYR0009"],
    );
    refused("apiVersion: v1\nkind: List\nitems: 5\n", &["1  BYR0012"]);
    refused("apiVersion: v1\nkind: DenyList\n", &["2 kind BYR0008"]);
    // What is good beside a refusal is read.
    let reading = read_documents("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\nkind: x\n", "f");
    assert_eq!((reading.objects.len(), reading.findings.len()), (1, 1));
    let nothing = read_documents("# nothing\n", "f");
    assert_eq!(nothing.findings[0].code, codes::NO_OBJECTS);
    let twice = read_documents(
        "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n",
        "f",
    );
    assert_eq!((twice.objects.len(), twice.findings[0].code), (2, codes::DUPLICATE_OBJECT));
    let latin = read_bytes(b"a: 1\nb: \xe4\n", "f");
    assert_eq!(
        (latin.findings[0].code, latin.findings[0].location.as_ref().unwrap().line),
        (codes::MALFORMED, 2)
    );
}

#[test]
fn metadata() {
    let namespace = |metadata: &str| format!("apiVersion: v1\nkind: Namespace\n{metadata}\n");
    refused(&namespace(""), &["1 metadata BYR0013"]);
    refused(&namespace("metadata: {}"), &["3 metadata.name BYR0013"]);
    refused(&namespace("metadata:"), &["3 metadata.name BYR0013"]);
    refused(&namespace("metadata: [a]"), &["3 metadata BYR0012"]);
    refused(&namespace("metadata: {name: 5}"), &["3 metadata.name BYR0012"]);
    refused(&namespace("metadata: {name: A}"), &["3 metadata.name BYR0018"]);
    refused(&namespace("metadata: {name: a.b}"), &["3 metadata.name BYR0018"]);
    refused(&namespace("metadata: {name: x, namespace: b}"), &["3 metadata.namespace BYR0019"]);
    refused(&namespace("metadata: {name: x, lables: {a: b}}"), &["3 metadata.lables BYR0010"]);
    refused(&namespace("metadata:\n  name: x\n  labels: {a: 5}"), &["5 metadata.labels.a BYR0012"]);
    refused(
        &namespace("metadata:\n  name: x\n  labels: {a/b/c: x, b: 'a b'}"),
        &["5 metadata.labels[a/b/c] BYR0020", "5 metadata.labels[b] BYR0020"],
    );
    refused(
        &namespace("metadata:\n  name: x\n  annotations: {'a b': x}"),
        &["5 metadata.annotations[a b] BYR0020"],
    );
    refused(
        "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: A}\nspec: {ports: [{port: 1}]}\n",
        &["3 metadata.namespace BYR0019"],
    );
    refused(
        "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: Mesh\nmetadata: {name: x}\n",
        &["3 metadata.name BYR0055"],
    );
}

#[test]
fn schema() {
    refused(&service("[{port: 80}]\n  seletcor: {a: b}"), &["6 spec.seletcor BYR0010"]);
    refused(&service("[{port: 80, sourcePort: 1}]"), &["5 spec.ports[0].sourcePort BYR0010"]);
    refused(&service("[{name: a}]"), &["5 spec.ports[0].port BYR0013"]);
    refused(&service("{port: 80}"), &["5 spec.ports BYR0012"]);
    refused(&service("[{port: '80'}]"), &["5 spec.ports[0].port BYR0012"]);
    refused(&service("[{port: 80.5}]"), &["5 spec.ports[0].port BYR0012"]);
    refused(&service("[{port: 0}]"), &["5 spec.ports[0].port BYR0016"]);
    refused(&service("\n  - port: 80\n  - port: 65536\n    name: b"), &["7 spec.ports[1].port BYR0016"]);
    refused(&service("[{port: 80, protocol: tcp}]"), &["5 spec.ports[0].protocol BYR0014"]);
    refused(&service("[{port: 80, targetPort: [1]}]"), &["5 spec.ports[0].targetPort BYR0012"]);
    refused(&service("[null]"), &["5 spec.ports[0] BYR0012"]);
    refused(
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80}]}\nstat: 1\n",
        &["5 stat BYR0010"],
    );
    refused(&workload("address: localhost"), &["5 spec.address BYR0044"]);
    refused(&workload("proxy: Sidecar"), &["5 spec.proxy BYR0014"]);
    refused(&workload("httpProxy: 'true'"), &["5 spec.httpProxy BYR0012"]);
    refused(&workload("env: {A: 5}"), &["5 spec.env.A BYR0012"]);
    refused(&workload("weight: -1"), &["5 spec.weight BYR0016"]);
    refused(&workload("ports: [{port: 80, name: averyveryverylongname}]"), &["5 spec.ports[0].name BYR0017"]);
    refused(&workload("serviceAccount: A_b"), &["5 spec.serviceAccount BYR0015"]);
    refused(&traffic("timeouts: {connect: 1.5s}"), &["6 spec.timeouts.connect BYR0015"]);
    refused(&traffic("retry: {attempts: 11}"), &["6 spec.retry.attempts BYR0016"]);
    refused(
        "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: x}\nspec: {}\n",
        &["4 spec.targetRefs BYR0013"],
    );
    refused(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: x}\n",
        &["1 spec BYR0013"],
    );
    refused(&gateway("[]"), &["6 spec.listeners BYR0017"]);
    refused(&rule("{filters: [{type: Nothing}]}"), &["6 spec.rules[0].filters[0].type BYR0014"]);
    refused(
        &rule("{matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]}"),
        &["6 spec.rules[0].matches[0].headers[1] BYR0023"],
    );
    let mesh = "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec:\n  ";
    for (spec, field) in [
        ("telemetry: {accessLog: off}", "spec.telemetry.accessLog"),
        ("proxy: {forwardedHeaders: off}", "spec.proxy.forwardedHeaders"),
        ("proxy: {proxyProtocol: {send: off}}", "spec.proxy.proxyProtocol.send"),
    ] {
        let text = format!("{mesh}{spec}\n");
        refused(&text, &[&format!("5 {field} BYR0012")]);
        let said = &read_documents(&text, "f").findings[0].remedy;
        assert!(said.contains("\"off\" in quotes"), "{said}");
        refused(&text.replace("off", "\"off\""), &[]);
    }
    refused(&rule("{timeouts: {request: 10}}"), &["6 spec.rules[0].timeouts.request BYR0012"]);
    refused(
        &rule("{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}"),
        &["6 spec.rules[0].filters[0].requestRedirect.statusCode BYR0014"],
    );
}

#[test]
fn what_is_meant() {
    let reading = read_documents(&service("[{port: 80}]\n  seletcor: {a: b}"), "f.yaml");
    let finding = &reading.findings[0];
    assert_eq!(
        finding.to_string(),
        "f.yaml:6:3: error BYR0010: Service default/x: spec.seletcor: unknown field of Service; did you mean selector?"
    );
    assert_eq!(finding.render().lines().nth(1), Some(" 6 |   seletcor: {a: b}"));
    assert_eq!(finding.render().lines().nth(2), Some("   |   ^"));
    let reading = read_documents("apiVersion: gateway.networking.k8s.io/v1\nkind: HttpRoute\n", "f.yaml");
    assert_eq!(reading.findings[0].remedy, "did you mean HTTPRoute?");
    let reading = read_documents(&workload("proxy: non"), "f.yaml");
    assert_eq!(reading.findings[0].remedy, "did you mean none?");
}

#[test]
fn services_and_workloads() {
    refused("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {}\n", &["4 spec.ports BYR0013"]);
    refused(&service("[{port: 80}, {port: 81}]"), &["5 spec.ports[0] BYR0046", "5 spec.ports[1] BYR0046"]);
    refused(&service("[{port: 80, name: a}, {port: 80, name: b}]"), &["5 spec.ports[1].port BYR0045"]);
    refused(&service("[{port: 80, name: a}, {port: 81, name: a}]"), &["5 spec.ports[1].name BYR0045"]);
    refused(&service("[{port: 80, targetPort: 0}]"), &["5 spec.ports[0].targetPort BYR0015"]);
    refused(&service("[{port: 80, targetPort: HTTP}]"), &["5 spec.ports[0].targetPort BYR0015"]);
    refused(&service("[{port: 80, appProtocol: 'a b'}]"), &["5 spec.ports[0].appProtocol BYR0015"]);
    refused(&workload("address: 0.0.0.0"), &["5 spec.address BYR0044"]);
    refused(&workload("ports: [{port: 1, name: a}, {port: 1, name: b}]"), &["5 spec.ports[1].port BYR0045"]);
    refused(&workload("env: [{name: A}, {name: A}]"), &["5 spec.env[1].name BYR0023"]);
    refused(&workload("command: ['']"), &["5 spec.command[0] BYR0015"]);
    refused(
        &workload("upstreams: [{service: a/b, namespace: c}]"),
        &["5 spec.upstreams[0].namespace BYR0019"],
    );
    refused(
        &workload("upstreams: [{service: a/b}, {service: b, namespace: a}]"),
        &["5 spec.upstreams[1] BYR0023"],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn gateways_and_routes() {
    let (a, b) = ("{name: a, port: 80, protocol: HTTP}", "{name: b, port: 80, protocol: HTTP}");
    // The CRD makes names unique as well: both say so where the listener stands.
    refused(&gateway(&format!("[{a}, {a}]")), &["6 spec.listeners[1] BYR0023"]);
    refused(&gateway(&format!("[{a}, {b}]")), &["6 spec.listeners[1] BYR0041"]);
    refused(
        &gateway("[{name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: a}]}}]"),
        &["6 spec.listeners[0].tls BYR0042"],
    );
    refused(&gateway("[{name: a, port: 80, protocol: TLS}]"), &["6 spec.listeners[0].tls BYR0042"]);
    refused(
        &gateway("[{name: a, port: 80, protocol: TCP, hostname: a.b}]"),
        &["6 spec.listeners[0].hostname BYR0043"],
    );
    refused(
        &gateway(&format!("[{a}]\n  addresses: [{{value: somewhere}}]")),
        &["7 spec.addresses[0].value BYR0044"],
    );

    let r = "spec.rules[0]";
    let cases = [
        ("{matches: [{path: {value: a}}]}", "matches[0].path.value BYR0034"),
        ("{matches: [{path: {value: /a//b}}]}", "matches[0].path.value BYR0034"),
        ("{matches: [{path: {type: Exact, value: '/a/../b'}}]}", "matches[0].path.value BYR0034"),
        ("{matches: [{path: {type: RegularExpression, value: 'a('}}]}", "matches[0].path.value BYR0038"),
        ("{matches: [{path: {type: RegularExpression, value: '(?=a)'}}]}", "matches[0].path.value BYR0038"),
        (
            "{matches: [{path: {type: RegularExpression, value: '((a{999}){999}){9}'}}]}",
            "matches[0].path.value BYR0038",
        ),
        (
            "{matches: [{headers: [{name: a, type: RegularExpression, value: '['}]}]}",
            "matches[0].headers[0].value BYR0038",
        ),
        ("{backendRefs: [{name: a}]}", "backendRefs[0].port BYR0035"),
        ("{filters: [{type: URLRewrite}]}", "filters[0].urlRewrite BYR0030"),
        ("{filters: [{type: URLRewrite, urlRewrite: {}, cors: {}}]}", "filters[0].cors BYR0030"),
        (
            "{filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]}",
            "filters[1] BYR0031",
        ),
        (
            "{filters: [{type: URLRewrite, urlRewrite: {}}, {type: RequestRedirect, requestRedirect: {}}]}",
            "filters BYR0032",
        ),
        (
            "{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 1}]}",
            "backendRefs BYR0032",
        ),
        (
            "{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}",
            "filters[0].urlRewrite.path BYR0033",
        ),
        (
            "{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replacePrefixMatch: /}}}]}",
            "filters[0].urlRewrite.path BYR0030",
        ),
        ("{timeouts: {request: 1s, backendRequest: 2s}}", "timeouts.backendRequest BYR0036"),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a}}}]}",
            "filters[0].requestMirror.backendRef.port BYR0035",
        ),
    ];
    for (text, expected) in cases {
        refused(&rule(text), &[&format!("6 {r}.{expected}")]);
    }
    let route = |kind: &str, spec: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n  {spec}\n"
        )
    };
    refused(&route("HTTPRoute", "parentRefs: [{name: a}, {name: a}]"), &["5 spec.parentRefs[1] BYR0037"]);
    refused(
        &route("HTTPRoute", "parentRefs: [{name: a, sectionName: b}, {name: a}]"),
        &["5 spec.parentRefs[1] BYR0037"],
    );
    refused(&route("HTTPRoute", "rules: [{name: a}, {name: a}]"), &["5 spec.rules[1].name BYR0023"]);
    let many = "{matches: [".to_owned() + &"{method: GET},".repeat(64) + "]},";
    refused(&route("HTTPRoute", &format!("rules: [{}]", many.repeat(3))), &["5 spec.rules BYR0040"]);
    refused(
        &route("GRPCRoute", "rules: [{matches: [{method: {type: Exact}}]}]"),
        &["5 spec.rules[0].matches[0].method BYR0039"],
    );
    refused(
        &route("GRPCRoute", "rules: [{matches: [{method: {service: a/b}}]}]"),
        &["5 spec.rules[0].matches[0].method.service BYR0015"],
    );
    refused(
        &route("TCPRoute", "rules: [{backendRefs: [{name: a}]}]"),
        &["5 spec.rules[0].backendRefs[0].port BYR0035"],
    );
}

/// Rate limits and faults.
fn controls() {
    let policy = |kind: &str, spec: &str| {
        format!(
            "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n  targetRefs: [{{kind: Service, name: a}}]\n  {spec}\n"
        )
    };
    let limit = |text: &str| policy("RateLimitPolicy", &format!("limits: [{{{text}}}]"));
    refused(&limit("per: 1s"), &["6 spec.limits[0] BYR0151"]);
    refused(&limit("requests: 1, connections: 1"), &["6 spec.limits[0] BYR0151"]);
    refused(&limit("requests: 0"), &["6 spec.limits[0].requests BYR0016"]);
    refused(&limit("requests: 1, per: 0s"), &["6 spec.limits[0].per BYR0056"]);
    refused(&limit("requests: 1, key: [{type: header}]"), &["6 spec.limits[0].key[0].name BYR0051"]);
    refused(
        &limit("requests: 1, key: [{type: identity, name: a}]"),
        &["6 spec.limits[0].key[0].name BYR0051"],
    );
    refused(&limit("connections: 1, matches: [{method: GET}]"), &["6 spec.limits[0].matches[0] BYR0151"]);
    refused(
        &limit("requests: 1, matches: [{path: {value: a}}]"),
        &["6 spec.limits[0].matches[0].path.value BYR0034"],
    );
    refused(
        &limit("requests: 1, matches: [{path: {type: RegularExpression, value: '(('}}]"),
        &["6 spec.limits[0].matches[0].path.value BYR0038"],
    );
    refused(
        &limit("requests: 1, matches: [{identities: [web]}]"),
        &["6 spec.limits[0].matches[0].identities[0] BYR0054"],
    );
    refused(&policy("RateLimitPolicy", "limits: []"), &["6 spec.limits BYR0017"]);
    let fault = |text: &str| policy("FaultPolicy", &format!("faults: [{{{text}}}]"));
    refused(&fault("percent: 1"), &["6 spec.faults[0] BYR0152"]);
    refused(&fault("abort: {}"), &["6 spec.faults[0].abort BYR0152"]);
    refused(&fault("abort: {httpStatus: 503, grpcStatus: 14}"), &["6 spec.faults[0].abort BYR0152"]);
    refused(&fault("abort: {httpStatus: 200}"), &["6 spec.faults[0].abort.httpStatus BYR0016"]);
    refused(&fault("delay: {}"), &["6 spec.faults[0].delay BYR0152"]);
    refused(&fault("delay: {fixed: 2h}"), &["6 spec.faults[0].delay.fixed BYR0056"]);
    refused(&fault("delay: {uniform: {min: 2s, max: 1s}}"), &["6 spec.faults[0].delay.uniform.min BYR0052"]);
    refused(&fault("percent: 100.5, abort: {httpStatus: 503}"), &["6 spec.faults[0].percent BYR0153"]);
    refused(&fault("percent: 0.001, abort: {httpStatus: 503}"), &["6 spec.faults[0].percent BYR0153"]);
    let expires = |text: &str| {
        policy("FaultPolicy", &format!("expires: {text}\n  faults: [{{abort: {{httpStatus: 503}}}}]"))
    };
    refused(&expires("never"), &["6 spec.expires BYR0154"]);
    refused(&expires("169h"), &["6 spec.expires BYR0056"]);
}

#[test]
fn policies() {
    let target = |target: &str| {
        format!(
            "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: x}}\nspec: {{targetRefs: [{target}]}}\n"
        )
    };
    refused(&target("{kind: Pod, name: a}"), &["4 spec.targetRefs[0].kind BYR0050"]);
    refused(&target("{kind: Service, group: apps, name: a}"), &["4 spec.targetRefs[0].kind BYR0050"]);
    controls();
    refused(&target("{kind: TCPRoute, name: a}"), &["4 spec.targetRefs[0].kind BYR0050"]);
    refused(
        &target("{kind: Service, name: a, sectionName: http}"),
        &["4 spec.targetRefs[0].sectionName BYR0050"],
    );
    refused(
        &target("{kind: HTTPRoute, name: a, sectionName: x}, {kind: HTTPRoute, name: a, sectionName: x}"),
        &["4 spec.targetRefs[1] BYR0023"],
    );
    refused(
        &traffic("balancer: {type: random, hashKey: {type: sourceAddress}}"),
        &["6 spec.balancer.hashKey BYR0051"],
    );
    refused(
        &traffic("balancer: {type: maglev, hashKey: {type: header}}"),
        &["6 spec.balancer.hashKey.name BYR0051"],
    );
    refused(&traffic("retry: {backoff: 1s}"), &["6 spec.retry.backoff BYR0052"]);
    let session = |fields: &str| traffic(&format!("sessionPersistence: {{{fields}}}"));
    let at = |field: &str| format!("6 spec.sessionPersistence.{field} BYR0160");
    refused(&session("sessionName: 'a b'"), &[&at("sessionName")]);
    refused(&session("sessionName: Byrnie-x"), &[&at("sessionName")]);
    refused(&session("type: Header, cookieConfig: {}"), &[&at("cookieConfig")]);
    refused(&session("cookieConfig: {lifetimeType: Permanent}"), &[&at("absoluteTimeout")]);
    refused(&session("absoluteTimeout: 1s, idleTimeout: 2s"), &[&at("idleTimeout")]);
    refused(&traffic("timeouts: {connect: 0s}"), &["6 spec.timeouts.connect BYR0056"]);
    refused(
        &authorization("targetRefs: [{kind: Mesh, name: other}]"),
        &["5 spec.targetRefs[0].name BYR0055"],
    );
    refused(&authorization("action: REFUSE"), &["5 spec.action BYR0014"]);
    refused(
        &authorization("selector: {matchExpressions: [{key: a, operator: Like}]}"),
        &["5 spec.selector.matchExpressions BYR0015"],
    );
    let from = |text: &str| authorization(&format!("rules: [{{from: [{text}]}}]"));
    refused(&from("{identities: ['a*b']}"), &["5 spec.rules[0].from[0].identities[0] BYR0053"]);
    refused(&from("{notIdentities: [web]}"), &["5 spec.rules[0].from[0].notIdentities[0] BYR0054"]);
    refused(&from("{identities: ['spiffe://x/ns/a']}"), &["5 spec.rules[0].from[0].identities[0] BYR0054"]);
    refused(&from("{namespaces: [A]}"), &["5 spec.rules[0].from[0].namespaces[0] BYR0019"]);
    let to = |text: &str| authorization(&format!("rules: [{{to: [{text}]}}]"));
    refused(&to("{paths: [a]}"), &["5 spec.rules[0].to[0].paths[0] BYR0034"]);
    refused(&to("{methods: [get]}"), &["5 spec.rules[0].to[0].methods[0] BYR0015"]);
    refused(&to("{ports: [0]}"), &["5 spec.rules[0].to[0].ports[0] BYR0016"]);
    let mesh = |spec: &str| {
        format!(
            "apiVersion: mesh.byrnie.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\nspec: {spec}\n"
        )
    };
    refused(&mesh("{certificates: {lifetime: 1s}}"), &["4 spec.certificates.lifetime BYR0056"]);
    refused(&mesh("{defaultInboundPolicy: allow}"), &["4 spec.defaultInboundPolicy BYR0014"]);
    refused(&mesh("{telemetry: {accessLog: some}}"), &["4 spec.telemetry.accessLog BYR0014"]);
}
