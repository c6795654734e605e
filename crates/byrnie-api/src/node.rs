//! A YAML or JSON value that knows where it stands.

use std::fmt;
use std::io::Cursor;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// Levels of nesting.
pub(crate) const DEPTH_LIMIT: usize = 64;
/// Values in one file, aliases expanded.
const NODE_LIMIT: usize = 4_000_000;

/// Line and column, from 1; 0: unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct At {
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub data: Data,
    pub at: At,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_at: At,
    pub value: Node,
}

/// Why a text cannot be read, and where.
#[derive(Debug)]
pub(crate) enum YamlError {
    Malformed(String, At),
    TooDeep(At),
    AliasLimit(At),
}

/// Reads every document. The second part is what ended the reading early or made a document unreadable.
pub(crate) fn read_yaml(text: &str, document_limit: usize) -> (Vec<Node>, Vec<YamlError>) {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_LIMIT,
            max_documents: document_limit.saturating_add(1),
            max_events: 2_000_000,
            max_nodes: 1_000_000,
            max_recorded_anchor_events: 200_000,
            max_recorded_anchor_bytes: 16 * 1024 * 1024,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 200_000 },
    };
    let (mut documents, mut errors, mut nodes) = (Vec::new(), Vec::new(), 0);
    let mut reader = Cursor::new(text.as_bytes());
    for document in serde_saphyr::read_with_options::<_, Node>(&mut reader, options) {
        match document {
            Ok(node) => {
                nodes += node.count();
                documents.push(node);
            }
            Err(error) => errors.push(classify(&error)),
        }
        if nodes > NODE_LIMIT {
            errors.push(YamlError::AliasLimit(At::default()));
        }
        // A reader that recovers may do so for each of very many broken documents; the first few are enough.
        if documents.len() > document_limit || errors.len() >= 20 || nodes > NODE_LIMIT {
            break;
        }
    }
    (documents, errors)
}

fn classify(error: &serde_saphyr::Error) -> YamlError {
    use serde_saphyr::budget::BudgetBreach;
    let at = error.location().map(At::from).unwrap_or_default();
    let mut error = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    match error {
        serde_saphyr::Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => YamlError::TooDeep(at),
        serde_saphyr::Error::Budget { .. }
        | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
        | serde_saphyr::Error::AliasExpansionLimitExceeded { .. }
        | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. } => YamlError::AliasLimit(at),
        other => YamlError::Malformed(without_place(&other.to_string()), at),
    }
}

/// The message without the place, which a finding names itself.
fn without_place(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or_default().to_owned()
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        let clamp = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: clamp(location.line()), column: clamp(location.column()) }
    }
}

impl Node {
    pub fn from_value(value: Value) -> Self {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(flag) => Data::Bool(flag),
            Value::Number(number) => Data::Number(number),
            Value::String(text) => Data::Text(text),
            Value::Array(items) => Data::List(items.into_iter().map(Self::from_value).collect()),
            Value::Object(fields) => Data::Map(fields.into_iter().map(Entry::from_value).collect()),
        };
        Self { data, at: At::default() }
    }

    /// Fields without a value (`null`) are left out, as if they were not there.
    pub fn into_value(self) -> Value {
        match self.data {
            Data::Null => Value::Null,
            Data::Bool(flag) => Value::Bool(flag),
            Data::Number(number) => Value::Number(number),
            Data::Text(text) => Value::String(text),
            Data::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Data::Map(entries) => {
                let given = entries.into_iter().filter(|entry| !matches!(entry.value.data, Data::Null));
                Value::Object(given.map(|entry| (entry.key, entry.value.into_value())).collect::<Map<_, _>>())
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub fn type_name(&self) -> &'static str {
        match &self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "an object",
        }
    }

    /// The place of a field such as `spec.rules[0].name`, or of the deepest part of the path that is there.
    pub fn locate(&self, path: &str) -> At {
        let (mut node, mut at) = (self, self.at);
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            let next = match &node.data {
                Data::Map(entries) => {
                    entries.iter().find(|entry| entry.key == part).map(|e| (&e.value, e.key_at))
                }
                Data::List(items) => {
                    let index = part.trim_end_matches(']').parse::<usize>().ok();
                    index.and_then(|index| items.get(index)).map(|item| (item, item.at))
                }
                _ => None,
            };
            let Some((child, child_at)) = next else { break };
            (node, at) = (child, child_at);
        }
        at
    }

    /// Whether it is nested more than `limit` levels deep. Never looks deeper than that.
    pub fn is_deeper_than(&self, limit: usize) -> bool {
        let Some(below) = limit.checked_sub(1) else {
            return true;
        };
        match &self.data {
            Data::List(items) => items.iter().any(|item| item.is_deeper_than(below)),
            Data::Map(entries) => entries.iter().any(|entry| entry.value.is_deeper_than(below)),
            _ => false,
        }
    }

    /// About how many bytes it is as JSON.
    pub fn size(&self) -> usize {
        match &self.data {
            Data::Null | Data::Bool(_) => 4,
            Data::Number(_) => 8,
            Data::Text(text) => text.len() + 2,
            Data::List(items) => 2 + items.iter().map(|item| item.size() + 1).sum::<usize>(),
            Data::Map(entries) => {
                2 + entries.iter().map(|entry| entry.key.len() + 4 + entry.value.size()).sum::<usize>()
            }
        }
    }

    fn count(&self) -> usize {
        match &self.data {
            Data::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Data::Map(entries) => 1 + entries.iter().map(|entry| entry.value.count()).sum::<usize>(),
            _ => 1,
        }
    }
}

impl Entry {
    fn from_value((key, value): (String, Value)) -> Self {
        Self { key, key_at: At::default(), value: Node::from_value(value) }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Data>::deserialize(deserializer)?;
        Ok(Self { data: spanned.value, at: spanned.referenced.into() })
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        Data::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Data, E> {
        Number::from_f64(value).map(Data::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Data, E> {
        Ok(Data::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value()?;
            entries.push(Entry { key: key.value, key_at: key.referenced.into(), value });
        }
        Ok(Data::Map(entries))
    }
}
