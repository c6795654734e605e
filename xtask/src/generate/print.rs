//! Prints the types as Rust.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;

use super::names::capitalised;
use super::rust::{Body, Default, Field, Type};

pub(super) fn write_type(
    text: &mut String,
    name: &str,
    type_: &Type,
    types: &BTreeMap<String, Type>,
) -> Result<()> {
    text.push('\n');
    write_docs(text, "", &type_.docs);
    match &type_.body {
        Body::Struct(fields) => {
            let defaultable = fields.iter().all(|f| has_default(f, types));
            let default = if defaultable { "Default, " } else { "" };
            writeln!(text, "#[derive(Clone, Debug, PartialEq, {default}Serialize, Deserialize)]")?;
            writeln!(text, "#[serde(rename_all = \"camelCase\")]\npub struct {name} {{")?;
            for field in fields {
                write_field(text, name, field)?;
            }
            text.push_str("}\n");
            for field in fields {
                if let Some(expression) = named_default(field) {
                    let function = default_function(name, &field.json_name);
                    writeln!(text, "\nfn {function}() -> {} {{ {expression} }}", field.rust_type)?;
                }
            }
        }
        Body::Enum { variants, default } => {
            let default_derive = if default.is_some() { "Default, " } else { "" };
            writeln!(
                text,
                "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, {default_derive}Serialize, Deserialize)]"
            )?;
            writeln!(text, "pub enum {name} {{")?;
            for value in variants {
                let variant = variant(value);
                writeln!(text, "    /// `{value}`.")?;
                if default.as_ref() == Some(value) {
                    text.push_str("    #[default]\n");
                }
                if &variant != value {
                    writeln!(text, "    #[serde(rename = {value:?})]")?;
                }
                writeln!(text, "    {variant},")?;
            }
            text.push_str("}\n");
        }
    }
    Ok(())
}

/// Whether the derived `Default` gives what an empty object reads as.
fn has_default(field: &Field, types: &BTreeMap<String, Type>) -> bool {
    match &field.default {
        Default::Nothing => true,
        Default::Value(_) => named_default(field).is_none(),
        Default::Required => {
            let name = field.rust_type.as_str();
            name.starts_with("Vec<")
                || name.starts_with("BTreeMap<")
                || matches!(name, "String" | "bool" | "u16" | "u32" | "i32" | "i64" | "Duration")
                || types.get(name).is_some_and(|t| match &t.body {
                    Body::Struct(fields) => fields.iter().all(|f| has_default(f, types)),
                    Body::Enum { default, .. } => default.is_some(),
                })
        }
    }
}

/// The expression of a default that is not the type's own.
fn named_default(field: &Field) -> Option<&str> {
    match &field.default {
        Default::Value(expression)
            if !expression.ends_with("::default()") && expression != "\"\".to_owned()" =>
        {
            Some(expression)
        }
        _ => None,
    }
}

fn write_field(text: &mut String, type_name: &str, field: &Field) -> Result<()> {
    write_docs(text, "    ", &field.docs);
    let rust_name = field_name(&field.json_name);
    let mut attributes = Vec::new();
    if camel(&rust_name) != field.json_name {
        attributes.push(format!("rename = {:?}", field.json_name));
    }
    match &field.default {
        Default::Required => {}
        Default::Value(_) if named_default(field).is_some() => {
            attributes.push(format!("default = {:?}", default_function(type_name, &field.json_name)));
        }
        Default::Value(_) => attributes.push("default".to_owned()),
        Default::Nothing => {
            let empty = match field.rust_type.split('<').next() {
                Some("Vec") => "Vec::is_empty",
                Some("BTreeMap") => "BTreeMap::is_empty",
                _ => "Option::is_none",
            };
            attributes.push(format!("default, skip_serializing_if = {empty:?}"));
        }
    }
    if !attributes.is_empty() {
        writeln!(text, "    #[serde({})]", attributes.join(", "))?;
    }
    writeln!(text, "    pub {rust_name}: {},", field.rust_type)?;
    Ok(())
}

fn write_docs(text: &mut String, indent: &str, docs: &str) {
    let mut line = String::new();
    for word in docs.split_whitespace() {
        if line.len() + word.len() + indent.len() > 100 {
            text.push_str(&format!("{indent}/// {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text.push_str(&format!("{indent}/// {line}\n"));
}

pub(super) fn variant(value: &str) -> String {
    if value == "*" {
        return "Any".to_owned();
    }
    if value.len() > 1 && value.bytes().all(|b| b.is_ascii_uppercase()) {
        return capitalised(&value.to_ascii_lowercase());
    }
    capitalised(value)
}

pub(super) fn field_name(json_name: &str) -> String {
    match snake(json_name).as_str() {
        "type" => "type_".to_owned(),
        "match" => "match_".to_owned(),
        name => name.to_owned(),
    }
}

fn default_function(type_name: &str, json_name: &str) -> String {
    format!("{}_{}_default", snake(type_name), snake(json_name))
}

/// `HTTPRouteFilter` becomes `http_route_filter`.
pub(super) fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let after_lower = index > 0 && !letters[index - 1].is_ascii_uppercase();
        let before_lower = index > 0 && letters.get(index + 1).is_some_and(|next| next.is_ascii_lowercase());
        if letter.is_ascii_uppercase() && (after_lower || before_lower) {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// What serde's `camelCase` makes of a field's name.
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + &capitalised(part))
}

pub(super) fn with_header(module: &str, text: &str, version: &str) -> String {
    let what =
        if module == "shared" { "Types that several kinds use".to_owned() } else { format!("`{module}`") };
    let mut header =
        format!("//! {what}: Gateway API {version}. Written by `cargo xtask generate`; do not edit.\n\n");
    if text.contains("BTreeMap<") {
        header.push_str("use std::collections::BTreeMap;\n\n");
    }
    header.push_str("use serde::{Deserialize, Serialize};\n\n");
    if module != "shared" {
        header.push_str("#[allow(unused_imports)] // one list for every file\nuse super::shared::*;\n");
    }
    for (needle, import) in [
        ("Duration", "crate::duration::Duration"),
        ("Condition", "crate::meta::Condition"),
        ("LabelSelector", "crate::meta::LabelSelector"),
        ("ObjectMeta", "crate::meta::ObjectMeta"),
    ] {
        if text.contains(&format!("{needle},")) || text.contains(&format!("{needle}>")) {
            header.push_str(&format!("use {import};\n"));
        }
    }
    header + text
}

pub(super) fn module_list(modules: &[String], version: &str) -> String {
    let mut text = format!(
        "//! The types of the Gateway API {version}. Written by `cargo xtask generate`; do not edit.\n\n"
    );
    for module in modules {
        text.push_str(&format!("mod {module};\n"));
    }
    text.push('\n');
    for module in modules {
        text.push_str(&format!("pub use {module}::*;\n"));
    }
    text
}
