//! Each CEL rule of the Gateway API's CRDs refuses what it is for, and the experimental channel is refused by name.

use byrnie_api::{Severity, read_documents};

/// Every rule, as `cargo xtask generate` reads them from the CRDs: `Kind path: message`.
const RULES: &str = include_str!("../../schemas/rules.txt");

#[test]
fn every_rule_of_the_crds_is_enforced() {
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for line in RULES.lines() {
        let (place, message) = line.split_once(": ").unwrap();
        let (kind, path) = place.split_once(' ').unwrap();
        let Some((spec, code)) = example(kind, path, message) else {
            missing.push(line);
            continue;
        };
        let codes = codes_of(kind, &spec);
        if !codes.contains(&code.to_owned()) {
            wrong.push(format!("{line}\n{spec}\n{codes:?}, not {code}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(RULES.lines().count() > 120, "the rules are there");
    // The only rule between two states of an object: `apply` enforces it (see byrnie-control).
    assert_eq!(missing, ["GatewayClass spec.controllerName: field is immutable"], "rules without an example");
}

fn codes_of(kind: &str, spec: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"
    );
    let found = read_documents(&text, "f.yaml").findings;
    found.iter().filter(|f| f.severity == Severity::Error).map(|f| f.code.to_string()).collect()
}

/// A spec that breaks one rule, and the code that says so.
fn example(kind: &str, path: &str, message: &str) -> Option<(String, &'static str)> {
    if let Some(place) = path.strip_prefix("spec.rules[]") {
        return rule_example(kind, place, message);
    }
    match kind {
        "Gateway" | "ListenerSet" => listener_example(kind, path, message),
        "BackendTLSPolicy" => tls_example(path, message),
        _ => route_example(kind, path, message),
    }
}

fn route_example(kind: &str, path: &str, message: &str) -> Option<(String, &'static str)> {
    let connections = ", rules: [{backendRefs: [{name: a, port: 1}]}]";
    let rest = match kind {
        "TLSRoute" => format!(", hostnames: [a.b]{connections}"),
        "TCPRoute" | "UDPRoute" => connections.to_owned(),
        _ => String::new(),
    };
    let host =
        |host: &str| format!("{{hostnames: ['{host}'], rules: [{{backendRefs: [{{name: a, port: 1}}]}}]}}");
    let many = || format!("{{matches: [{}]}}", "{method: {method: A}},".repeat(64));
    let many_http = || format!("{{matches: [{}]}}", "{method: GET},".repeat(64));
    Some(match (path, message) {
        ("spec.parentRefs", m) if m.starts_with("sectionName must be specified") => {
            (format!("{{parentRefs: [{{name: a}}, {{name: a, sectionName: b}}]{rest}}}"), "BYR0037")
        }
        // Another port does not tell them apart in the standard channel.
        ("spec.parentRefs", _) => {
            (format!("{{parentRefs: [{{name: a, port: 1}}, {{name: a, port: 2}}]{rest}}}"), "BYR0037")
        }
        ("spec.rules", m) if m.starts_with("While") && kind == "GRPCRoute" => {
            (format!("{{rules: [{0}, {0}, {0}]}}", many()), "BYR0040")
        }
        ("spec.rules", m) if m.starts_with("While") => {
            (format!("{{rules: [{0}, {0}, {0}]}}", many_http()), "BYR0040")
        }
        ("spec.rules", "Rule name must be unique within the route") => {
            ("{rules: [{name: a}, {name: b}, {name: a}]}".to_owned(), "BYR0023")
        }
        // The pattern of the schema says the same of the next two, and says it first.
        ("spec.hostnames", "Hostnames cannot contain an IP") => (host("10.0.0.1"), "BYR0062"),
        ("spec.hostnames", "Hostnames must be valid based on RFC-1123") => (host("a-.b"), "BYR0015"),
        ("spec.hostnames", _) => (host("a.*.b"), "BYR0015"),
        _ => return None,
    })
}

fn rule_example(kind: &str, place: &str, message: &str) -> Option<(String, &'static str)> {
    let hosts = if kind == "TLSRoute" { "hostnames: [a.b], " } else { "" };
    let rule = |rule: &str| format!("{{{hosts}rules: [{rule}]}}");
    if let Some(place) = place.strip_prefix(".matches[].path") {
        assert_eq!(place, "");
        return path_example(message)
            .map(|(path, code)| (rule(&format!("{{matches: [{{path: {path}}}]}}")), code));
    }
    if place == ".matches[].method" {
        let method = |text: &str| rule(&format!("{{matches: [{{method: {{{text}}}}}]}}"));
        return Some(match message {
            m if m.starts_with("One or both") => (method("type: Exact"), "BYR0039"),
            m if m.starts_with("service must") => (method("service: a/b"), "BYR0015"),
            _ => (method("method: a.b"), "BYR0015"),
        });
    }
    let of_backend = place.contains(".backendRefs[].filters");
    let backend =
        |filters: &str| rule(&format!("{{backendRefs: [{{name: a, port: 1, filters: [{filters}]}}]}}"));
    let filters = |filters: &str| {
        if of_backend { backend(filters) } else { rule(&format!("{{filters: [{filters}]}}")) }
    };
    if let Some(place) = place.strip_prefix(".backendRefs[]").unwrap_or(place).strip_prefix(".filters") {
        return filter_example(place, message).map(|(text, code)| (filters(&text), code));
    }
    let redirect =
        "{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}";
    let rewrite = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}";
    let two = "matches: [{path: {value: /a}}, {path: {value: /b}}]";
    Some(match (place, message) {
        (".backendRefs[]", _) => (rule("{backendRefs: [{name: a}]}"), "BYR0035"),
        (".timeouts", _) => (rule("{timeouts: {request: 1s, backendRequest: 2s}}"), "BYR0036"),
        ("", "RequestRedirect filter must not be used together with backendRefs") => {
            (rule(&format!("{{filters: [{redirect}], backendRefs: [{{name: a, port: 1}}]}}")), "BYR0032")
        }
        ("", m) => {
            let filter = if m.contains("RequestRedirect") { redirect } else { rewrite };
            let spec = match m.starts_with("Within backendRefs") {
                true => format!("{{{two}, backendRefs: [{{name: a, port: 1, filters: [{filter}]}}]}}"),
                false => format!("{{{two}, filters: [{filter}]}}"),
            };
            (rule(&spec), "BYR0033")
        }
        _ => return None,
    })
}

fn path_example(message: &str) -> Option<(&'static str, &'static str)> {
    Some(match message.strip_suffix(" when type one of ['Exact', 'PathPrefix']").unwrap_or(message) {
        "value must be an absolute path and start with '/'" => ("{value: a}", "BYR0034"),
        "must not contain '//'" => ("{value: /a//b}", "BYR0034"),
        "must not contain '/./'" => ("{value: /a/./b}", "BYR0034"),
        "must not contain '/../'" => ("{value: /a/../b}", "BYR0034"),
        "must not contain '%2f'" => ("{value: /a%2fb}", "BYR0034"),
        "must not contain '%2F'" => ("{type: Exact, value: /a%2Fb}", "BYR0034"),
        "must not contain '#'" => ("{value: '/a#b'}", "BYR0034"),
        "must not end with '/..'" => ("{value: /a/..}", "BYR0034"),
        "must not end with '/.'" => ("{value: /a/.}", "BYR0034"),
        m if m.starts_with("type must be one of") => ("{type: Suffix, value: /a}", "BYR0014"),
        m if m.starts_with("must only contain valid characters") => ("{value: /a%zz}", "BYR0034"),
        _ => return None,
    })
}

/// A list of filters.
fn filter_example(place: &str, message: &str) -> Option<(String, &'static str)> {
    let content = |field: &str| match field {
        "extensionRef" => "{group: a.b, kind: A, name: a}",
        "requestMirror" => "{backendRef: {name: a, port: 1}}",
        _ => "{}",
    };
    let type_of = |field: &str| match field {
        "cors" => "CORS".to_owned(),
        "urlRewrite" => "URLRewrite".to_owned(),
        _ => format!("{}{}", field[..1].to_uppercase(), &field[1..]),
    };
    let filter = |field: &str| format!("{{type: {}, {field}: {}}}", type_of(field), content(field));
    if place == "[]" {
        let field = message.strip_prefix("filter.")?.split(' ').next()?;
        let other =
            if field == "requestHeaderModifier" { "responseHeaderModifier" } else { "requestHeaderModifier" };
        return Some(match message.contains("must be nil") {
            true => (
                format!("{{type: {}, {other}: {{}}, {field}: {}}}", type_of(other), content(field)),
                "BYR0030",
            ),
            false => (format!("{{type: {}}}", type_of(field)), "BYR0030"),
        });
    }
    let mirror = |more: &str, port: &str| {
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {{name: a{port}}}{more}}}}}")
    };
    let cors = |field: &str, star: &str| format!("{{type: CORS, cors: {{{field}: ['*', {star}]}}}}");
    if let Some((field, "path")) = place.strip_prefix("[].").and_then(|rest| rest.split_once('.')) {
        let path = match message {
            m if m.starts_with("replaceFullPath must") => "{type: ReplaceFullPath}",
            m if m.starts_with("type must be 'ReplaceFullPath'") => {
                "{type: ReplacePrefixMatch, replacePrefixMatch: /, replaceFullPath: /a}"
            }
            m if m.starts_with("replacePrefixMatch must") => "{type: ReplacePrefixMatch}",
            _ => "{type: ReplaceFullPath, replaceFullPath: /, replacePrefixMatch: /a}",
        };
        return Some((format!("{{type: {}, {field}: {{path: {path}}}}}", type_of(field)), "BYR0030"));
    }
    Some(match (place, message) {
        ("", m) if m.ends_with("filter cannot be repeated") => {
            let kind = m.split(' ').next()?;
            let field = match kind {
                "CORS" => "cors".to_owned(),
                "URLRewrite" => "urlRewrite".to_owned(),
                _ => format!("{}{}", kind[..1].to_lowercase(), &kind[1..]),
            };
            (format!("{0}, {0}", filter(&field)), "BYR0031")
        }
        ("", _) => (format!("{}, {}", filter("requestRedirect"), filter("urlRewrite")), "BYR0032"),
        ("[].cors.allowHeaders", _) => (cors("allowHeaders", "a"), "BYR0061"),
        ("[].cors.allowMethods", _) => (cors("allowMethods", "GET"), "BYR0061"),
        ("[].cors.allowOrigins", _) => (cors("allowOrigins", "'https://a.b'"), "BYR0061"),
        ("[].requestMirror", _) => (mirror(", percent: 5, fraction: {numerator: 1}", ", port: 1"), "BYR0032"),
        ("[].requestMirror.backendRef", _) => (mirror("", ""), "BYR0035"),
        ("[].requestMirror.fraction", _) => {
            (mirror(", fraction: {numerator: 3, denominator: 2}", ", port: 1"), "BYR0016")
        }
        _ => return None,
    })
}

