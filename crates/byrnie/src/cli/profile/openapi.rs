//! Operations from a description in Swagger 2.0 or OpenAPI 3.x.
//!
//! Only what routes are made of is looked at (paths, methods, statuses, servers, two extensions of Linkerd), so a
//! description that a validator would refuse is read, too.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Call, Operation};

/// Fields of a path item that are operations, in the order in which Linkerd writes them.
const METHODS: [(&str, &str); 8] = [
    ("delete", "DELETE"),
    ("get", "GET"),
    ("head", "HEAD"),
    ("options", "OPTIONS"),
    ("patch", "PATCH"),
    ("post", "POST"),
    ("put", "PUT"),
    ("trace", "TRACE"),
];

/// References that are followed one after the other.
const REFERENCES: usize = 8;

/// The operations, by path as written and method.
pub fn operations(text: &str, _file: &str) -> Result<Vec<Operation>, String> {
    let document = byrnie_api::read_document(text)?;
    if document.get("openapi").or_else(|| document.get("swagger")).is_none() {
        return Err("it says neither `openapi:` nor `swagger:`, so it is no description of an API".to_owned());
    }
    let Some(paths) = document.get("paths").and_then(Value::as_object) else {
        return Ok(Vec::new());
    };
    let mut sorted: Vec<(&String, &Value)> =
        paths.iter().filter(|(path, _)| !path.starts_with("x-")).collect();
    sorted.sort_by_key(|(path, _)| *path);
    let mut operations = Vec::new();
    let mut known = BTreeSet::new();
    for (path, item) in sorted {
        let item = follow(&document, item).map_err(|why| format!("paths.{path}: {why}"))?;
        for (field, method) in METHODS {
            let Some(operation) = item.get(field).filter(|operation| operation.is_object()) else {
                continue;
            };
            let base = base_path(&document, item, operation);
            let call = Call::Http { method: method.to_owned(), path: join(&base, path) };
            if known.insert(call.clone()) {
                operations.push(read(call, operation));
            }
        }
    }
    Ok(operations)
}

fn read(call: Call, operation: &Value) -> Operation {
    let statuses = operation["responses"].as_object().into_iter().flatten();
    let mut statuses: Vec<u16> = statuses.filter_map(|(status, _)| status.parse().ok()).collect();
    statuses.retain(|status| (100..=599).contains(status));
    statuses.sort_unstable();
    statuses.dedup();
    Operation {
        call,
        retryable: operation["x-linkerd-retryable"].as_bool().unwrap_or(false),
        timeout: operation["x-linkerd-timeout"].as_str().map(str::to_owned),
        statuses,
    }
}

/// A path item may stand elsewhere in the same document (`#/components/pathItems/x`).
fn follow<'a>(document: &'a Value, mut item: &'a Value) -> Result<&'a Value, String> {
    for _ in 0..REFERENCES {
        let Some(reference) = item.get("$ref").and_then(Value::as_str) else {
            return Ok(item);
        };
        let pointer = reference
            .strip_prefix('#')
            .ok_or_else(|| format!("$ref {reference} leads to another file; join the files first"))?;
        item = document.pointer(pointer).ok_or_else(|| format!("$ref {reference} leads nowhere"))?;
    }
    Err(format!("more than {REFERENCES} $refs lead to each other"))
}

/// What stands before every path: `basePath` of Swagger 2.0, the path of the first server of OpenAPI 3.x (of the
/// operation, else of the path item, else of the document).
fn base_path(document: &Value, item: &Value, operation: &Value) -> String {
    if let Some(base) = document.get("basePath").and_then(Value::as_str) {
        return base.to_owned();
    }
    let server = [operation, item, document]
        .into_iter()
        .find_map(|level| level.get("servers").and_then(Value::as_array)?.first());
    let Some(url) = server.and_then(|server| server["url"].as_str()) else {
        return String::new();
    };
    let mut url = url.to_owned();
    let variables = server.and_then(|server| server["variables"].as_object());
    for (name, variable) in variables.into_iter().flatten() {
        if let Some(default) = variable["default"].as_str() {
            url = url.replace(&format!("{{{name}}}"), default);
        }
    }
    let behind_scheme = url.split_once("://").map(|(_, rest)| rest).or_else(|| url.strip_prefix("//"));
    let path = match behind_scheme {
        Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => &url,
    };
    without_query(path).to_owned()
}

