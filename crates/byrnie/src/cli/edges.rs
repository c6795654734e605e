//! `byrnie edges`: who calls whom, and whether it is secured.

use byrnie_control::api::{EdgeItem, SightQuery};

use crate::cli::Context;
use crate::cli::args::{EdgesArgs, ReportFormat};
use crate::cli::failure::Failure;
use crate::cli::stat::window_seconds;
use crate::cli::value::bare_name;
use crate::output;
use crate::output::table::Table;

/// Prints the edges.
pub async fn run(context: &Context, args: &EdgesArgs) -> Result<(), Failure> {
    let query = SightQuery {
        namespace: args.scope.namespace.clone(),
        name: args.workload.as_deref().map(|name| bare_name(name).to_owned()),
        kind: None,
        window_seconds: Some(window_seconds(args.time_window)?),
    };
    let list = context.client.edges(&query).await.map_err(|body| context.refused(body))?;
    if args.output == ReportFormat::Json {
        return output::json(&list);
    }
    if list.items.is_empty() {
        output::say(&format!("no traffic between workloads in the last {} s", args.time_window.as_secs()));
        return Ok(());
    }
    output::data(&table(&list.items, args.output == ReportFormat::Wide).render())
}

fn table(items: &[EdgeItem], wide: bool) -> Table {
    let mut headers = vec!["SRC", "DST", "SRC_NS", "DST_NS"];
    if wide {
        headers.extend(["CLIENT_ID", "SERVER_ID"]);
    }
    headers.push("SECURED");
    let mut table = Table::new(&headers);
    for item in items {
        let mut row =
            vec![item.src.clone(), item.dst.clone(), item.namespace.clone(), item.dst_namespace.clone()];
        if wide {
            row.extend([item.client_id.clone(), item.server_id.clone()]);
        }
        row.push(match (item.secured, item.why.is_empty()) {
            (true, _) => "√".to_owned(),
            (false, true) => "×".to_owned(),
            (false, false) => item.why.clone(),
        });
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> EdgeItem {
        EdgeItem {
            namespace: "shop".into(),
            src: "front".into(),
            dst: "web-1".into(),
            dst_namespace: "shop".into(),
            secured: true,
            why: String::new(),
            client_id: "spiffe://cluster.local/ns/shop/sa/front-byrnie".into(),
            server_id: "spiffe://cluster.local/ns/shop/sa/web".into(),
        }
    }

    #[test]
    fn a_table_for_people() {
        let plain = EdgeItem { dst: "db".into(), secured: false, why: "db has no proxy".into(), ..edge() };
        let expected = "\
SRC     DST     SRC_NS   DST_NS   SECURED
front   web-1   shop     shop     √
front   db      shop     shop     db has no proxy
";
        assert_eq!(table(&[edge(), plain], false).render(), expected);
        assert!(table(&[edge()], true).render().starts_with("SRC     DST     SRC_NS   DST_NS   CLIENT_ID "));
    }

    #[test]
    fn the_json_contract() {
        let json = serde_json::to_value(edge()).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        let expected = ["namespace", "src", "dst", "dstNamespace", "secured", "why", "clientId", "serverId"];
        assert_eq!(keys, expected);
    }
}
