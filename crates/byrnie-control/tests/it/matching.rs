//! The tables of docs/matching.md, row by row: read, compiled, asked, as a proxy does it.

use byrnie_api::{Object, read_documents};
use byrnie_decide::{Normalized, RequestView, Router, normalize_authority, normalize_path};
use byrnie_mesh::{Change, Compiler, Options};
use byrnie_plan::{HttpTable, Key, Resource};

const PAGE: &str = include_str!("../../../../docs/matching.md");

/// The rows of the table below this head.
fn rows(head: &str) -> Vec<Vec<String>> {
    let at = PAGE.find(head).unwrap_or_else(|| panic!("the page has no table {head}"));
    let lines = PAGE[at..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        let line = line.replace("\\|", "\u{1}");
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    lines.map(cells).collect()
}

/// What stands between backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

const GATEWAY: &str = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, namespace: a}, \
     spec: {gatewayClassName: byrnie, listeners: [{name: l, port: 80, protocol: HTTP}]}}";

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: a}}\n\
         spec: {{parentRefs: [{{name: g}}], {spec}}}\n"
    )
}

/// `None`: refused.
fn read(text: &str) -> Option<Object> {
    let mut reading = read_documents(text, "matching.md");
    if reading.has_errors() { None } else { Some(reading.objects.remove(0).0) }
}

fn table(objects: &[Object]) -> HttpTable {
    let mut compiler = Compiler::new(Options::default());
    let changes: Vec<Change> = objects.iter().cloned().map(Change::Applied).collect();
    compiler.apply(&changes);
    match compiler.resource(&"GatewayRoutes/a/g".parse::<Key>().unwrap()) {
        Some(Resource::GatewayRoutes(routes)) => routes.listeners[0].http.clone(),
        other => panic!("{other:?}"),
    }
}

/// Which route takes the request: its name, `none`, or `400`.
fn ask(table: &HttpTable, request: &str, headers: &[String]) -> String {
    let (method, url) = request.split_once(' ').unwrap();
    let (authority, rest) = match url.strip_prefix("http://").unwrap().split_once('/') {
        Some((authority, rest)) => (authority, format!("/{rest}")),
        None => panic!("{url} has no path"),
    };
    let (path, query) = rest.split_once('?').map_or((rest.as_str(), None), |(path, q)| (path, Some(q)));
    let normal = normalize_path(path.as_bytes());
    let path = match &normal {
        Normalized::Borrowed(path) => path,
        Normalized::Owned(path) => path.as_str(),
        Normalized::Refused(_) => return "400".to_owned(),
    };
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|line| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap())
        .collect();
    let host = normalize_authority(authority).unwrap().host;
    let request = RequestView { method, host: &host, path, query, headers: headers.as_slice() };
    let found = Router::compile(table).unwrap().find(&request);
    found.map_or("none".to_owned(), |found| table.rules[found.rule as usize].name.route.name.clone())
}

#[test]
fn each_match_of_the_page_takes_what_the_page_says() {
    let rows = rows("| hostnames | match | request | taken |");
    assert!(rows.len() >= 50, "{}", rows.len());
    for row in rows {
        let [hosts, way, request, taken] = row.as_slice() else { panic!("{row:?}") };
        let hosts = code(hosts).first().map(|hosts| format!("hostnames: {hosts}, ")).unwrap_or_default();
        let way = code(way).first().cloned().unwrap_or_default();
        let way = if way.starts_with('{') { way } else { format!("{{{way}}}") };
        let route = read(&document("HTTPRoute", "route", &format!("{hosts}rules: [{{matches: [{way}]}}]")));
        let said = match route {
            None => "refused".to_owned(),
            Some(route) => {
                let request = code(request);
                ask(&table(&[read(GATEWAY).unwrap(), route]), &request[0], &request[1..])
            }
        };
        assert_eq!(said.replace("none", "no").replace("route", "yes"), *taken, "{row:?}");
    }
}

#[test]
fn of_two_routes_the_one_takes_that_the_page_says() {
    let rows = rows("| first route | second route | request | taken by |");
    assert!(rows.len() >= 15, "{}", rows.len());
    for row in rows {
        let [first, second, request, taken] = row.as_slice() else { panic!("{row:?}") };
        let route = |name: &str, cell: &str, created: &str| {
            let text = code(cell).remove(0);
            // `match` stands for the one match of the one rule.
            let spec = text.trim_start_matches('{').trim_end_matches('}');
            let spec = match text.find("match: ") {
                Some(at) => {
                    let way = &text[at + 7..text.len() - 1];
                    format!("{}rules: [{{matches: [{way}]}}]", &text[1..at])
                }
                None if spec.is_empty() => "rules: [{}]".to_owned(),
                None => format!("{spec}, rules: [{{}}]"),
            };
            let object =
                read(&document("HTTPRoute", name, &spec)).unwrap_or_else(|| panic!("{cell}: {spec}"));
            object.with_metadata(|meta| meta.creation_timestamp = Some(created.to_owned())).unwrap()
        };
        let objects = [
            read(GATEWAY).unwrap(),
            route("first", first, "2026-01-01T00:00:00Z"),
            route("second", second, "2026-01-02T00:00:00Z"),
        ];
        let request = code(request);
        let mut turned = objects.clone();
        turned.reverse();
        for objects in [&objects, &turned] {
            assert_eq!(ask(&table(objects), &request[0], &request[1..]), *taken, "{row:?}");
        }
    }
}

#[test]
fn each_call_is_taken_as_the_page_says() {
    let rows = rows("| match | call | taken |");
    assert!(rows.len() >= 10, "{}", rows.len());
    for row in rows {
        let [way, call, taken] = row.as_slice() else { panic!("{row:?}") };
        let way = code(way).first().cloned().unwrap_or_default();
        let rules = if way.is_empty() {
            "rules: [{}]".to_owned()
        } else {
            format!("rules: [{{matches: [{{{way}}}]}}]")
        };
        let route = read(&document("GRPCRoute", "route", &rules)).unwrap_or_else(|| panic!("{row:?}"));
        let call = code(call);
        let said =
            ask(&table(&[read(GATEWAY).unwrap(), route]), &format!("POST http://h/{}", call[0]), &call[1..]);
        assert_eq!(said.replace("none", "no").replace("route", "yes"), *taken, "{row:?}");
    }
}