/// One slash between the two, one before both.
fn join(base: &str, path: &str) -> String {
    let mut joined = String::new();
    let trailing = path.len() > 1 && path.ends_with('/');
    for segment in base.split('/').chain(without_query(path).split('/')).filter(|segment| !segment.is_empty())
    {
        joined.push('/');
        joined.push_str(segment);
    }
    if trailing || joined.is_empty() {
        joined.push('/');
    }
    joined
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(text: &str) -> Vec<(String, String)> {
        let call = |operation: Operation| match operation.call {
            Call::Http { method, path } => (method, path),
            Call::Grpc { service, method } => (service, method),
        };
        operations(text, "f").unwrap().into_iter().map(call).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        calls(text).into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn paths_by_byte_and_methods_in_one_order() {
        let text = "
swagger: 2.0
paths:
  /b: {put: {}, get: {}, parameters: []}
  /a/{id}: {post: {}, delete: {}, x-foo: {}}
  /a/b: {get: {}, head: }
  x-extension: {get: {}}";
        let expected =
            [("GET", "/a/b"), ("DELETE", "/a/{id}"), ("POST", "/a/{id}"), ("GET", "/b"), ("PUT", "/b")];
        let calls = calls(text);
        let calls: Vec<(&str, &str)> = calls.iter().map(|(m, p)| (m.as_str(), p.as_str())).collect();
        assert_eq!(calls, expected);
    }

    #[test]
    fn what_stands_before_every_path() {
        for (head, expected) in [
            ("swagger: '2.0'\nbasePath: /v1", "/v1/a"),
            ("swagger: '2.0'\nbasePath: v1/", "/v1/a"),
            ("swagger: '2.0'\nbasePath: /", "/a"),
            ("openapi: 3.0.1", "/a"),
            ("openapi: 3.1.0\nservers: []", "/a"),
            ("openapi: 3.1.0\nservers: [{url: 'https://x.example/api/v2/'}, {url: /other}]", "/api/v2/a"),
            ("openapi: 3.0.1\nservers: [{url: 'https://x.example'}]", "/a"),
            ("openapi: 3.0.1\nservers: [{url: /api}]", "/api/a"),
            (
                "openapi: 3.0.1\nservers: [{url: '{s}://h/{v}', variables: {s: {default: http}, v: {default: v3}}}]",
                "/v3/a",
            ),
        ] {
            assert_eq!(paths(&format!("{head}\npaths: {{/a: {{get: {{}}}}}}")), [expected], "{head}");
        }
        let nearer = "
openapi: 3.0.1
servers: [{url: /doc}]
paths:
  /a: {servers: [{url: /item}], get: {}, put: {servers: [{url: /op}]}}";
        assert_eq!(paths(nearer), ["/item/a", "/op/a"]);
    }

    #[test]
    fn odd_paths() {
        let text = "openapi: 3.0.1\npaths: {/: {get: {}}, '/a/': {get: {}}, 'b//c?x=1': {get: {}}, '/b/c': {get: {}}}";
        assert_eq!(paths(text), ["/", "/a/", "/b/c"]);
    }

    #[test]
    fn statuses_and_extensions() {
        let text = "
openapi: 3.0.1
paths:
  /a:
    get:
      x-linkerd-retryable: true
      x-linkerd-timeout: 1.5s
      responses: {default: {}, '503': {}, 200: {}, 2XX: {}, '42': {}}";
        let read = operations(text, "f").unwrap();
        assert_eq!(read[0].statuses, [200, 503]);
        assert_eq!((read[0].retryable, read[0].timeout.as_deref()), (true, Some("1.5s")));
    }

    #[test]
    fn references_within_the_document() {
        let text = "
openapi: 3.1.0
paths: {/a: {$ref: '#/components/pathItems/a'}}
components: {pathItems: {a: {get: {}}}}";
        assert_eq!(paths(text), ["/a"]);
        for bad in ["other.yaml#/x", "#/nowhere", "#/paths/~1a"] {
            let text = format!("openapi: 3.1.0\npaths: {{/a: {{$ref: '{bad}'}}}}");
            assert!(operations(&text, "f").is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for bad in ["", "a: 1", "[1]", "{", "paths: {/a: {get: {}}}"] {
            assert!(operations(bad, "f").is_err(), "{bad}");
        }
        assert_eq!(operations("openapi: 3.1.0", "f").unwrap(), []);
    }
}
