//! What is said about input and objects: refusals, warnings, information.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codes::Code;
use crate::kind::ObjectKey;

/// One thing to say about an object or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The object, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    /// The field, such as `spec.rules[0].backendRefs[1].port`; empty for the whole object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What is wrong, as one sentence.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Where it stands in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<SourceLocation>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Works, but probably not as meant.
    Warning,
    /// Refused, or not in force.
    Error,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceLocation {
    /// As given on the command line; `-` for standard input.
    pub file: String,
    /// From 1; 0: unknown.
    pub line: u32,
    /// From 1; 0: unknown.
    pub column: u32,
    /// The line itself, at most 160 characters of it; empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_line: String,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.line > 0 && self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl Finding {
    /// A finding with the code's own remedy, about nothing in particular yet.
    pub fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            object: None,
            field: String::new(),
            message: message.into(),
            remedy: code.info().map(|info| info.remedy.to_owned()).unwrap_or_default(),
            location: None,
        }
    }

    /// A refusal.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// Names the object.
    pub fn about(mut self, object: ObjectKey) -> Self {
        self.object = Some(object);
        self
    }

    /// Names the field.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// Says what to do, instead of the code's own remedy.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Several lines for people: the finding, then the line of the file with a mark below the place.
    pub fn render(&self) -> String {
        let Some(location) = self.location.as_ref().filter(|l| !l.source_line.is_empty()) else {
            return self.to_string();
        };
        let number = location.line.to_string();
        let margin = " ".repeat(number.len());
        let before = location.source_line.chars().take(location.column.saturating_sub(1) as usize);
        // Tabs stay tabs, so that the mark stands below its place.
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!("{self}\n {number} | {}\n {margin} | {indent}^", location.source_line)
    }

    /// Names the place in a file.
    pub fn at(mut self, location: SourceLocation) -> Self {
        self.location = Some(location);
        self
    }
}

impl fmt::Display for Finding {
    /// One line: `file:3:5: error BYR0010: HTTPRoute shop/front: spec.rulez: unknown field (did you mean …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        write!(f, "{} {}: ", self.severity, self.code)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
