//! `byrnie tap`: requests as they happen.

use std::fmt::Write as _;

use byrnie_control::api::{TapEvent, TapPhase, TapQuery};

use crate::cli::Context;
use crate::cli::args::{ReportFormat, TapArgs, TapFilter};
use crate::cli::failure::Failure;
use crate::cli::value::bare_name;
use crate::output::{self, number};

/// Prints events until enough, until the control plane ends the stream, or until Ctrl-C.
pub async fn run(context: &Context, args: &TapArgs) -> Result<(), Failure> {
    let query = TapQuery { limit: args.limit, ..query(&args.filter) };
    let mut events = context.client.tap(&query).await.map_err(|body| context.refused(body))?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(event) = events.next().await else { break };
        let event = event.map_err(|body| context.refused(body))?;
        match args.output {
            ReportFormat::Json => output::json_line(&event)?,
            format => output::data(&line(&event, format == ReportFormat::Wide))?,
        }
        left -= 1;
    }
    Ok(())
}

/// What the API is asked for.
pub fn query(filter: &TapFilter) -> TapQuery {
    TapQuery {
        namespace: filter.scope.namespace.clone(),
        name: filter.name.as_deref().map(|name| bare_name(name).to_owned()),
        method: filter.method.clone(),
        path: filter.path.clone(),
        limit: None,
    }
}

/// One event as linkerd writes it.
fn line(event: &TapEvent, wide: bool) -> String {
    let phase = match event.phase {
        TapPhase::Req => "req",
        TapPhase::Rsp => "rsp",
        TapPhase::End => "end",
    };
    let mut text = format!(
        "{phase} id={}:{} proxy={} src={} dst={} tls={}",
        event.proxy, event.id, event.direction, event.src, event.dst, event.tls
    );
    // Writing to a String cannot fail.
    let _ = match event.phase {
        TapPhase::Req => {
            write!(text, " :method={} :authority={} :path={}", event.method, event.authority, event.path)
        }
        TapPhase::Rsp => write!(
            text,
            " :status={} latency={}",
            event.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
            event.latency_micros.map_or_else(|| "-".to_owned(), number::micros),
        ),
        TapPhase::End => end(&mut text, event),
    };
    if wide && !event.route.is_empty() {
        let _ = write!(text, " route={}", event.route);
    }
    if !event.error.is_empty() {
        let _ = write!(text, " error={:?}", event.error);
    }
    text.push('\n');
    text
}

fn end(text: &mut String, event: &TapEvent) -> std::fmt::Result {
    if let Some(status) = event.grpc_status {
        write!(text, " grpc-status={}", grpc_status(status))?;
    }
    let duration = event.latency_micros.map_or_else(|| "-".to_owned(), number::micros);
    write!(text, " duration={duration} response-length={}B", event.response_bytes.unwrap_or(0))?;
    match event.delayed_micros {
        Some(delay) => write!(text, " fault-delay={}", number::micros(delay)),
        None => Ok(()),
    }
}

/// The names of <https://grpc.io/docs/guides/status-codes/>.
fn grpc_status(status: u32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = usize::try_from(status).ok().and_then(|status| NAMES.get(status));
    name.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn event(phase: TapPhase) -> TapEvent {
        TapEvent {
            phase,
            direction: "out".into(),
            proxy: "shop/front".into(),
            id: 1,
            src: "shop/front".into(),
            dst: "shop/web-1".into(),
            tls: true,
            time: "2026-11-21T00:00:00Z".into(),
            method: String::new(),
            authority: String::new(),
            path: String::new(),
            route: String::new(),
            status: None,
            grpc_status: None,
            latency_micros: None,
            response_bytes: None,
            delayed_micros: None,
            error: String::new(),
        }
    }

    #[test]
    fn the_lines_of_linkerd() {
        let req = TapEvent {
            method: "GET".into(),
            authority: "web".into(),
            path: "/".into(),
            ..event(TapPhase::Req)
        };
        let head = "id=shop/front:1 proxy=out src=shop/front dst=shop/web-1 tls=true";
        assert_eq!(line(&req, false), format!("req {head} :method=GET :authority=web :path=/\n"));
        let rsp = TapEvent { status: Some(200), latency_micros: Some(1234), ..event(TapPhase::Rsp) };
        assert_eq!(line(&rsp, false), format!("rsp {head} :status=200 latency=1234µs\n"));
        let end = TapEvent {
            grpc_status: Some(0),
            latency_micros: Some(99),
            response_bytes: Some(1337),
            ..event(TapPhase::End)
        };
        assert_eq!(
            line(&end, false),
            format!("end {head} grpc-status=OK duration=99µs response-length=1337B\n")
        );
    }

    #[test]
    fn a_delay_on_purpose_is_told_apart() {
        let end = TapEvent {
            latency_micros: Some(305_000),
            response_bytes: Some(2),
            delayed_micros: Some(300_000),
            ..event(TapPhase::End)
        };
        let line = line(&end, false);
        assert!(line.ends_with(" duration=305ms response-length=2B fault-delay=300ms\n"), "{line}");
    }

    #[test]
    fn an_error_cannot_break_the_line() {
        let end = TapEvent { error: "a\nb".into(), ..event(TapPhase::End) };
        assert!(line(&end, false).ends_with(" error=\"a\\nb\"\n"));
    }
}
