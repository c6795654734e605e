//! What reaches the operator: data on stdout, talk on stderr.
//!
//! Owns tables, numbers, colour and the refreshed screen. Knows nothing about where the data comes from.

mod block_yaml;
pub mod live_table;
pub mod number;
pub mod progress;
pub mod style;
pub mod table;

use std::io::Write;

pub use block_yaml::block_yaml;

use serde::Serialize;

use crate::cli::failure::{Failure, Report};

/// Writes data. A closed pipe ends the command quietly.
pub fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::stdout(&error))
}

/// Writes one JSON document.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::system)?;
    data(&format!("{text}\n"))
}

/// Writes one JSON document on a line of its own.
pub fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(Failure::system)?;
    data(&format!("{text}\n"))
}

/// Says something about the command, a line. Where stderr is closed nobody listens, and that is no failure.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Tells a report on stderr; `severity` is `error`, `warning` or `info`.
pub fn tell(report: &Report, severity: &str) {
    let _ = std::io::stderr().write_all(report.render(severity, style::stderr).as_bytes());
}

/// Writes YAML documents.
pub fn yaml(documents: &[serde_json::Value]) -> Result<(), Failure> {
    let mut text = String::new();
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            text.push_str("---\n");
        }
        text.push_str(&to_yaml(document)?);
    }
    data(&text)
}

/// One value as YAML, the last line ended.
pub fn to_yaml(value: &serde_json::Value) -> Result<String, Failure> {
    let mut text = serde_saphyr::to_string(value).map_err(Failure::system)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
