//! How a refusal looks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The body of every answer that is not a success. The HTTP status says whose fault it is, `code` says which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Stable, `BYR0123`.
    pub code: String,
    /// What happened, with names.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub remedy: String,
    /// Every finding behind a refused `apply`.
    #[serde(default)]
    pub findings: Vec<FindingItem>,
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.remedy) }
    }
}

impl std::error::Error for ErrorBody {}

/// One thing worth saying about one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingItem {
    /// Stable, `BYR0123`.
    pub code: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// The object's kind; empty when it could not be read.
    pub kind: String,
    /// Empty for cluster-scoped objects.
    #[serde(default)]
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The field, `spec.ports[0].port`; empty when the whole object is meant.
    #[serde(default)]
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default)]
    pub remedy: String,
    /// Position of the object in the request that was refused, so that the CLI can name file and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
}
