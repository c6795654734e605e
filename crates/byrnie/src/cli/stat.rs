//! `byrnie stat`: the golden numbers of services, gateways or workloads.

use std::time::Duration;

use byrnie_control::api::{SightQuery, StatItem};

use crate::cli::Context;
use crate::cli::args::{ReportFormat, StatArgs};
use crate::cli::failure::Failure;
use crate::cli::value::Target;
use crate::output::table::Table;
use crate::output::{self, number};

/// Prints the numbers.
pub async fn run(context: &Context, args: &StatArgs) -> Result<(), Failure> {
    let (kind, name) = subject(args)?;
    let namespace = args.scope.namespace.clone();
    let query = SightQuery { namespace, name, kind, window_seconds: Some(window_seconds(args.time_window)?) };
    let list = context.client.stat(&query).await.map_err(|body| context.refused(body))?;
    if args.output == ReportFormat::Json {
        return output::json(&list);
    }
    if list.items.is_empty() {
        output::say("nothing to show: no such service, gateway or workload (`byrnie get services`)");
        return Ok(());
    }
    let all = args.scope.namespace.is_none();
    output::data(&table(&list.items, all, args.output == ReportFormat::Wide).render())
}

/// The table of `stat`; `up` and `demo` show it refreshed, with SECURED.
pub fn table(items: &[StatItem], namespaces: bool, secured: bool) -> Table {
    let mut headers = vec![
        "NAME",
        ">MESHED",
        ">SUCCESS",
        ">RPS",
        ">LATENCY_P50",
        ">LATENCY_P95",
        ">LATENCY_P99",
        ">TCP_CONN",
    ];
    if namespaces {
        headers.insert(0, "NAMESPACE");
    }
    if secured {
        headers.push("SECURED");
    }
    let mut table = Table::new(&headers);
    for item in items {
        let mut row = vec![
            item.name.clone(),
            format!("{}/{}", item.meshed, item.total),
            number::percent(item.success),
            item.success.map_or_else(String::new, |_| number::rps(item.rps)),
            number::millis(item.p50_ms),
            number::millis(item.p95_ms),
            number::millis(item.p99_ms),
            item.tcp_connections.to_string(),
        ];
        if namespaces {
            row.insert(0, item.namespace.clone());
        }
        if secured {
            row.push(number::secured(item.secured));
        }
        table.row(row);
    }
    table
}

/// The window in the whole seconds that the control plane keeps: five minutes.
pub fn window_seconds(window: Duration) -> Result<u32, Failure> {
    match u32::try_from(window.as_secs()) {
        Ok(seconds @ 1..=300) => Ok(seconds),
        _ => Err(Failure::argument("--time-window is out of range", "five minutes are kept: 1s to 5m")),
    }
}

/// Kind and name of what is asked for; the API knows `workload` and `service` and, by default, services and gateways.
fn subject(args: &StatArgs) -> Result<(Option<String>, Option<String>), Failure> {
    let Some(kind) = &args.kind else {
        return Ok((None, None));
    };
    let target = Target::parse(kind, args.name.as_slice())?;
    let kind = match target.kind.to_ascii_lowercase().as_str() {
        "service" | "services" | "svc" => "service",
        "workload" | "workloads" | "wl" => "workload",
        "gateway" | "gateways" | "gtw" => "gateway",
        _ => {
            let message = format!("`stat` has no numbers about `{}`", target.kind);
            return Err(Failure::argument(message, "ask for services, workloads or gateways"));
        }
    };
    match target.names.as_slice() {
        [] => Ok((Some(kind.to_owned()), None)),
        [name] => Ok((Some(kind.to_owned()), Some(name.clone()))),
        _ => Err(Failure::argument("`stat` takes one name", "leave the name out to see all")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> StatItem {
        StatItem {
            namespace: "shop".into(),
            name: "emoji".into(),
            kind: "Service".into(),
            meshed: 1,
            total: 2,
            success: Some(1.0),
            rps: 2.0,
            p50_ms: Some(123.0),
            p95_ms: Some(123.0),
            p99_ms: Some(123.0),
            tcp_connections: 123,
            secured: Some(true),
        }
    }

    #[test]
    fn the_columns_of_linkerd() {
        let expected = "\
NAME    MESHED   SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   TCP_CONN
emoji      1/2   100.00%   2.0rps         123ms         123ms         123ms        123
";
        assert_eq!(table(&[item()], false, false).render(), expected);
    }

    #[test]
    fn without_traffic_there_are_no_numbers() {
        let idle = StatItem {
            success: None,
            rps: 0.0,
            p50_ms: None,
            p95_ms: None,
            p99_ms: None,
            secured: None,
            tcp_connections: 0,
            ..item()
        };
        let expected = "\
NAMESPACE   NAME    MESHED   SUCCESS   RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   TCP_CONN   SECURED
shop        emoji      1/2         -     -             -             -             -          0   -
";
        assert_eq!(table(&[idle], true, true).render(), expected);
    }

    #[test]
    fn windows_are_whole_seconds_up_to_five_minutes() {
        assert!(window_seconds(Duration::from_secs(300)).is_ok());
        assert!(window_seconds(Duration::from_millis(900)).is_err());
        assert!(window_seconds(Duration::from_secs(301)).is_err());
    }
}
