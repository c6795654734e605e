//! Operations from requests as they arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use byrnie_control::api::{TapEvent, TapPhase, TapQuery};

use super::{Call, Operation};
use crate::cli::Context;
use crate::cli::args::ProfileArgs;
use crate::cli::failure::Failure;
use crate::cli::value::bare_name;
use crate::output;

/// What was seen so far.
#[derive(Default)]
struct Seen {
    /// Requests by proxy and number whose end is still to come.
    open: BTreeMap<(String, u64), (String, String)>,
    /// Method and path.
    requests: BTreeSet<(String, String)>,
    /// Those of them that ended with a gRPC status.
    grpc: BTreeSet<(String, String)>,
}

/// Requests whose end is waited for; of further ones it is not told whether they are gRPC.
const OPEN: usize = 4_096;

/// Looks for the time given, or until there are as many operations as wanted.
pub async fn operations(
    context: &Context,
    args: &ProfileArgs,
    target: &str,
) -> Result<Vec<Operation>, Failure> {
    let query = TapQuery {
        namespace: Some(args.namespace.clone()),
        name: Some(bare_name(target).to_owned()),
        ..TapQuery::default()
    };
    let mut events = context.client.tap(&query).await.map_err(|body| context.refused(body))?;
    output::say(&format!("looking at requests to {target} for {} s", args.duration.as_secs_f32()));
    let mut seen = Seen::default();
    let end = tokio::time::sleep(args.duration.max(Duration::from_millis(1)));
    tokio::pin!(end);
    while seen.requests.len() < args.route_limit {
        let event = tokio::select! {
            () = &mut end => break,
            event = events.next() => event,
        };
        match event {
            Some(event) => seen.note(event.map_err(|body| context.refused(body))?),
            None => break,
        }
    }
    if seen.requests.len() >= args.route_limit {
        output::say(&format!("stopped at {} operations: --route-limit allows more", args.route_limit));
    }
    Ok(seen.operations())
}

impl Seen {
    /// Only what arrives counts: what a workload asks of others belongs to their profiles.
    fn note(&mut self, event: TapEvent) {
        if event.direction != "in" {
            return;
        }
        let key = (event.proxy, event.id);
        match event.phase {
            TapPhase::Req if !event.method.is_empty() => {
                let request = (event.method, template(&event.path));
                self.requests.insert(request.clone());
                if self.open.len() < OPEN {
                    self.open.insert(key, request);
                }
            }
            TapPhase::End => {
                if let (Some(request), Some(_)) = (self.open.remove(&key), event.grpc_status) {
                    self.grpc.insert(request);
                }
            }
            TapPhase::Req | TapPhase::Rsp => {}
        }
    }

    fn operations(self) -> Vec<Operation> {
        let all_grpc = !self.requests.is_empty() && self.requests == self.grpc;
        let call =
            |(method, path): (String, String)| match path.strip_prefix('/').and_then(|p| p.split_once('/')) {
                Some((service, call)) if all_grpc && !call.contains('/') => {
                    Call::Grpc { service: service.to_owned(), method: call.to_owned() }
                }
                _ => Call::Http { method, path },
            };
        let mut calls: Vec<Call> = self.requests.into_iter().map(call).collect();
        calls.sort_by(|a, b| by_path(a).cmp(&by_path(b)));
        calls.into_iter().map(Operation::new).collect()
    }
}

fn by_path(call: &Call) -> (&str, &str) {
    match call {
        Call::Http { method, path } => (path, method),
        Call::Grpc { service, method } => (service, method),
    }
}

/// A path without query; segments that are numbers, UUIDs or long hexadecimal numbers name one thing of many and
/// become `{id}`.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> =
        path.split('/').map(|segment| if is_id(segment) { "{id}" } else { segment }).collect();
    segments.join("/")
}

fn is_id(segment: &str) -> bool {
    let digits = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let uuid = segment.len() == 36
        && segment.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && segment.split('-').all(hex);
    let long_hex = segment.len() >= 16 && hex(segment) && segment.bytes().any(|byte| byte.is_ascii_digit());
    digits || uuid || long_hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tap::tests::event;

    fn req(id: u64, direction: &str, method: &str, path: &str) -> TapEvent {
        TapEvent {
            id,
            direction: direction.into(),
            method: method.into(),
            path: path.into(),
            ..event(TapPhase::Req)
        }
    }

    fn end(id: u64, grpc_status: Option<u32>) -> TapEvent {
        TapEvent { id, direction: "in".into(), grpc_status, ..event(TapPhase::End) }
    }

    #[test]
    fn requests_become_operations_once_each() {
        let mut seen = Seen::default();
        for event in [
            req(1, "in", "POST", "/orders"),
            req(2, "in", "GET", "/orders/17?x=1"),
            req(3, "in", "GET", "/orders/18"),
            req(4, "out", "GET", "/of/others"),
            end(1, None),
        ] {
            seen.note(event);
        }
        let http = |method: &str, path: &str| {
            Operation::new(Call::Http { method: method.into(), path: path.into() })
        };
        assert_eq!(seen.operations(), [http("POST", "/orders"), http("GET", "/orders/{id}")]);
    }

    #[test]
    fn grpc_only_where_all_of_it_is() {
        let mut seen = Seen::default();
        seen.note(req(1, "in", "POST", "/a.B/C"));
        seen.note(end(1, Some(0)));
        let call = Call::Grpc { service: "a.B".into(), method: "C".into() };
        assert_eq!(seen.operations(), [Operation::new(call)]);
        let mut mixed = Seen::default();
        mixed.note(req(1, "in", "POST", "/a.B/C"));
        mixed.note(end(1, Some(0)));
        mixed.note(req(2, "in", "GET", "/"));
        assert!(mixed.operations().iter().all(|o| matches!(o.call, Call::Http { .. })));
    }

    #[test]
    fn what_names_one_thing_of_many() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/17/b", "/a/{id}/b"),
            ("/a/0b5c7a3e-9f3d-4c1e-8a55-3f5d3a1b2c3d", "/a/{id}"),
            ("/a/deadbeefdeadbeef0", "/a/{id}"),
            ("/v1/list", "/v1/list"),
            ("/deadbeef", "/deadbeef"),
            ("/a//b", "/a//b"),
        ] {
            assert_eq!(template(path), expected);
        }
    }
}
