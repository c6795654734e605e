//! The columns of `byrnie get`, kind by kind.

use serde_json::Value;

use crate::output::number;
use crate::output::table::Table;

/// One column: its header (`>` before numbers), and what it shows of an object.
pub struct Column {
    header: &'static str,
    wide: bool,
    cell: fn(&Value) -> String,
}

const fn column(header: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { header, wide: false, cell }
}

const fn wide(header: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { header, wide: true, cell }
}

const NAME: Column = column("NAME", |object| text(&object["metadata"]["name"]));
const AGE: Column = column(">AGE", |object| match object["metadata"]["creationTimestamp"].as_str() {
    Some(time) => number::age_of(time),
    None => String::new(),
});
const LABELS: Column = wide("LABELS", labels);
const ACCEPTED: Column = column("ACCEPTED", |object| condition(object, "Accepted"));
const TARGETS: Column = column("TARGETS", targets);
const HOSTNAMES: Column = column("HOSTNAMES", |object| list(&object["spec"]["hostnames"], text));
const PARENTS: Column =
    column("PARENTS", |object| list(&object["spec"]["parentRefs"], |parent| text(&parent["name"])));

/// The columns of a kind, from left to right.
fn columns(kind: &str) -> Vec<Column> {
    match kind {
        "Workload" => vec![
            NAME,
            column("READY", |object| condition(object, "Ready")),
            column("PROXY", |object| or(&object["spec"]["proxy"], "sidecar")),
            column("ACCOUNT", |object| or(&object["spec"]["serviceAccount"], "default")),
            column("PORTS", |object| list(&object["spec"]["ports"], port)),
            wide("ADDRESS", |object| text(&object["spec"]["address"])),
            wide("MESH_ADDRESS", |object| text(&object["status"]["proxy"]["meshAddress"])),
            LABELS,
            AGE,
        ],
        "Service" => vec![
            NAME,
            column("TYPE", |object| or(&object["spec"]["type"], "ClusterIP")),
            column("PORTS", |object| list(&object["spec"]["ports"], port)),
            wide("VIRTUAL_ADDRESSES", |object| list(&object["status"]["virtualAddresses"], text)),
            wide("SELECTOR", |object| pairs(&object["spec"]["selector"])),
            AGE,
        ],
        "Gateway" => vec![
            NAME,
            column("CLASS", |object| text(&object["spec"]["gatewayClassName"])),
            column("ADDRESS", |object| {
                list(&object["status"]["addresses"], |address| text(&address["value"]))
            }),
            column("LISTENERS", |object| list(&object["spec"]["listeners"], port)),
            column("PROGRAMMED", |object| condition(object, "Programmed")),
            AGE,
        ],
        "GatewayClass" => {
            vec![NAME, column("CONTROLLER", |object| text(&object["spec"]["controllerName"])), ACCEPTED, AGE]
        }
        "HTTPRoute" | "GRPCRoute" => vec![NAME, HOSTNAMES, PARENTS, ACCEPTED, AGE],
        "TCPRoute" => vec![NAME, PARENTS, ACCEPTED, AGE],
        "AuthorizationPolicy" => {
            vec![
                NAME,
                column("ACTION", |object| or(&object["spec"]["action"], "ALLOW")),
                TARGETS,
                ACCEPTED,
                AGE,
            ]
        }
        "ServiceSubset" => {
            vec![NAME, column("SERVICE", |object| text(&object["spec"]["service"])), ACCEPTED, AGE]
        }
        "TrafficPolicy" => vec![NAME, TARGETS, ACCEPTED, AGE],
        "RateLimitPolicy" => vec![
            NAME,
            TARGETS,
            column("SHADOW", |object| if object["spec"]["shadow"] == true { "yes" } else { "no" }.to_owned()),
            ACCEPTED,
            AGE,
        ],
        "FaultPolicy" => vec![
            NAME,
            TARGETS,
            column("EXPIRES", |object| or(&object["spec"]["expires"], "1h")),
            ACCEPTED,
            AGE,
        ],
        "Mesh" => vec![
            NAME,
            column("TRUST_DOMAIN", |object| or(&object["spec"]["trustDomain"], "cluster.local")),
            AGE,
        ],
        _ => vec![NAME, LABELS, AGE],
    }
}

