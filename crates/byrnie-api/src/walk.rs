//! The strict walk over an object, along the schema of its kind.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use serde_json::Value;

use crate::codes::{self, Code};
use crate::finding::Severity;
use crate::kind::{Kind, KindInfo};
use crate::names::did_you_mean;
use crate::node::{At, Data, Entry, Node};
use crate::schema::{experimental_only, schema};

/// One thing that is wrong with a value, or to be said about it.
#[derive(Debug)]
pub(crate) struct Issue {
    pub code: Code,
    pub severity: Severity,
    pub path: String,
    pub message: String,
    pub remedy: Option<String>,
    /// `None`: looked up by the path.
    pub at: Option<At>,
}

/// Walks an object of `kind` and says everything that does not fit, or is not acted on.
pub(crate) fn check(kind: Kind, node: &Node) -> Vec<Issue> {
    let mut walk =
        Walk { kind, issues: Vec::new(), path: String::new(), plain_path: String::new(), silent: false };
    walk.value(schema(kind), node);
    walk.issues
}

struct Walk {
    kind: Kind,
    issues: Vec<Issue>,
    /// With indices, for people.
    path: String,
    /// Without, for the tables of [`KINDS`].
    plain_path: String,
    /// Inside a field about which "not acted on" was said already.
    silent: bool,
}

impl Walk {
    fn issue(&mut self, code: Code, at: At, message: String) {
        self.issue_with(code, at, message, None);
    }

    fn issue_with(&mut self, code: Code, at: At, message: String, remedy: Option<String>) {
        let path = self.path.clone();
        self.issues.push(Issue { code, severity: Severity::Error, path, message, remedy, at: Some(at) });
    }

    fn wrong_type(&mut self, node: &Node, expected: &str) {
        self.issue(codes::WRONG_TYPE, node.at, format!("{expected} is expected, not {}", node.type_name()));
    }

    fn value(&mut self, schema: &Value, node: &Node) {
        if schema["x-kubernetes-int-or-string"] == true {
            match &node.data {
                Data::Text(_) => {}
                Data::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
                _ => self.wrong_type(node, "a whole number or a text"),
            }
            return;
        }
        match (schema["type"].as_str(), &node.data) {
            (Some("object"), Data::Map(entries)) => self.object(schema, node, entries),
            (Some("array"), Data::List(items)) => self.list(schema, node, items),
            (Some("array"), Data::Map(entries)) if schema["x-byrnie-list-or-map"] == true => {
                for entry in entries.iter().filter(|entry| entry.value.text().is_none()) {
                    self.below(&entry.key, |walk| walk.wrong_type(&entry.value, "a text"));
                }
            }
            (Some("string"), Data::Text(text)) => self.text(schema, node, text),
            (Some("boolean"), Data::Bool(_)) => {}
            (Some("integer"), Data::Number(number)) => match number.as_i64() {
                Some(number) => self.number(schema, node, number),
                None => self.wrong_type(node, "a whole number"),
            },
            (Some("number"), Data::Number(_)) => {}
            (Some("object"), _) => self.wrong_type(node, "an object"),
            (Some("array"), _) => self.wrong_type(node, "a list"),
            (Some("string"), Data::Bool(false)) if allows_off(schema) => {
                let message = format!("a text is expected, not {}", node.type_name());
                let remedy = "write \"off\" in quotes: without them YAML means false".to_owned();
                self.issue_with(codes::WRONG_TYPE, node.at, message, Some(remedy));
            }
            (Some("string"), _) => self.wrong_type(node, "a text"),
            (Some("boolean"), _) => self.wrong_type(node, "true or false"),
            (Some(_), _) => self.wrong_type(node, "a whole number"),
            (None, _) => {}
        }
    }

