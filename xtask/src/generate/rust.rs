//! Makes Rust types for the kinds of the Gateway API; `print` writes them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::names::{META, type_name};
use super::print::{field_name, module_list, snake, variant, with_header, write_type};
use super::schema::Crd;

/// The pattern by which the CRDs mark a duration.
const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A struct or an enum.
pub(super) struct Type {
    /// Without descriptions: two places of one name must agree in this.
    shape: Value,
    /// Which kinds use it, in order.
    used_by: BTreeSet<String>,
    pub docs: String,
    pub body: Body,
}

pub(super) enum Body {
    Struct(Vec<Field>),
    Enum { variants: Vec<String>, default: Option<String> },
}

pub(super) struct Field {
    pub json_name: String,
    pub docs: String,
    pub rust_type: String,
    pub default: Default,
}

/// What a field holds when it is absent.
pub(super) enum Default {
    Required,
    /// `None`, an empty list, an empty map.
    Nothing,
    /// A Rust expression.
    Value(String),
}

struct Types<'a> {
    kind: &'a str,
    types: &'a mut BTreeMap<String, Type>,
}

/// File names and texts of `src/generated/`.
pub fn generate(crds: &[Crd], version: &str) -> Result<Vec<(String, String)>> {
    let mut types = BTreeMap::new();
    for crd in crds {
        Types { kind: &crd.kind, types: &mut types }.add_kind(crd)?;
    }
    let mut files = BTreeMap::new();
    for (name, type_) in &types {
        let only_user = type_.used_by.first().filter(|_| type_.used_by.len() == 1);
        let file = only_user.map_or_else(|| "shared".to_owned(), |kind| snake(kind));
        let text: &mut String = files.entry(file).or_default();
        write_type(text, name, type_, &types)?;
    }
    let modules: Vec<String> = files.keys().cloned().collect();
    let mut output: Vec<(String, String)> = files
        .into_iter()
        .map(|(module, text)| (format!("{module}.rs"), with_header(&module, &text, version)))
        .collect();
    output.push(("mod.rs".to_owned(), module_list(&modules, version)));
    Ok(output)
}

