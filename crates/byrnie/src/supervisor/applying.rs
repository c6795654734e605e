//! The files of `up`: read first, applied once a control plane answers.

use std::path::{Path, PathBuf};

use byrnie_control::api::ApplyRequest;
use byrnie_control::client::Client;
use serde_json::Value;

use super::desired::DIRECTORY_ANNOTATION;
use crate::cli::failure::{FILE, Failure};
use crate::cli::files::{self, Document};
use crate::cli::mesh::MeshDir;
use crate::cli::{Context, apply};

/// What one `-f` names.
#[derive(Debug)]
pub struct Batch {
    /// Its absolute path; none for standard input.
    source: Option<String>,
    documents: Vec<Document>,
}

/// Reads everything, so that a file that cannot be read starts nothing.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Batch>, Failure> {
    let one = |path: &PathBuf| {
        let source = if path == Path::new("-") { None } else { Some(absolute(path)?.display().to_string()) };
        let mut documents = files::read(std::slice::from_ref(path), None)?;
        annotate_directory(&mut documents)?;
        Ok(Batch { source, documents })
    };
    paths.iter().map(one).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| Failure::new(FILE, format!("{}: {error}", path.display())))
}

/// Notes on each Workload with a command the directory of its file, where the command will run; of standard input
/// the working directory. What the file says itself stays. For everything that applies files: `apply`, too.
pub fn annotate_directory(documents: &mut [Document]) -> Result<(), Failure> {
    for document in documents {
        let has_command =
            document.object["kind"] == "Workload" && document.object["spec"]["command"].is_array();
        if !has_command || !document.object["metadata"].is_object() {
            continue;
        }
        let file = Path::new(&document.file);
        let directory = match file.parent() {
            Some(parent) if parent != Path::new("") => absolute(parent)?,
            _ => std::env::current_dir().map_err(Failure::system)?,
        };
        let annotations = &mut document.object["metadata"]["annotations"];
        if annotations.is_null() {
            *annotations = Value::Object(serde_json::Map::new());
        }
        if let Value::Object(annotations) = annotations {
            let directory = Value::String(directory.display().to_string());
            annotations.entry(DIRECTORY_ANNOTATION).or_insert(directory);
        }
    }
    Ok(())
}

/// Applies all, says what changed, then removes what the files no longer name, if wished. Pruning comes last: an
/// object that moved from one file to the other is never gone in between.
pub async fn apply_all(client: &Client, batches: &[Batch], prune: bool) -> Result<(), Failure> {
    for batch in batches {
        apply_one(client, batch, false).await?;
    }
    let pruned = batches.iter().filter(|batch| prune && batch.source.is_some());
    for batch in pruned {
        apply_one(client, batch, true).await?;
    }
    Ok(())
}

async fn apply_one(client: &Client, batch: &Batch, prune: bool) -> Result<(), Failure> {
    let request = ApplyRequest {
        objects: batch.documents.iter().map(|document| document.object.clone()).collect(),
        source: batch.source.clone(),
        prune,
        dry_run: false,
    };
    let mesh = MeshDir { path: client.data_dir().to_owned(), named: true };
    let context = Context { mesh, client: client.clone() };
    match client.apply(&request).await {
        Ok(mut response) => {
            if prune {
                // What was applied has been told before.
                response.results.retain(|result| result.action == byrnie_control::api::ApplyAction::Pruned);
                response.findings.clear();
            }
            apply::report(&response, &batch.documents, false)
        }
        Err(body) => Err(apply::refused(&context, body, &batch.documents)),
    }
}

/// Applies the files to a mesh that runs already.
pub async fn into_running(client: &Client, batches: &[Batch], prune: bool) -> Result<(), Failure> {
    crate::output::say(&format!("a mesh runs already in {}", client.data_dir().display()));
    apply_all(client, batches, prune).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(file: &str, text: &str) -> Document {
        Document { object: serde_json::from_str(text).unwrap(), file: file.to_owned(), line: 1 }
    }

    #[test]
    fn commands_learn_the_directory_of_their_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("mesh.yaml").display().to_string();
        let here = directory.path().canonicalize().unwrap().display().to_string();
        let own = format!(r#"{{"annotations": {{"{DIRECTORY_ANNOTATION}": "/own"}}}}"#);
        for (kind, metadata, spec, want) in [
            ("Workload", r#"{"name": "a"}"#, r#"{"command": ["x"]}"#, Some(here.as_str())),
            ("Workload", own.as_str(), r#"{"command": ["x"]}"#, Some("/own")),
            ("Workload", r#"{"name": "a"}"#, "{}", None),
            ("Service", r#"{"name": "a"}"#, r#"{"command": ["x"]}"#, None),
            ("Workload", "7", r#"{"command": ["x"]}"#, None),
        ] {
            let text = format!(r#"{{"kind": "{kind}", "metadata": {metadata}, "spec": {spec}}}"#);
            let mut documents = [document(&file, &text)];
            annotate_directory(&mut documents).unwrap();
            let found = &documents[0].object["metadata"]["annotations"][DIRECTORY_ANNOTATION];
            assert_eq!(found.as_str(), want, "{text}");
        }
        let mut stdin = [document("-", r#"{"kind": "Workload", "metadata": {}, "spec": {"command": []}}"#)];
        annotate_directory(&mut stdin).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            stdin[0].object["metadata"]["annotations"][DIRECTORY_ANNOTATION],
            here.display().to_string()
        );
    }
}