/// Objects of one kind as a table that can grow.
pub struct ObjectTable {
    columns: Vec<Column>,
    /// The table; rows are added by [`ObjectTable::row`].
    pub table: Table,
    namespaces: bool,
    events: bool,
}

impl ObjectTable {
    /// `namespaces`: begins with NAMESPACE. `events`: begins with EVENT (a watch).
    pub fn new(kind: &str, namespaces: bool, wide: bool, events: bool) -> Self {
        let mut columns = columns(kind);
        columns.retain(|column| wide || !column.wide);
        let mut headers: Vec<&str> = columns.iter().map(|column| column.header).collect();
        if namespaces {
            headers.insert(0, "NAMESPACE");
        }
        if events {
            headers.insert(0, "EVENT");
        }
        let table = Table::new(&headers);
        Self { columns, table, namespaces, events }
    }

    /// Adds an object.
    pub fn row(&mut self, event: &str, object: &Value) {
        let mut row = Vec::new();
        if self.events {
            row.push(event.to_owned());
        }
        if self.namespaces {
            row.push(text(&object["metadata"]["namespace"]));
        }
        row.extend(self.columns.iter().map(|column| (column.cell)(object)));
        self.table.row(row);
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn or(value: &Value, default: &str) -> String {
    value.as_str().unwrap_or(default).to_owned()
}

fn list(value: &Value, show: fn(&Value) -> String) -> String {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(show).collect::<Vec<_>>().join(",")
}

/// `80/http`, `80->8080` , `18081`.
fn port(port: &Value) -> String {
    let number = text(&port["port"]);
    let named =
        port["appProtocol"].as_str().or_else(|| port["name"].as_str()).or_else(|| port["protocol"].as_str());
    named.map_or_else(|| number.clone(), |name| format!("{number}/{name}"))
}

fn pairs(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
}

/// The labels, `a=b,c=d`.
pub fn labels(object: &Value) -> String {
    pairs(&object["metadata"]["labels"])
}

fn targets(object: &Value) -> String {
    list(&object["spec"]["targetRefs"], |target| {
        format!("{}/{}", text(&target["kind"]), text(&target["name"]))
    })
}

/// The status of a condition: the object's own, or of a route the worst over its parents.
pub fn condition(object: &Value, kind: &str) -> String {
    let own = object["status"]["conditions"].as_array().into_iter();
    let parents = object["status"]["parents"].as_array().into_iter().flatten();
    let of_parents = parents.filter_map(|parent| parent["conditions"].as_array());
    let of_ancestors = object["status"]["ancestors"].as_array().into_iter().flatten();
    let of_ancestors = of_ancestors.filter_map(|ancestor| ancestor["conditions"].as_array());
    let all = own.chain(of_parents).chain(of_ancestors).flatten();
    let mut found = String::new();
    for condition in all.filter(|condition| condition["type"] == kind) {
        if found.is_empty() || condition["status"] != "True" {
            found = text(&condition["status"]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn services_and_workloads() {
        let service = json!({"kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"ports": [{"name": "http", "port": 80, "appProtocol": "http"}], "selector": {"app": "web"}}});
        let mut table = ObjectTable::new("Service", true, false, false);
        table.row("", &service);
        let expected = "\
NAMESPACE   NAME   TYPE        PORTS     AGE
shop        web    ClusterIP   80/http     -
";
        assert_eq!(table.table.render(), expected);
        let workload = json!({"metadata": {"name": "web-1"}, "spec": {"ports": [{"port": 18081}]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        let mut table = ObjectTable::new("Workload", false, false, true);
        table.row("ADDED", &workload);
        let expected = "\
EVENT   NAME    READY   PROXY     ACCOUNT   PORTS   AGE
ADDED   web-1   False   sidecar   default   18081     -
";
        assert_eq!(table.table.render(), expected);
    }

    #[test]
    fn a_route_is_accepted_when_all_its_parents_accept_it() {
        let parent = |status: &str| json!({"conditions": [{"type": "Accepted", "status": status}]});
        let route = json!({"status": {"parents": [parent("True"), parent("False"), parent("True")]}});
        assert_eq!(condition(&route, "Accepted"), "False");
        assert_eq!(condition(&json!({}), "Accepted"), "");
    }
}
