//! Objects from files: YAML or JSON documents, directories of them, or stdin; each with the place it came from.

use std::io::Read;
use std::path::{Path, PathBuf};

use byrnie_api::{FILE_LIMIT, Finding, Severity};
use byrnie_control::api::FindingItem;
use serde_json::Value;

use crate::cli::failure::{FILE, Failure, Report};
use crate::output;

/// One object of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object as read: namespace filled in, what only servers set dropped.
    pub object: Value,
    /// The file as named by the operator; `-` for stdin.
    pub file: String,
    /// Line on which the object begins, from 1.
    pub line: u32,
}

/// What the files hold, good and bad.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The objects without errors, in the order of the files.
    pub documents: Vec<Document>,
    /// What is to be said about the files.
    pub findings: Vec<Finding>,
}

/// Reads all files and tells every finding on stderr; one error refuses them all, and nothing has been sent anywhere.
/// `namespace` goes to objects that name none.
pub fn read(files: &[PathBuf], namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
    let reading = look(files, namespace)?;
    for finding in &reading.findings {
        output::tell(&report(finding), &finding.severity.to_string());
    }
    if reading.findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(Failure::new(FILE, "the files have errors: nothing was changed"));
    }
    if reading.documents.is_empty() {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(Failure::new(FILE, format!("there is no object in {}", names.join(", "))));
    }
    Ok(reading.documents)
}

/// The objects of files that are only looked at: errors are told and end the command, the rest is not said again.
pub fn good(files: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    let reading = look(files, None)?;
    let errors = reading.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let count = errors.inspect(|finding| output::tell(&report(finding), "error")).count();
    if count > 0 { Err(Failure::new(FILE, "the files have errors")) } else { Ok(reading.documents) }
}

/// Reads all files and leaves the findings, errors too, for the caller to show.
pub fn look(files: &[PathBuf], namespace: Option<&str>) -> Result<Reading, Failure> {
    let mut reading = Reading::default();
    for file in files {
        for file in expand(file)? {
            reading.add(&file.display().to_string(), &bytes(&file)?);
        }
    }
    if let Some(namespace) = namespace {
        reading.documents.iter_mut().try_for_each(|document| document.put_in(namespace))?;
    }
    Ok(reading)
}

/// The place of the object that a server's finding is about.
pub fn place(documents: &[Document], finding: &FindingItem) -> Option<String> {
    let by_index = finding.index.and_then(|index| documents.get(index));
    let same = |document: &&Document| {
        let (kind, namespace, name) = document.names();
        kind == finding.kind && namespace == finding.namespace && name == finding.name
    };
    by_index.or_else(|| documents.iter().find(same)).map(Document::place)
}

/// Whether this is a finding of the reader, which told it when the files were read.
pub fn is_told(finding: &FindingItem) -> bool {
    finding.code.starts_with("BYR00")
}

impl Reading {
    fn add(&mut self, file: &str, bytes: &[u8]) {
        let reading = byrnie_api::read_bytes(bytes, file);
        let document = |(object, location): (byrnie_api::Object, byrnie_api::SourceLocation)| Document {
            object: object.to_value(),
            file: location.file,
            line: location.line,
        };
        self.documents.extend(reading.objects.into_iter().map(document));
        self.findings.extend(reading.findings);
    }
}

impl Document {
    /// `mesh.yaml:12`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// Kind, namespace (empty for none) and name.
    pub fn names(&self) -> (&str, &str, &str) {
        let metadata = &self.object["metadata"];
        (
            self.object["kind"].as_str().unwrap_or_default(),
            metadata["namespace"].as_str().unwrap_or_default(),
            metadata["name"].as_str().unwrap_or_default(),
        )
    }

    /// The reader has put objects without a namespace into `default`: those go where `-n` says.
    fn put_in(&mut self, wanted: &str) -> Result<(), Failure> {
        let (kind, namespace, name) = self.names();
        if namespace.is_empty() || namespace == wanted {
            return Ok(());
        }
        if namespace != "default" {
            let message = format!("{kind} {namespace}/{name} is not in namespace {wanted}, as -n says");
            return Err(
                Failure::argument(message, "leave -n out, or apply the file by itself").at(self.place())
            );
        }
        if let Some(metadata) = self.object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), wanted.into());
        }
        Ok(())
    }
}

/// A finding as the commands tell it.
pub fn report(finding: &Finding) -> Report {
    let mut place = Vec::new();
    if let Some(location) = &finding.location {
        place.push(location.to_string());
    }
    match (&finding.object, finding.field.is_empty()) {
        (Some(object), false) => place.push(format!("{object} {}", finding.field)),
        (Some(object), true) => place.push(object.to_string()),
        (None, false) => place.push(finding.field.clone()),
        (None, true) => {}
    }
    let help = if finding.remedy.is_empty() { Vec::new() } else { vec![finding.remedy.clone()] };
    let (code, message) = (finding.code.to_string(), finding.message.clone());
    Report { code, message, place, help, ..Report::default() }
}

/// A directory stands for its .yaml, .yml and .json files, by name.
pub fn expand(file: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !file.is_dir() {
        return Ok(vec![file.to_owned()]);
    }
    let failed = |error: std::io::Error| Failure::new(FILE, format!("{}: {error}", file.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(file).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let known =
            path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e));
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(FILE, format!("cannot read {}: {error}", file.display()))
            .help("name a file, a directory, or - for stdin")
    };
    // One byte more than the reader takes, so that it says itself that this is too much.
    let limit = FILE_LIMIT as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// `service/shop/web`: an object in one word.
pub fn lower_name(kind: &str, namespace: &str, name: &str) -> String {
    let kind = kind.to_lowercase();
    if namespace.is_empty() { format!("{kind}/{name}") } else { format!("{kind}/{namespace}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "\
# a comment
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: b}
spec: {controllerName: byrnie.dev/gateway}
";

    fn reading(text: &str) -> Reading {
        let mut reading = Reading::default();
        reading.add("dir/f.yaml", text.as_bytes());
        reading
    }

    #[test]
    fn documents_know_where_they_stand() {
        let reading = reading(TWO);
        let places: Vec<String> = reading.documents.iter().map(Document::place).collect();
        assert_eq!(places, ["dir/f.yaml:2", "dir/f.yaml:7"]);
        assert!(reading.findings.is_empty(), "{:?}", reading.findings);
    }

    #[test]
    fn the_command_line_and_the_file_must_agree_on_the_namespace() {
        let mut found = reading(TWO).documents;
        found.iter_mut().for_each(|document| document.put_in("x").unwrap());
        assert_eq!(found[0].names(), ("Service", "x", "a"));
        assert_eq!(found[1].names(), ("GatewayClass", "", "b"));
        assert!(found[0].put_in("y").is_err());
    }

    #[test]
    fn an_error_names_file_line_and_field() {
        let found = reading(&TWO.replace("port: 80", "prot: 80"));
        let report = report(&found.findings[0]);
        assert!(report.place[0].starts_with("dir/f.yaml:5"), "{report:?}");
        assert!(report.place[1].contains("spec.ports[0]"), "{report:?}");
    }
}