impl Types<'_> {
    fn add_kind(&mut self, crd: &Crd) -> Result<()> {
        let kind = crd.kind.as_str();
        let properties = crd.schema["properties"].as_object().context("a kind has properties")?;
        let required = required(&crd.schema);
        let mut fields = vec![Field {
            json_name: "metadata".to_owned(),
            docs: "Name, labels and so on.".to_owned(),
            rust_type: "ObjectMeta".to_owned(),
            default: Default::Value("ObjectMeta::default()".to_owned()),
        }];
        for (name, schema) in properties {
            if matches!(name.as_str(), "spec" | "status") {
                // A status is never required and has no default here: its owner writes it as a whole.
                let mut schema = schema.clone();
                if name == "status"
                    && let Some(object) = schema.as_object_mut()
                {
                    object.shift_remove("default");
                }
                fields.push(self.field(
                    &format!("{kind}.{name}"),
                    kind,
                    name,
                    &schema,
                    required.contains(&name.as_str()),
                )?);
            }
        }
        self.insert(kind, Value::Null, docs(&crd.schema), Body::Struct(fields))
    }

    fn field(
        &mut self,
        path: &str,
        parent: &str,
        name: &str,
        schema: &Value,
        required: bool,
    ) -> Result<Field> {
        let plain = self.rust_type(path, parent, schema)?;
        let collection = plain.starts_with("Vec<") || plain.starts_with("BTreeMap<");
        // Conditions are written by whoever owns the status, never filled in.
        let (rust_type, default) = match schema.get("default").filter(|_| name != "conditions") {
            Some(value) => {
                let expression = self.expression(&plain, value)?;
                (plain, Default::Value(expression))
            }
            None if required => (plain, Default::Required),
            None if collection => (plain, Default::Nothing),
            None => (format!("Option<{plain}>"), Default::Nothing),
        };
        Ok(Field { json_name: name.to_owned(), docs: docs(schema), rust_type, default })
    }

    fn rust_type(&mut self, path: &str, parent: &str, schema: &Value) -> Result<String> {
        if schema["x-kubernetes-int-or-string"] == true {
            return Ok("IntOrString".to_owned());
        }
        if schema["enum"].is_array() && schema["type"] == "string" {
            return self.enumeration(path, parent, schema);
        }
        Ok(match schema["type"].as_str().with_context(|| format!("{path} has no type"))? {
            "string" if schema["pattern"] == DURATION_PATTERN => "Duration".to_owned(),
            "string" => "String".to_owned(),
            "boolean" => "bool".to_owned(),
            "integer" => integer(schema).to_owned(),
            "array" => format!("Vec<{}>", self.rust_type(&format!("{path}[]"), parent, &schema["items"])?),
            "object" if schema["properties"].is_object() => self.structure(path, parent, schema)?,
            "object" => {
                let value = &schema["additionalProperties"];
                format!("BTreeMap<String, {}>", self.rust_type(&format!("{path}{{}}"), parent, value)?)
            }
            other => bail!("{path}: no Rust type for {other}"),
        })
    }

    fn structure(&mut self, path: &str, parent: &str, schema: &Value) -> Result<String> {
        let name = type_name(path, parent);
        if META.contains(&name.as_str()) {
            return Ok(name);
        }
        let required = required(schema);
        let mut fields = Vec::new();
        for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
            let required = required.contains(&field.as_str());
            fields.push(self.field(&format!("{path}.{field}"), &name, field, inner, required)?);
        }
        self.insert(&name, shape(schema), docs(schema), Body::Struct(fields))?;
        Ok(name)
    }

    fn enumeration(&mut self, path: &str, parent: &str, schema: &Value) -> Result<String> {
        let name = type_name(path, parent);
        let variants: Vec<String> = schema["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect();
        let default = schema["default"].as_str().map(str::to_owned);
        let mut shape = shape(schema);
        shape.as_object_mut().map(|s| s.shift_remove("default"));
        self.insert(&name, shape, docs(schema), Body::Enum { variants, default })?;
        Ok(name)
    }

    fn insert(&mut self, name: &str, shape: Value, docs: String, body: Body) -> Result<()> {
        match self.types.get_mut(name) {
            Some(known) if known.shape != shape => bail!("two shapes for {name}:\n{}\n{shape}", known.shape),
            Some(known) => {
                known.used_by.insert(self.kind.to_owned());
            }
            None => {
                let used_by = BTreeSet::from([self.kind.to_owned()]);
                self.types.insert(name.to_owned(), Type { shape, used_by, docs, body });
            }
        }
        Ok(())
    }

    /// A default as a Rust expression of a type that is known already.
    fn expression(&self, rust_type: &str, value: &Value) -> Result<String> {
        let item = rust_type.strip_prefix("Vec<").and_then(|t| t.strip_suffix('>'));
        Ok(match value {
            Value::String(text) if rust_type == "String" => format!("{text:?}.to_owned()"),
            Value::String(text) => format!("{rust_type}::{}", variant(text)),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(values) => {
                let item = item.context("a list's default needs a list")?;
                let items: Result<Vec<String>> = values.iter().map(|v| self.expression(item, v)).collect();
                format!("vec![{}]", items?.join(", "))
            }
            Value::Object(object) => {
                let Some(Type { body: Body::Struct(fields), .. }) = self.types.get(rust_type) else {
                    bail!("{rust_type} is no struct");
                };
                let mut parts = Vec::new();
                for field in fields {
                    let expression = match (object.get(&field.json_name), &field.default) {
                        (Some(given), _) if field.rust_type.starts_with("Option<") => {
                            let inner = field.rust_type.trim_start_matches("Option<").trim_end_matches('>');
                            format!("Some({})", self.expression(inner, given)?)
                        }
                        (Some(given), _) => self.expression(&field.rust_type, given)?,
                        (None, Default::Value(expression)) => expression.clone(),
                        (None, Default::Nothing) => "std::default::Default::default()".to_owned(),
                        (None, Default::Required) => {
                            bail!("the default of {rust_type} lacks {}", field.json_name)
                        }
                    };
                    parts.push(format!("{}: {expression}", field_name(&field.json_name)));
                }
                format!("{rust_type} {{ {} }}", parts.join(", "))
            }
            Value::Null => bail!("a null default"),
        })
    }
}

/// The first paragraph of a description, as rustdoc takes it.
fn docs(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or("As the Gateway API has it.");
    let first = description.split("\n\n").next().unwrap_or_default();
    first.replace('<', "\\<").replace('[', "\\[")
}

/// What of a schema decides the Rust type.
fn shape(schema: &Value) -> Value {
    let mut kept = serde_json::Map::new();
    for key in ["type", "format", "default", "minimum", "maximum", "x-kubernetes-int-or-string"] {
        if let Some(value) = schema.get(key) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    for (key, sorted) in [("enum", true), ("required", true)] {
        if let Some(values) = schema.get(key).and_then(Value::as_array) {
            let mut values = values.clone();
            if sorted {
                values.sort_by_key(Value::to_string);
            }
            kept.insert(key.to_owned(), Value::Array(values));
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key) {
            kept.insert(key.to_owned(), shape(inner));
        }
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let properties = properties.iter().map(|(name, inner)| (name.clone(), shape(inner))).collect();
        kept.insert("properties".to_owned(), Value::Object(properties));
    }
    Value::Object(kept)
}

fn required(schema: &Value) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn integer(schema: &Value) -> &'static str {
    let enumerated =
        schema["enum"].as_array().is_some_and(|v| v.iter().all(|n| n.as_u64().is_some_and(|n| n < 65536)));
    let at_least_zero = schema["minimum"].as_i64().is_some_and(|n| n >= 0);
    match schema["maximum"].as_i64() {
        Some(..=65535) if at_least_zero => "u16",
        _ if enumerated => "u16",
        _ if at_least_zero && schema["format"] != "int64" => "u32",
        _ if schema["format"] == "int64" => "i64",
        _ => "i32",
    }
}