fn listener_example(kind: &str, path: &str, message: &str) -> Option<(String, &'static str)> {
    let head = if kind == "Gateway" { "gatewayClassName: a" } else { "parentRef: {name: a}" };
    let listeners = |listeners: &str| format!("{{{head}, listeners: [{listeners}]}}");
    let gateway = |more: &str| {
        format!("{{gatewayClassName: a, listeners: [{{name: a, port: 1, protocol: HTTP}}], {more}}}")
    };
    let certificate = "certificateRefs: [{name: a}]";
    Some(match (path, message) {
        ("spec.listeners", m) if m.starts_with("tls must not be specified") => {
            (listeners(&format!("{{name: a, port: 1, protocol: TCP, tls: {{{certificate}}}}}")), "BYR0042")
        }
        ("spec.listeners", "tls mode must be Terminate for protocol HTTPS") => {
            (listeners("{name: a, port: 1, protocol: HTTPS, tls: {mode: Passthrough}}"), "BYR0042")
        }
        ("spec.listeners", "tls mode must be set for protocol TLS") => {
            (listeners("{name: a, port: 1, protocol: TLS}"), "BYR0042")
        }
        ("spec.listeners", m) if m.starts_with("hostname must not") => {
            (listeners("{name: a, port: 1, protocol: UDP, hostname: a.b}"), "BYR0043")
        }
        ("spec.listeners", m) if m.starts_with("Listener name") => {
            (listeners("{name: a, port: 1, protocol: HTTP}, {name: a, port: 2, protocol: HTTP}"), "BYR0023")
        }
        ("spec.listeners", m) if m.starts_with("Combination") => {
            (listeners("{name: a, port: 1, protocol: HTTP}, {name: b, port: 1, protocol: HTTP}"), "BYR0041")
        }
        ("spec.listeners[].tls", _) => {
            (listeners("{name: a, port: 1, protocol: HTTPS, tls: {mode: Terminate}}"), "BYR0042")
        }
        ("spec.addresses", m) => {
            let (kind, value) =
                if m.starts_with("IP") { ("IPAddress", "10.0.0.1") } else { ("Hostname", "a.b") };
            let address = format!("{{type: {kind}, value: {value}}}");
            (gateway(&format!("addresses: [{address}, {address}]")), "BYR0023")
        }
        ("spec.addresses[]", _) => (gateway("addresses: [{type: Hostname, value: a_b}]"), "BYR0044"),
        ("spec.tls.frontend.perPort", _) => (
            gateway("tls: {frontend: {default: {}, perPort: [{port: 1, tls: {}}, {port: 1, tls: {}}]}}"),
            "BYR0023",
        ),
        (path, m) => {
            let field = path.strip_prefix("spec.infrastructure.")?;
            let key = if m.starts_with("If specified") {
                format!("{}/a", "a".repeat(253))
            } else {
                "a b".to_owned()
            };
            (gateway(&format!("infrastructure: {{{field}: {{'{key}': x}}}}")), "BYR0020")
        }
    })
}

