//! `byrnie proxy-config`: what a proxy has, in its own words, over the stream that it holds to the control plane.

use byrnie_control::api::{Items, ProxyConfigQuery, ProxyItem};
use serde_json::Value;

use crate::cli::Context;
use crate::cli::args::{ConfigFormat, ProxyConfigArgs, ProxySection};
use crate::cli::failure::{Failure, NOT_FOUND};
use crate::output;
use crate::output::table::Table;

/// Prints one section of one proxy, or of all.
pub async fn run(context: &Context, args: &ProxyConfigArgs) -> Result<(), Failure> {
    let proxy = match &args.name {
        Some(name) => Some(find(context, name, args.namespace.as_deref()).await?),
        None => None,
    };
    let query = ProxyConfigQuery { proxy: proxy.as_ref().map(|p| format!("{}/{}", p.namespace, p.workload)) };
    let section = name(args.section);
    let mut list =
        context.client.proxy_config(section, &query).await.map_err(|body| context.refused(body))?;
    if let (None, Some(namespace)) = (&query.proxy, &args.namespace) {
        list.items.retain(|item| item["proxyNamespace"] == namespace.as_str());
    }
    match args.output {
        ConfigFormat::Json => output::json(&list),
        ConfigFormat::Yaml => output::yaml(&[serde_json::to_value(&list).map_err(Failure::system)?]),
        ConfigFormat::Table if list.items.is_empty() => {
            output::say(&format!("no {section}"));
            Ok(())
        }
        ConfigFormat::Table => output::data(&table(args.section, &list, query.proxy.is_none()).render()),
    }
}

/// The proxy that is meant by `NAME`, `proxy/NAME` or `gateway/NAME`.
pub async fn find(context: &Context, name: &str, namespace: Option<&str>) -> Result<ProxyItem, Failure> {
    let (kind, bare) = name.split_once('/').map_or((None, name), |(kind, bare)| (Some(kind), bare));
    let fits = |item: &ProxyItem| {
        let of_kind = match kind {
            Some("gateway" | "gateways" | "gtw") => item.role == "gateway",
            Some("workload" | "workloads" | "sidecar") => item.role == "sidecar",
            _ => true,
        };
        of_kind && item.workload == bare && namespace.is_none_or(|namespace| item.namespace == namespace)
    };
    let list = context.client.proxies().await.map_err(|body| context.refused(body))?;
    let mut found: Vec<ProxyItem> = list.items.into_iter().filter(fits).collect();
    match (found.pop(), found.is_empty()) {
        (Some(item), true) => Ok(item),
        (Some(_), false) => {
            Err(Failure::argument(format!("`{name}` is in several namespaces"), "name one with -n"))
        }
        (None, _) => {
            let failure =
                Failure::new(NOT_FOUND, format!("no proxy of a workload or gateway `{name}` has connected"));
            Err(failure.help("`byrnie get proxies` lists those that have"))
        }
    }
}

fn name(section: ProxySection) -> &'static str {
    match section {
        ProxySection::Listeners => "listeners",
        ProxySection::Routes => "routes",
        ProxySection::Endpoints => "endpoints",
        ProxySection::Pools => "pools",
        ProxySection::Certificates => "certificates",
        ProxySection::Policy => "policy",
        ProxySection::Connections => "connections",
        ProxySection::Settings => "settings",
    }
}

/// Header and field of each column, in the order that users of istioctl know.
fn columns(section: ProxySection) -> &'static [(&'static str, &'static str)] {
    match section {
        ProxySection::Listeners => &[
            ("ADDRESS", "address"),
            (">PORT", "port"),
            ("MATCH", "entrance"),
            ("PROTOCOL", "protocol"),
            ("DESTINATION", "destination"),
        ],
        ProxySection::Routes => &[
            ("NAME", "name"),
            ("VHOST NAME", "virtualHost"),
            ("DOMAINS", "domains"),
            ("MATCH", "match"),
            ("DESTINATION", "destination"),
        ],
        ProxySection::Endpoints => &[
            ("ENDPOINT", "endpoint"),
            ("STATUS", "status"),
            ("OUTLIER CHECK", "outlierCheck"),
            ("CLUSTER", "cluster"),
            ("WORKLOAD", "workload"),
            ("HOP", "hop"),
            (">WEIGHT", "weight"),
        ],
        ProxySection::Pools => &[
            ("CLUSTER", "cluster"),
            ("ENDPOINT", "endpoint"),
            (">CONNECTIONS", "connections"),
            (">IN_FLIGHT", "inFlight"),
            (">PENDING", "pending"),
        ],
        ProxySection::Certificates => &[
            ("RESOURCE NAME", "name"),
            ("TYPE", "type"),
            ("STATUS", "status"),
            ("VALID CERT", "valid"),
            ("SERIAL NUMBER", "serial"),
            ("NOT AFTER", "notAfter"),
            ("NOT BEFORE", "notBefore"),
        ],
        ProxySection::Policy => {
            &[("NAME", "name"), ("ACTION", "action"), ("DRY RUN", "dryRun"), (">RULES", "rules")]
        }
        ProxySection::Connections => {
            &[("REMOTE", "remote"), ("ENTRANCE", "entrance"), ("TO", "to"), (">AGE_MS", "ageMs")]
        }
        ProxySection::Settings => {
            &[("AT", "at"), ("FIELD", "field"), ("VALUE", "value"), ("ORIGIN", "origin")]
        }
    }
}

fn table(section: ProxySection, list: &Items<Value>, all: bool) -> Table {
    let columns = columns(section);
    let mut headers: Vec<&str> = columns.iter().map(|(header, _)| *header).collect();
    if all {
        headers.splice(0..0, ["NAMESPACE", "PROXY"]);
    }
    let mut table = Table::new(&headers);
    for item in &list.items {
        let mut row: Vec<String> = columns.iter().map(|(_, field)| cell(&item[*field])).collect();
        if all {
            row.splice(0..0, [cell(&item["proxyNamespace"]), cell(&item["proxy"])]);
        }
        table.row(row);
    }
    table
}

/// A list is told by its length.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.len().to_string(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_of_endpoints() {
        let item = json!({
            "endpoint": "127.0.0.1:81", "status": "EJECTED", "outlierCheck": "FAILED", "cluster": "shop/web:80",
            "workload": "shop/web-1", "hop": "mTLS", "weight": 1, "proxyNamespace": "shop", "proxy": "front",
        });
        let list = Items { items: vec![item] };
        let expected = "\
NAMESPACE   PROXY   ENDPOINT       STATUS    OUTLIER CHECK   CLUSTER       WORKLOAD     HOP    WEIGHT
shop        front   127.0.0.1:81   EJECTED   FAILED          shop/web:80   shop/web-1   mTLS        1
";
        assert_eq!(table(ProxySection::Endpoints, &list, true).render(), expected);
    }
}
