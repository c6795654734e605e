//! `byrnie check`: this machine, and the running mesh. Categories, marks and JSON are linkerd's.

mod machine;
mod running;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::{CheckArgs, ReportFormat};
use crate::cli::failure::Failure;
use crate::output;
use crate::output::style::{Tone, stdout};

/// Explains each check.
const PAGE: &str = "docs/checks.md";

#[derive(Debug, Serialize)]
struct Report {
    success: bool,
    categories: Vec<Category>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Category {
    category_name: &'static str,
    checks: Vec<Check>,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    result: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Success,
    Warning,
    Error,
}

impl Check {
    fn good(description: impl Into<String>) -> Self {
        Self::new(description, Outcome::Success, String::new(), "")
    }

    fn warning(description: impl Into<String>, error: impl Into<String>, hint: &str) -> Self {
        Self::new(description, Outcome::Warning, error, hint)
    }

    fn error(description: impl Into<String>, error: impl Into<String>, hint: &str) -> Self {
        Self::new(description, Outcome::Error, error, hint)
    }

    fn new(description: impl Into<String>, result: Outcome, error: impl Into<String>, hint: &str) -> Self {
        Self { description: description.into(), hint: hint.to_owned(), error: error.into(), result }
    }

    /// Good when nothing is wrong; else an error for each thing that is.
    fn all(description: &str, wrong: &[String], hint: &str) -> Self {
        if wrong.is_empty() {
            Self::good(description)
        } else {
            Self::error(description, wrong.join("\n"), hint)
        }
    }
}

/// A hint, and where the check is explained.
fn hint(anchor: &str, what: &str) -> String {
    format!("{what} ({PAGE}#{anchor})")
}

/// Runs the checks and prints them. Warnings leave the exit code at 0, an error makes it 1.
pub async fn run(context: &Context, args: &CheckArgs) -> Result<(), Failure> {
    let mut categories = vec![Category { category_name: "machine", checks: machine::checks(&context.mesh) }];
    if !args.pre {
        categories.extend(running::categories(context).await);
    }
    let wrong = |category: &Category| category.checks.iter().any(|check| check.result == Outcome::Error);
    let report = Report { success: !categories.iter().any(wrong), categories };
    match args.output {
        ReportFormat::Json => output::json(&report)?,
        _ => output::data(&text(&report))?,
    }
    if report.success { Ok(()) } else { Err(Failure::Quiet(1)) }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for category in &report.categories {
        let name = category.category_name;
        text.push_str(&format!("{name}\n{}\n", "-".repeat(name.len())));
        for check in &category.checks {
            text.push_str(&format!("{} {}\n", mark(check.result), check.description));
            for line in check.error.lines() {
                text.push_str(&format!("    {line}\n"));
            }
            if !check.hint.is_empty() {
                text.push_str(&format!("    hint: {}\n", check.hint));
            }
        }
        text.push('\n');
    }
    let verdict = if report.success { Outcome::Success } else { Outcome::Error };
    text.push_str(&format!("Status check results are {}\n", mark(verdict)));
    text
}

fn mark(outcome: Outcome) -> String {
    match outcome {
        Outcome::Success => stdout(Tone::Good, "√"),
        Outcome::Warning => stdout(Tone::Warn, "‼"),
        Outcome::Error => stdout(Tone::Bad, "×"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let checks = vec![
            Check::good("the data directory is writable"),
            Check::warning(
                "certificates are valid for an hour",
                "web-1 ends in 5m",
                "see `byrnie proxy-status`",
            ),
        ];
        Report { success: true, categories: vec![Category { category_name: "machine", checks }] }
    }

    #[test]
    fn marks_and_words_of_linkerd() {
        let expected = "\
machine
-------
√ the data directory is writable
‼ certificates are valid for an hour
    web-1 ends in 5m
    hint: see `byrnie proxy-status`

Status check results are √
";
        assert_eq!(text(&report()), expected);
    }

    #[test]
    fn json_of_linkerd() {
        let expected = concat!(
            r#"{"success":true,"categories":[{"categoryName":"machine","checks":["#,
            r#"{"description":"the data directory is writable","result":"success"},"#,
            r#"{"description":"certificates are valid for an hour","hint":"see `byrnie proxy-status`","#,
            r#""error":"web-1 ends in 5m","result":"warning"}]}]}"#
        );
        assert_eq!(serde_json::to_string(&report()).unwrap(), expected);
    }
}