fn tls_example(path: &str, message: &str) -> Option<(String, &'static str)> {
    let target = |section: &str| format!("{{group: '', kind: Service, name: a{section}}}");
    let spec = |targets: &str, validation: &str| {
        format!("{{targetRefs: [{targets}], validation: {{hostname: a.b, {validation}}}}}")
    };
    let known = "wellKnownCACertificates: System";
    let references = "caCertificateRefs: [{group: '', kind: ConfigMap, name: a}]";
    let name = |name: &str| spec(&target(""), &format!("{known}, subjectAltNames: [{{{name}}}]"));
    Some(match (path, message) {
        ("spec.targetRefs", m) if m.starts_with("sectionName must be specified") => {
            (spec(&format!("{}, {}", target(""), target(", sectionName: b")), known), "BYR0037")
        }
        ("spec.targetRefs", _) => {
            let twice = target(", sectionName: b");
            (spec(&format!("{twice}, {twice}"), known), "BYR0037")
        }
        ("spec.validation", m) if m.starts_with("must not contain both") => {
            (spec(&target(""), &format!("{known}, {references}")), "BYR0063")
        }
        ("spec.validation", _) => (spec(&target(""), ""), "BYR0063"),
        (_, m) => match m.strip_prefix("SubjectAltName element ")? {
            "must contain Hostname, if Type is set to Hostname" => (name("type: Hostname"), "BYR0063"),
            "must not contain Hostname, if Type is not set to Hostname" => {
                (name("type: URI, uri: 'spiffe://a/b', hostname: a.b"), "BYR0063")
            }
            "must contain URI, if Type is set to URI" => (name("type: URI"), "BYR0063"),
            _ => (name("type: Hostname, hostname: a.b, uri: 'spiffe://a/b'"), "BYR0063"),
        },
    })
}

