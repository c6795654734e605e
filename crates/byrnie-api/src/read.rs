//! Strict reading: text or a value in; objects and findings out.
//!
//! Three steps for each field: one that the mesh acts on; one of the published schema that it does not act on
//! (kept, and a finding says so); anything else is refused. What a server sets (`status`, most of `metadata`) is
//! dropped, so that the output of a cluster is good input here.

use std::collections::HashMap;

use serde_json::Value;

use crate::checks;
use crate::codes::{self, Code};
use crate::finding::{Finding, Severity, SourceLocation};
use crate::kind::{KINDS, Kind, ObjectKey};
use crate::metadata::{drop_server_set, read_metadata};
use crate::names::did_you_mean;
use crate::node::{At, DEPTH_LIMIT, Data, Node, YamlError, read_yaml};
use crate::object::{Object, ObjectError};
use crate::walk::{self, Issue};

/// Bytes of one file.
pub const FILE_LIMIT: usize = 64 * 1024 * 1024;
/// Bytes of one object, as JSON.
pub const OBJECT_LIMIT: usize = 1024 * 1024;
/// Objects in one file.
pub const OBJECTS_LIMIT: usize = 10_000;
/// Findings for one object; the rest is counted.
const FINDINGS_LIMIT: usize = 100;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The objects without errors, in order, each with the place where it begins.
    pub objects: Vec<(Object, SourceLocation)>,
    /// What is to be said, in order.
    pub findings: Vec<Finding>,
}

impl Reading {
    /// Whether something was refused.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Reads bytes of a file: see [`read_documents`]. A byte order mark is skipped.
pub fn read_bytes(bytes: &[u8], file_name: &str) -> Reading {
    match std::str::from_utf8(bytes) {
        Ok(text) => read_documents(text.strip_prefix('\u{feff}').unwrap_or(text), file_name),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = "the file is not UTF-8 text";
            let location = SourceLocation {
                file: file_name.to_owned(),
                line: u32::try_from(line).unwrap_or(0),
                column: 0,
                source_line: String::new(),
            };
            let finding = Finding::error(codes::MALFORMED, message).at(location);
            Reading { objects: Vec::new(), findings: vec![finding.remedy("save it as UTF-8")] }
        }
    }
}

/// Reads YAML (several documents, anchors, `kind: List`) or JSON. `file_name` is what findings call it.
pub fn read_documents(text: &str, file_name: &str) -> Reading {
    let mut reader = Reader::new(Source { file: file_name, lines: Some(text.lines().collect()) });
    if text.len() > FILE_LIMIT {
        let message = format!("{} bytes, at most {FILE_LIMIT} are read", text.len());
        reader.say(codes::TOO_LARGE, At::default(), message);
        return reader.reading;
    }
    let (documents, errors) = read_yaml(text, OBJECTS_LIMIT);
    for document in documents {
        reader.document(document);
    }
    for error in errors {
        match error {
            YamlError::Malformed(message, at) => reader.say(codes::MALFORMED, at, message),
            YamlError::TooDeep(at) => {
                reader.say(codes::TOO_DEEP, at, format!("nested more than {DEPTH_LIMIT} levels deep"));
            }
            YamlError::AliasLimit(at) => {
                reader.say(codes::ALIAS_LIMIT, at, "the document expands to too much".to_owned());
            }
        }
    }
    if reader.reading.objects.is_empty() && reader.reading.findings.is_empty() {
        let finding = Finding::new(codes::NO_OBJECTS, Severity::Warning, "there is no object in it");
        reader.reading.findings.push(finding.at(reader.source.location(At::default())));
    }
    reader.reading
}

/// Reads one object (or a `List`) that came as JSON, for example over the API. Findings have no place.
pub fn read_value(value: Value) -> Reading {
    let mut reader = Reader::new(Source { file: "", lines: None });
    reader.document(Node::from_value(value));
    reader.reading
}

/// Where text comes from, for the places of findings.
struct Source<'a> {
    file: &'a str,
    /// `None`: not a text.
    lines: Option<Vec<&'a str>>,
}