    fn object(&mut self, schema: &Value, node: &Node, entries: &[Entry]) {
        let properties = schema["properties"].as_object();
        let additional = schema.get("additionalProperties").filter(|value| value.is_object());
        for entry in entries {
            if let Some(property) = properties.and_then(|known| known.get(&entry.key)) {
                if !matches!(entry.value.data, Data::Null) {
                    self.field(property, entry);
                }
            } else if let Some(additional) = additional {
                if !matches!(entry.value.data, Data::Null) {
                    self.below(&entry.key, |walk| walk.value(additional, &entry.value));
                }
            } else if schema["x-kubernetes-preserve-unknown-fields"] != true {
                self.unknown_field(entry, properties);
            }
        }
        let given = |name: &str| {
            entries.iter().any(|entry| entry.key == name && !matches!(entry.value.data, Data::Null))
        };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !given(name) {
                self.below(name, |walk| {
                    walk.issue(codes::MISSING, node.at, "this field is required".to_owned())
                });
            }
        }
        self.limits(schema, node, ["minProperties", "maxProperties"], entries.len(), "entries");
    }

    fn unknown_field(&mut self, entry: &Entry, properties: Option<&serde_json::Map<String, Value>>) {
        let is_this = |path: &String| {
            let below = path.strip_prefix(self.plain_path.as_str()).and_then(|rest| rest.strip_prefix('.'));
            below == Some(entry.key.as_str())
        };
        let (code, message, remedy) = if experimental_only(self.kind).iter().any(is_this) {
            let message = format!("{} is a field of the Gateway API's experimental channel", entry.key);
            (codes::EXPERIMENTAL_FIELD, message, None)
        } else {
            let known = properties.into_iter().flat_map(|known| known.keys().map(String::as_str));
            let meant = did_you_mean(&entry.key, known).map(|name| format!("did you mean {name}?"));
            (codes::UNKNOWN_FIELD, format!("unknown field of {}", self.kind), meant)
        };
        self.below(&entry.key, |walk| walk.issue_with(code, entry.key_at, message, remedy));
    }

    /// A field of the schema: is it acted on, and does its value fit?
    fn field(&mut self, property: &Value, entry: &Entry) {
        let (path, plain_path, silent) = (self.path.len(), self.plain_path.len(), self.silent);
        for path in [&mut self.path, &mut self.plain_path] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&entry.key);
        }
        if !self.silent {
            self.acted_on(entry);
        }
        self.value(property, &entry.value);
        self.path.truncate(path);
        self.plain_path.truncate(plain_path);
        self.silent = silent;
    }

    fn acted_on(&mut self, entry: &Entry) {
        let info = self.kind.info();
        let path = self.plain_path.as_str();
        let above = |list: &[&str]| {
            list.iter().any(|field| field.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
        };
        if is_acted_on(info, path)
            || above(ALWAYS_ACTED_ON)
            || above(info.acted_on)
            || above(info.cluster_only)
        {
            return;
        }
        let cluster_only = is_under(path, info.cluster_only) || path.starts_with("metadata.");
        let severity = if cluster_only { Severity::Info } else { Severity::Warning };
        let whole = path == "spec" && !cluster_only;
        let message = if whole {
            format!("the mesh does not act on a {} yet; it is kept as it is", self.kind)
        } else if cluster_only {
            "kept as it is; only a cluster acts on it".to_owned()
        } else {
            "the mesh does not act on this field yet; it is kept as it is".to_owned()
        };
        self.silent = true;
        let (code, path, at) = (codes::NOT_ACTED_ON, self.path.clone(), Some(entry.key_at));
        let remedy = cluster_only.then(String::new);
        self.issues.push(Issue { code, severity, path, message, remedy, at });
    }

    /// Something at a key below, with the path extended while it is looked at.
    fn below(&mut self, key: &str, look: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if key.contains(['.', '[', '/']) {
            self.path.push_str(&format!("[{key}]"));
        } else {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
        }
        look(self);
        self.path.truncate(length);
    }

    fn list(&mut self, schema: &Value, node: &Node, items: &[Node]) {
        self.limits(schema, node, ["minItems", "maxItems"], items.len(), "items");
        let length = self.path.len();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            self.value(&schema["items"], item);
            if let Some(key) = list_key(schema, item)
                && let Some(first) = seen.insert(key, index)
            {
                self.issue(codes::DUPLICATE_ENTRY, item.at, format!("the same as entry [{first}]"));
            }
            self.path.truncate(length);
        }
    }

    fn text(&mut self, schema: &Value, node: &Node, text: &str) {
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            let experimental = format!("{}={text:.64}", self.plain_path);
            if experimental_only(self.kind).contains(&experimental) {
                let message = format!("{text:.64} is a value of the Gateway API's experimental channel");
                self.issue(codes::EXPERIMENTAL_FIELD, node.at, message);
            } else if !allowed.contains(&text) {
                let meant = did_you_mean(text, allowed.iter().copied());
                let remedy = meant.map(|value| format!("did you mean {value}?"));
                let message = format!("{text:.64?} is not one of {}", allowed.join(", "));
                self.issue_with(codes::NOT_ALLOWED, node.at, message, remedy);
            }
            return;
        }
        self.limits(schema, node, ["minLength", "maxLength"], text.chars().count(), "characters");
        if schema["format"] == "ip" && text.parse::<std::net::IpAddr>().is_err() {
            self.issue(codes::BAD_ADDRESS, node.at, format!("{text:.64?} is not an IP address"));
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !matches_pattern(pattern, text)
        {
            let duration = pattern == crate::duration::DURATION_PATTERN;
            let message = if duration {
                format!("{text:.64?} is not a duration such as 10s, 500ms or 1h30m")
            } else {
                format!("{text:.64?} does not match {pattern}")
            };
            self.issue(codes::BAD_FORMAT, node.at, message);
        }
    }

    fn number(&mut self, schema: &Value, node: &Node, number: i64) {
        if let Some(allowed) = schema["enum"].as_array() {
            if !allowed.iter().any(|value| value.as_i64() == Some(number)) {
                let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
                self.issue(
                    codes::NOT_ALLOWED,
                    node.at,
                    format!("{number} is not one of {}", allowed.join(", ")),
                );
            }
            return;
        }
        let (by_format_min, by_format_max) = match schema["format"].as_str() {
            Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Some("uint16") => (0, i64::from(u16::MAX)),
            Some("uint32") => (0, i64::from(u32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        let minimum = schema["minimum"].as_i64().unwrap_or(by_format_min);
        let maximum = schema["maximum"].as_i64().unwrap_or(by_format_max);
        if number < minimum || number > maximum {
            let message = match (minimum, maximum) {
                (minimum, i64::MAX) => format!("{number} is less than {minimum}"),
                (i64::MIN, maximum) => format!("{number} is more than {maximum}"),
                (minimum, maximum) => format!("{number} is not within {minimum} to {maximum}"),
            };
            self.issue(codes::OUT_OF_RANGE, node.at, message);
        }
    }

    fn limits(&mut self, schema: &Value, node: &Node, keys: [&str; 2], count: usize, what: &str) {
        let limit = |key: &str| schema[key].as_u64().and_then(|limit| usize::try_from(limit).ok());
        if let Some(least) = limit(keys[0]).filter(|least| count < *least) {
            self.issue(codes::BAD_LENGTH, node.at, format!("{count} {what}, at least {least} must be given"));
        }
        if let Some(most) = limit(keys[1]).filter(|most| count > *most) {
            self.issue(codes::BAD_LENGTH, node.at, format!("{count} {what}, at most {most} are possible"));
        }
    }
}

/// Whether one of the values is the word that YAML 1.1, and so kubectl, takes for a boolean.
fn allows_off(schema: &Value) -> bool {
    schema["enum"].as_array().is_some_and(|allowed| allowed.iter().any(|value| value == "off"))
}

/// What the mesh acts on in every kind.
const ALWAYS_ACTED_ON: &[&str] =
    &["apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations"];

/// Whether the mesh acts on a field, named without list indices.
pub(crate) fn is_acted_on(info: &KindInfo, path: &str) -> bool {
    is_under(path, ALWAYS_ACTED_ON) || (is_under(path, info.acted_on) && !is_under(path, info.not_acted_on))
}

/// Whether a path is one of the fields, or below one.
fn is_under(path: &str, fields: &[&str]) -> bool {
    fields
        .iter()
        .any(|field| path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// What must be unique among the items of a list, as text; `None` when nothing must be.
fn list_key(schema: &Value, item: &Node) -> Option<String> {
    match schema["x-kubernetes-list-type"].as_str()? {
        "map" => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array()?.iter().filter_map(Value::as_str);
            let values = keys.map(|key| {
                let default = &schema["items"]["properties"][key]["default"];
                item.get(key).map_or_else(|| default.clone(), |node| node.clone().into_value())
            });
            Some(Value::Array(values.collect()).to_string())
        }
        "set" => Some(item.clone().into_value().to_string()),
        _ => None,
    }
}

/// Compiled patterns of the schemas, each once: there are a few dozen.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    static PATTERNS: Mutex<Option<HashMap<String, Option<Regex>>>> = Mutex::new(None);
    let mut patterns = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    let patterns = patterns.get_or_insert_with(HashMap::new);
    if !patterns.contains_key(pattern) {
        patterns.insert(pattern.to_owned(), Regex::new(pattern).ok());
    }
    // A pattern that does not compile refuses nothing; a test compiles all of them.
    patterns.get(pattern).and_then(Option::as_ref).is_none_or(|regex| regex.is_match(text))
}