#[test]
fn what_the_rules_do_not_forbid_is_read() {
    for (kind, spec) in [
        (
            "HTTPRoute",
            "{parentRefs: [{name: a}, {name: a, namespace: b}, {name: a, kind: Service, group: ''}]}",
        ),
        ("HTTPRoute", "{parentRefs: [{name: a, sectionName: b}, {name: a, sectionName: c}]}"),
        ("HTTPRoute", "{rules: [{matches: [{path: {value: '/a%20b'}}]}]}"),
        (
            "HTTPRoute",
            "{rules: [{filters: [{type: CORS, cors: {allowOrigins: ['*'], allowMethods: [GET, PUT]}}]}]}",
        ),
        ("GRPCRoute", "{rules: [{matches: [{method: {service: .a.B}}]}]}"),
        ("TLSRoute", "{hostnames: ['*.a.b', c.d], rules: [{backendRefs: [{name: a, port: 1}]}]}"),
        ("Gateway", "{gatewayClassName: a, listeners: [{name: a, port: 1, protocol: HTTPS}]}"),
        (
            "Gateway",
            "{gatewayClassName: a, listeners: [{name: a, port: 1, protocol: TLS, tls: {mode: Passthrough}}]}",
        ),
        (
            "Gateway",
            "{gatewayClassName: a, listeners: [{name: a, port: 1, protocol: TLS, tls: {options: {a: b}}}]}",
        ),
    ] {
        assert_eq!(codes_of(kind, spec), [""; 0], "{kind} {spec}");
    }
}