impl Source<'_> {
    fn location(&self, at: At) -> SourceLocation {
        let index = usize::try_from(at.line).ok().and_then(|line| line.checked_sub(1));
        let line = index.and_then(|index| self.lines.as_ref()?.get(index));
        let source_line = line.map(|line| line.chars().take(160).collect()).unwrap_or_default();
        SourceLocation { file: self.file.to_owned(), line: at.line, column: at.column, source_line }
    }
}

struct Reader<'a> {
    source: Source<'a>,
    reading: Reading,
    seen: HashMap<ObjectKey, u32>,
    count: usize,
}

impl<'a> Reader<'a> {
    fn new(source: Source<'a>) -> Self {
        Self { source, reading: Reading::default(), seen: HashMap::new(), count: 0 }
    }

    fn say(&mut self, code: Code, at: At, message: String) {
        self.push(Finding::error(code, message), at);
    }

    fn push(&mut self, finding: Finding, at: At) {
        let location = self.source.lines.is_some().then(|| self.source.location(at));
        self.reading.findings.push(Finding { location, ..finding });
    }

    fn document(&mut self, node: Node) {
        let is_list = node.get("kind").and_then(Node::text).is_some_and(is_list_kind);
        match node.data {
            Data::Null => {}
            Data::Map(entries) if is_list => {
                let items =
                    entries.into_iter().find(|entry| entry.key == "items").map(|entry| entry.value.data);
                match items {
                    Some(Data::List(items)) => items.into_iter().for_each(|item| self.document(item)),
                    Some(Data::Null) | None => {}
                    Some(_) => {
                        self.say(codes::WRONG_TYPE, node.at, "the items of a List are no list".to_owned())
                    }
                }
            }
            Data::Map(_) => {
                self.count += 1;
                if self.count <= OBJECTS_LIMIT {
                    self.object(node);
                } else if self.count == OBJECTS_LIMIT + 1 {
                    self.say(
                        codes::TOO_MANY,
                        node.at,
                        format!("more than {OBJECTS_LIMIT} objects; the rest is not read"),
                    );
                }
            }
            _ => {
                let message = format!("{} where an object should be", node.type_name());
                self.say(codes::NOT_AN_OBJECT, node.at, message);
            }
        }
    }

    fn object(&mut self, node: Node) {
        let at = node.at;
        if node.is_deeper_than(DEPTH_LIMIT) {
            return self.say(codes::TOO_DEEP, at, format!("nested more than {DEPTH_LIMIT} levels deep"));
        }
        if node.size() > OBJECT_LIMIT {
            return self.say(codes::TOO_LARGE, at, format!("the object has more than {OBJECT_LIMIT} bytes"));
        }
        match read_object(node) {
            Ok((object, issues)) => {
                let key = object.key();
                self.issues(Some(&key), issues);
                if let Some(line) = self.seen.insert(key.clone(), at.line) {
                    let message = format!("the same object stands in line {line}; the later one counts");
                    let finding = Finding::new(codes::DUPLICATE_OBJECT, Severity::Warning, message);
                    self.push(finding.about(key), at);
                }
                self.reading.objects.push((object, self.source.location(at)));
            }
            Err((key, issues)) => self.issues(key.as_ref(), issues),
        }
    }

    fn issues(&mut self, key: Option<&ObjectKey>, issues: Vec<Issue>) {
        let more = issues.len().saturating_sub(FINDINGS_LIMIT);
        let mut code_of_more = None;
        for issue in issues.into_iter().take(FINDINGS_LIMIT) {
            let mut finding = Finding::new(issue.code, issue.severity, issue.message).field(issue.path);
            finding.object = key.cloned();
            if let Some(remedy) = issue.remedy {
                finding.remedy = remedy;
            }
            code_of_more = Some(issue.code);
            self.push(finding, issue.at.unwrap_or_default());
        }
        if let Some(code) = code_of_more.filter(|_| more > 0) {
            let finding =
                Finding::new(code, Severity::Error, format!("and {more} more findings about this object"));
            self.push(Finding { object: key.cloned(), ..finding }, At::default());
        }
    }
}

