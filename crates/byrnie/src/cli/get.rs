//! `byrnie get`: objects as a list.

use byrnie_control::api::{ErrorBody, ListQuery, WatchEventType};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::args::{Format, GetArgs, SelectArgs};
use crate::cli::columns::ObjectTable;
use crate::cli::failure::{Failure, NOT_FOUND};
use crate::cli::proxy_status;
use crate::cli::value::Target;
use crate::output;

/// Prints the list, and with `--watch` what changes in it.
pub async fn run(context: &Context, args: &GetArgs) -> Result<(), Failure> {
    let target = Target::parse(&args.resource.kind, &args.resource.names)?;
    if matches!(target.kind.to_ascii_lowercase().as_str(), "proxies" | "proxy") {
        return proxy_status::get(context, args, &target).await;
    }
    if args.watch {
        return watch(context, args, &target).await;
    }
    let items = list(context, &target, &args.select).await?;
    let items: Vec<Value> = items.into_iter().map(in_usual_order).collect();
    let single = target.names.len() == 1 && items.len() == 1;
    match args.output {
        Format::Json if single => output::json(&items[0]),
        Format::Json => output::json(&json!({"apiVersion": "v1", "kind": "List", "items": items})),
        Format::Yaml => output::yaml(&items),
        Format::Name => output::data(&items.iter().map(name_line).collect::<String>()),
        Format::Table | Format::Wide if items.is_empty() => {
            output::say(&nothing(&target, &args.select));
            Ok(())
        }
        Format::Table | Format::Wide => {
            let mut table = table(args, &items[0]);
            items.iter().for_each(|item| table.row("", item));
            output::data(&table.table.render())
        }
    }
}

/// The objects that a target and a selection mean. A name that is not there is a failure.
pub async fn list(context: &Context, target: &Target, select: &SelectArgs) -> Result<Vec<Value>, Failure> {
    let query = ListQuery {
        namespace: select.scope.namespace.clone(),
        label_selector: select.selector.clone(),
        ..ListQuery::default()
    };
    if target.names.is_empty() {
        let list = context.client.list(&target.kind, &query).await.map_err(|body| context.refused(body))?;
        return Ok(list.items);
    }
    let mut items = Vec::new();
    for name in &target.names {
        let query = ListQuery { name: Some(name.clone()), ..query.clone() };
        let list = context.client.list(&target.kind, &query).await.map_err(|body| context.refused(body))?;
        if list.items.is_empty() {
            return Err(missing(&target.kind, name, select.scope.namespace.as_deref()));
        }
        items.extend(list.items);
    }
    Ok(items)
}

/// The keys of an object in the order in which people write them.
fn in_usual_order(object: Value) -> Value {
    let Value::Object(mut fields) = object else { return object };
    let mut ordered = serde_json::Map::new();
    for key in ["apiVersion", "kind", "metadata", "spec", "status"] {
        ordered.extend(fields.shift_remove_entry(key));
    }
    ordered.extend(fields);
    Value::Object(ordered)
}

/// What is said of a name that is not there.
pub fn missing(kind: &str, name: &str, namespace: Option<&str>) -> Failure {
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    Failure::new(NOT_FOUND, format!("there is no {kind} `{name}`{place}"))
        .help(format!("`byrnie get {kind}` lists those that exist"))
}

fn nothing(target: &Target, select: &SelectArgs) -> String {
    match &select.scope.namespace {
        Some(namespace) => format!("no {} found in namespace {namespace}", target.kind),
        None => format!("no {} found", target.kind),
    }
}

async fn watch(context: &Context, args: &GetArgs, target: &Target) -> Result<(), Failure> {
    let ([] | [_]) = target.names.as_slice() else {
        return Err(Failure::argument(
            "--watch takes one name, or none",
            "leave the names out to watch the kind",
        ));
    };
    let query = ListQuery {
        namespace: args.select.scope.namespace.clone(),
        name: target.names.first().cloned(),
        label_selector: args.select.selector.clone(),
        watch: true,
    };
    let mut events =
        context.client.watch(&target.kind, &query).await.map_err(|body| context.refused(body))?;
    let mut seen: Option<ObjectTable> = None;
    let mut started = false;
    while let Some(event) = events.next().await {
        let event = event.map_err(|body| context.refused(body))?;
        let word = match event.event {
            WatchEventType::Added => "ADDED",
            WatchEventType::Modified => "MODIFIED",
            WatchEventType::Deleted => "DELETED",
            WatchEventType::Bookmark => "",
            WatchEventType::Error => return Err(ended(context, event.object)),
        };
        match args.output {
            _ if word.is_empty() => {}
            Format::Json => output::json_line(&event)?,
            Format::Yaml => output::data(&format!("---\n{}", output::to_yaml(&event.object)?))?,
            Format::Name => output::data(&name_line(&event.object))?,
            Format::Table | Format::Wide => {
                seen.get_or_insert_with(|| table(args, &event.object)).row(word, &event.object);
            }
        }
        // The first table is printed whole, so that its columns fit what is there; then line by line.
        if let Some(table) = &mut seen
            && (started || word.is_empty())
        {
            let text = if started { table.table.render_rows() } else { table.table.render() };
            started = true;
            output::data(&text)?;
        } else if word.is_empty() {
            output::say("nothing yet; waiting for changes");
        }
    }
    Ok(())
}

fn ended(context: &Context, object: Value) -> Failure {
    match serde_json::from_value::<ErrorBody>(object) {
        Ok(body) => context.refused(body),
        Err(error) => Failure::system(error),
    }
}

fn table(args: &GetArgs, first: &Value) -> ObjectTable {
    let kind = first["kind"].as_str().unwrap_or_default();
    let namespaced = first["metadata"]["namespace"].as_str().is_some_and(|namespace| !namespace.is_empty());
    let namespaces = namespaced && args.select.scope.namespace.is_none();
    ObjectTable::new(kind, namespaces, args.output == Format::Wide, args.watch)
}

/// `service/web`, as kubectl prints it.
fn name_line(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    format!("{kind}{group}/{}\n", object["metadata"]["name"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_begin_with_what_they_are() {
        let object =
            in_usual_order(json!({"data": 1, "status": {}, "spec": {}, "kind": "A", "apiVersion": "v1"}));
        assert_eq!(object.to_string(), r#"{"apiVersion":"v1","kind":"A","spec":{},"status":{},"data":1}"#);
    }

    #[test]
    fn names_as_kubectl_prints_them() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}});
        assert_eq!(name_line(&service), "service/web\n");
        let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"}});
        assert_eq!(name_line(&route), "httproute.gateway.networking.k8s.io/r\n");
    }
}