#[test]
fn the_experimental_channel_is_refused_by_name() {
    for (kind, spec, path) in [
        ("HTTPRoute", "{rules: [{sessionPersistence: {type: Cookie}}]}", "spec.rules[0].sessionPersistence"),
        ("HTTPRoute", "{useDefaultGateways: All}", "spec.useDefaultGateways"),
        ("HTTPRoute", "{rules: [{filters: [{type: ExternalAuth}]}]}", "spec.rules[0].filters[0].type"),
        (
            "HTTPRoute",
            "{rules: [{backendRefs: [{name: a, port: 1, filters: [{type: CORS, cors: {}, externalAuth: {}}]}]}]}",
            "spec.rules[0].backendRefs[0].filters[0].externalAuth",
        ),
        ("GRPCRoute", "{rules: [{sessionPersistence: {}}]}", "spec.rules[0].sessionPersistence"),
        (
            "Gateway",
            "{gatewayClassName: a, listeners: [{name: a, port: 1, protocol: HTTP, filters: []}]}",
            "spec.listeners[0].filters",
        ),
        (
            "Gateway",
            "{defaultScope: All, gatewayClassName: a, listeners: [{name: a, port: 1, protocol: HTTP}]}",
            "spec.defaultScope",
        ),
        (
            "ListenerSet",
            "{parentRef: {name: a}, listeners: [{name: a, port: 1, protocol: HTTP, filters: []}]}",
            "spec.listeners[0].filters",
        ),
        (
            "TCPRoute",
            "{useDefaultGateways: All, rules: [{backendRefs: [{name: a, port: 1}]}]}",
            "spec.useDefaultGateways",
        ),
    ] {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"
        );
        let found = read_documents(&text, "f.yaml").findings;
        let named = found.iter().find(|f| f.code.to_string() == "BYR0060");
        assert_eq!(named.map(|f| f.field.as_str()), Some(path), "{spec}: {found:?}");
    }
    let text = "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XMesh\nmetadata: {name: x}\n";
    assert_eq!(read_documents(text, "f.yaml").findings[0].code.to_string(), "BYR0060");
}