/// `List`, or the list of a kind that is known here, as a cluster prints it.
fn is_list_kind(kind: &str) -> bool {
    let item = kind.strip_suffix("List");
    item.is_some_and(|item| item.is_empty() || KINDS.iter().any(|row| row.name == item))
}

type Refusal = (Option<ObjectKey>, Vec<Issue>);

/// Reads one object. The issues of a good one are warnings and information only.
fn read_object(mut node: Node) -> Result<(Object, Vec<Issue>), Refusal> {
    let kind = read_kind(&node).map_err(|issue| (None, vec![issue]))?;
    drop_server_set(&mut node);
    let mut issues = read_metadata(kind, &mut node);
    let key = key_of(kind, &node);
    issues.extend(walk::check(kind, &node));
    if has_errors(&issues) {
        return Err((key, issues));
    }
    let places = node.clone();
    let object = Object::from_value(node.into_value()).map_err(|error| {
        let message = match error {
            ObjectError::Shape { message, .. } => message,
            other => other.to_string(),
        };
        (key.clone(), vec![error_at(codes::WRONG_TYPE, "", message, places.at)])
    })?;
    issues.extend(checks::check(object.typed()));
    for issue in &mut issues {
        issue.at = issue.at.or_else(|| Some(places.locate(&issue.path)));
    }
    if has_errors(&issues) { Err((key, issues)) } else { Ok((object, issues)) }
}

fn has_errors(issues: &[Issue]) -> bool {
    issues.iter().any(|issue| issue.severity == Severity::Error)
}

pub(crate) fn error_at(code: Code, path: &str, message: impl Into<String>, at: At) -> Issue {
    let (path, message) = (path.to_owned(), message.into());
    Issue { code, severity: Severity::Error, path, message, remedy: None, at: Some(at) }
}

fn key_of(kind: Kind, node: &Node) -> Option<ObjectKey> {
    let metadata = node.get("metadata")?;
    let name = metadata.get("name")?.text()?;
    let namespace = metadata.get("namespace").and_then(Node::text).unwrap_or_default();
    Some(ObjectKey::new(kind, namespace, name))
}

fn read_kind(node: &Node) -> Result<Kind, Issue> {
    let field = |name: &str| match node.get(name).map(|value| (&value.data, value.at)) {
        Some((Data::Text(text), at)) if !text.is_empty() => Ok((text.as_str(), at)),
        Some((Data::Null | Data::Text(_), at)) => {
            Err(error_at(codes::NO_TYPE, name, "this field is empty", at))
        }
        Some((_, at)) => Err(error_at(codes::NO_TYPE, name, "this field is no text", at)),
        None => Err(error_at(codes::NO_TYPE, name, "this field is required", node.at)),
    };
    let (api_version, version_at) = field("apiVersion")?;
    let (name, kind_at) = field("kind")?;
    if let Some(kind) = Kind::from_type(api_version, name) {
        return Ok(kind);
    }
    if let Some(row) = KINDS.iter().find(|row| row.name == name) {
        let message = format!("{name} is not read in {api_version:.64}");
        let issue = error_at(codes::UNKNOWN_VERSION, "apiVersion", message, version_at);
        return Err(Issue { remedy: Some(format!("write apiVersion: {}", row.kind.api_version())), ..issue });
    }
    if api_version.starts_with("gateway.networking.x-k8s.io/") {
        let message = format!("{name:.64} of {api_version:.64} is a kind of the experimental channel");
        return Err(error_at(codes::EXPERIMENTAL_FIELD, "kind", message, kind_at));
    }
    let meant = did_you_mean(name, KINDS.iter().map(|row| row.name));
    let message = format!("the mesh knows no kind {name:.64} of {api_version:.64}");
    let issue = error_at(codes::UNKNOWN_KIND, "kind", message, kind_at);
    Err(Issue { remedy: meant.map(|name| format!("did you mean {name}?")), ..issue })
}
