//! `byrnie delete`.

use byrnie_control::api::{ApplyResult, ListQuery};

use crate::cli::Context;
use crate::cli::args::DeleteArgs;
use crate::cli::failure::{Failure, NOT_FOUND};
use crate::cli::value::Target;
use crate::cli::{files, get};
use crate::output;

/// One object to delete.
struct Doomed {
    kind: String,
    /// `None`: the one namespace that has it.
    namespace: Option<String>,
    name: String,
}

/// Deletes what the arguments or files name, and says of each object that it is gone.
pub async fn run(context: &Context, args: &DeleteArgs) -> Result<(), Failure> {
    let doomed = match &args.kind {
        Some(kind) => named(args, kind)?,
        None => in_files(args)?,
    };
    context.say_which();
    for object in doomed {
        let Some(namespace) = namespace(context, args, &object).await? else {
            continue;
        };
        match context.client.delete(&object.kind, &namespace, &object.name).await {
            Ok(response) => output::data(&response.deleted.iter().map(line).collect::<String>())?,
            Err(body) if body.code == NOT_FOUND && args.ignore_not_found => {}
            Err(body) => return Err(context.refused(body)),
        }
    }
    Ok(())
}

fn named(args: &DeleteArgs, kind: &str) -> Result<Vec<Doomed>, Failure> {
    let target = Target::parse(kind, &args.names)?;
    if target.names.is_empty() {
        let message = format!("`delete {kind}` names no object");
        return Err(Failure::argument(message, format!("write `byrnie delete {kind} NAME`")));
    }
    let doomed = |name| Doomed { kind: target.kind.clone(), namespace: args.namespace.clone(), name };
    Ok(target.names.into_iter().map(doomed).collect())
}

/// In the files' reverse order: what was applied last may lean on what was applied first.
fn in_files(args: &DeleteArgs) -> Result<Vec<Doomed>, Failure> {
    let documents = files::read(&args.files, args.namespace.as_deref())?;
    let doomed = |document: &files::Document| {
        let (kind, namespace, name) = document.names();
        Doomed { kind: kind.to_owned(), namespace: Some(namespace.to_owned()), name: name.to_owned() }
    };
    Ok(documents.iter().rev().map(doomed).collect())
}

/// Where the object is: `None` when it is nowhere and that is no error.
async fn namespace(context: &Context, args: &DeleteArgs, object: &Doomed) -> Result<Option<String>, Failure> {
    let query = ListQuery { name: Some(object.name.clone()), ..ListQuery::default() };
    let list = context.client.list(&object.kind, &query).await.map_err(|body| context.refused(body))?;
    let namespace =
        |item: &serde_json::Value| item["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let mut namespaces: Vec<String> = list.items.iter().map(namespace).collect();
    if let Some(wanted) = &object.namespace {
        // A cluster-scoped object is in no namespace, whatever -n says.
        namespaces.retain(|namespace| namespace == wanted || namespace.is_empty());
    }
    match namespaces.as_slice() {
        [namespace] => Ok(Some(namespace.clone())),
        [] if args.ignore_not_found => Ok(None),
        [] => Err(get::missing(&object.kind, &object.name, object.namespace.as_deref())),
        several => {
            let message = format!("{} namespaces have a {} `{}`", several.len(), object.kind, object.name);
            Err(Failure::argument(message, format!("say which with -n: {}", several.join(", "))))
        }
    }
}

fn line(result: &ApplyResult) -> String {
    format!("{} deleted\n", files::lower_name(&result.kind, &result.namespace, &result.name))
}
