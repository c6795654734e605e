//! `byrnie routes`: the golden numbers of each route, as the callers saw them.

use byrnie_control::api::{RouteItem, SightQuery};

use crate::cli::Context;
use crate::cli::args::{ReportFormat, RoutesArgs};
use crate::cli::failure::Failure;
use crate::cli::stat::window_seconds;
use crate::cli::value::bare_name;
use crate::output::table::Table;
use crate::output::{self, number};

/// Prints the routes.
pub async fn run(context: &Context, args: &RoutesArgs) -> Result<(), Failure> {
    let query = SightQuery {
        namespace: args.scope.namespace.clone(),
        name: args.service.as_deref().map(|name| bare_name(name).to_owned()),
        kind: None,
        window_seconds: Some(window_seconds(args.time_window)?),
    };
    let list = context.client.routes(&query).await.map_err(|body| context.refused(body))?;
    if args.output == ReportFormat::Json {
        return output::json(&list);
    }
    if list.items.is_empty() {
        output::say(&format!("no traffic in the last {} s", args.time_window.as_secs()));
        return Ok(());
    }
    output::data(&table(&list.items, args.scope.namespace.is_none()).render())
}

fn table(items: &[RouteItem], namespaces: bool) -> Table {
    let mut headers =
        vec!["ROUTE", "SERVICE", ">SUCCESS", ">RPS", ">LATENCY_P50", ">LATENCY_P95", ">LATENCY_P99"];
    if namespaces {
        headers.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&headers);
    for item in items {
        let mut row = vec![
            item.route.clone(),
            item.service.clone(),
            number::percent(Some(item.success)),
            number::rps(item.rps),
            number::millis(Some(item.p50_ms)),
            number::millis(Some(item.p95_ms)),
            number::millis(Some(item.p99_ms)),
        ];
        if namespaces {
            row.insert(0, item.namespace.clone());
        }
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> RouteItem {
        RouteItem {
            namespace: "demo".into(),
            service: "voting".into(),
            route: "doughnut/0".into(),
            success: 0.5,
            rps: 10.25,
            p50_ms: 0.4,
            p95_ms: 2.0,
            p99_ms: 12.0,
        }
    }

    #[test]
    fn a_table_for_people() {
        let expected = "\
NAMESPACE   ROUTE        SERVICE   SUCCESS       RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99
demo        doughnut/0   voting     50.00%   10.2rps         0.4ms         2.0ms          12ms
";
        assert_eq!(table(&[item()], true).render(), expected);
    }

    #[test]
    fn the_json_contract() {
        let json = serde_json::to_string(&item()).unwrap();
        let expected =
            r#"{"namespace":"demo","service":"voting","route":"doughnut/0","success":0.5,"rps":10.25,"#
                .to_owned()
                + r#""p50Ms":0.4,"p95Ms":2.0,"p99Ms":12.0}"#;
        assert_eq!(json, expected);
    }
}
