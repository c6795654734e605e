//! `byrnie proxy-status` and `byrnie get proxies`: whether each proxy obeys the latest state.

use byrnie_control::api::{Items, PoolTotals, ProxyItem, SyncState};
use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::{Format, GetArgs, ProxyStatusArgs, ReportFormat};
use crate::cli::failure::{Failure, NOT_FOUND};
use crate::cli::value::{Target, bare_name};
use crate::output::table::Table;
use crate::output::{self, number};

/// What scripts read of a proxy: a published contract, in this order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicProxy<'a> {
    namespace: &'a str,
    workload: &'a str,
    pid: u32,
    admin: &'a str,
    sync: SyncState,
    not_after: &'a str,
}

/// `byrnie proxy-status`.
pub async fn run(context: &Context, args: &ProxyStatusArgs) -> Result<(), Failure> {
    let names: Vec<String> = args.name.iter().map(|name| bare_name(name).to_owned()).collect();
    let list = fetch(context, args.scope.namespace.as_deref(), &names).await?;
    if args.output == ReportFormat::Json {
        return output::json(&list);
    }
    if list.items.is_empty() {
        output::say("no proxy has connected");
        return Ok(());
    }
    let all = args.scope.namespace.is_none();
    output::data(&table(&list.items, all, args.output == ReportFormat::Wide).render())
}

/// `byrnie get proxies`.
pub async fn get(context: &Context, args: &GetArgs, target: &Target) -> Result<(), Failure> {
    if args.watch || args.select.selector.is_some() {
        let message = "proxies are no objects: they have no labels and cannot be watched";
        return Err(Failure::argument(
            message,
            "use `byrnie proxy-status`, or `byrnie get workloads --watch`",
        ));
    }
    let list = fetch(context, args.select.scope.namespace.as_deref(), &target.names).await?;
    let public = || Items { items: list.items.iter().map(public).collect() };
    match args.output {
        Format::Json => output::json(&public()),
        Format::Yaml => output::yaml(&[serde_json::to_value(public()).map_err(Failure::system)?]),
        Format::Name => {
            let lines: String = list.items.iter().map(|item| format!("proxy/{}\n", item.workload)).collect();
            output::data(&lines)
        }
        Format::Table | Format::Wide if list.items.is_empty() => {
            output::say("no proxy has connected");
            Ok(())
        }
        Format::Table | Format::Wide => {
            let all = args.select.scope.namespace.is_none();
            output::data(&table(&list.items, all, args.output == Format::Wide).render())
        }
    }
}

async fn fetch(
    context: &Context,
    namespace: Option<&str>,
    names: &[String],
) -> Result<Items<ProxyItem>, Failure> {
    let mut list = context.client.proxies().await.map_err(|body| context.refused(body))?;
    list.items.retain(|item| namespace.is_none_or(|namespace| item.namespace == namespace));
    if names.is_empty() {
        return Ok(list);
    }
    if let Some(missing) = names.iter().find(|name| !list.items.iter().any(|item| item.workload == **name)) {
        let failure =
            Failure::new(NOT_FOUND, format!("no proxy of a workload or gateway `{missing}` has connected"));
        return Err(failure.help("`byrnie get proxies` lists those that have"));
    }
    list.items.retain(|item| names.contains(&item.workload));
    Ok(list)
}

fn public(item: &ProxyItem) -> PublicProxy<'_> {
    PublicProxy {
        namespace: &item.namespace,
        workload: &item.workload,
        pid: item.pid,
        admin: &item.admin,
        sync: item.sync,
        not_after: &item.not_after,
    }
}

fn table(items: &[ProxyItem], namespaces: bool, wide: bool) -> Table {
    let mut headers =
        vec!["NAME", "ROLE", "SYNC", ">SUBSCRIBED", ">STALE", ">REJECTED", ">CERT_LEFT", "VERSION"];
    if namespaces {
        headers.insert(0, "NAMESPACE");
    }
    if wide {
        headers.extend([
            ">PID",
            "ADMIN",
            "MESH",
            "IDENTITY",
            ">CONNECTIONS",
            ">IN_FLIGHT",
            ">PENDING",
            "EJECTED",
        ]);
    }
    headers.push("REASON");
    let mut table = Table::new(&headers);
    for item in items {
        let left =
            number::seconds_since(&item.not_after).map_or_else(String::new, |since| number::age(-since));
        let mut row = vec![
            item.workload.clone(),
            item.role.clone(),
            word(item.sync).to_owned(),
            item.subscribed.to_string(),
            item.stale.to_string(),
            item.rejected.len().to_string(),
            left,
            item.version.clone(),
        ];
        if namespaces {
            row.insert(0, item.namespace.clone());
        }
        if wide {
            row.extend([item.pid.to_string(), item.admin.clone(), item.mesh.clone(), item.identity.clone()]);
            let PoolTotals { connections, in_flight, pending, ejected } = &item.pools;
            row.extend([connections, in_flight, pending].map(ToString::to_string));
            row.push(ejected.join(", "));
        }
        row.push(reason(item));
        table.row(row);
    }
    table
}

fn reason(item: &ProxyItem) -> String {
    match item.rejected.first() {
        Some(first) => first.clone(),
        None if !item.connected => format!("not connected for {}", number::age_of(&item.since)),
        None => String::new(),
    }
}

/// The word that operators know.
pub fn word(sync: SyncState) -> &'static str {
    match sync {
        SyncState::Synced => "SYNCED",
        SyncState::Stale => "STALE",
        SyncState::Rejected => "REJECTED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> ProxyItem {
        ProxyItem {
            namespace: "shop".into(),
            workload: "web-1".into(),
            pid: 7,
            admin: "127.0.0.1:1".into(),
            sync: SyncState::Rejected,
            not_after: "2026-11-22T00:00:00Z".into(),
            role: "sidecar".into(),
            version: "0.1.0".into(),
            identity: "spiffe://cluster.local/ns/shop/sa/web".into(),
            mesh: "127.0.0.1:2".into(),
            address: None,
            rules_restored: 0,
            connected: true,
            since: "2026-11-21T00:00:00Z".into(),
            subscribed: 5,
            stale: 0,
            rejected: vec!["Routes/shop/web: BYR0301 why".into()],
            upstreams: Vec::new(),
            pools: PoolTotals::default(),
        }
    }

    #[test]
    fn the_json_contract() {
        let expected =
            r#"{"namespace":"shop","workload":"web-1","pid":7,"admin":"127.0.0.1:1","sync":"REJECTED","#
                .to_owned()
                + r#""notAfter":"2026-11-22T00:00:00Z"}"#;
        assert_eq!(serde_json::to_string(&public(&proxy())).unwrap(), expected);
    }

    #[test]
    fn a_refusal_is_shown_with_its_reason() {
        let text = table(&[proxy()], true, false).render();
        assert!(
            text.starts_with("NAMESPACE   NAME    ROLE      SYNC       SUBSCRIBED   STALE   REJECTED"),
            "{text}"
        );
        assert!(text.ends_with("Routes/shop/web: BYR0301 why\n"), "{text}");
    }
}
