//! How a command ends when it does not end well.
//!
//! Every failure that is told carries a stable code, where it happened and what to do; it goes to stderr.

use std::fmt::Write as _;
use std::io;

use byrnie_control::api::{ErrorBody, FindingItem};

use crate::output::style::Tone;

/// No mesh is running where the command looked.
pub const NOT_RUNNING: &str = "BYR0440";
/// The data directory cannot be used.
pub const DATA_DIR: &str = "BYR0461";
/// A file cannot be read.
pub const FILE: &str = "BYR0462";
/// An argument makes no sense.
pub const ARGUMENT: &str = "BYR0463";
/// The object is not there.
pub const NOT_FOUND: &str = "BYR0444";
/// A proxy does not obey the change yet, or refused it.
pub const NOT_SYNCED: &str = "BYR0465";
/// Something on this machine failed: a write, a thread, a runtime.
pub const SYSTEM: &str = "BYR0467";

/// Why a command stops.
#[derive(Debug)]
pub enum Failure {
    /// Everything is said already; only the exit code is left.
    Quiet(u8),
    /// To be told on stderr; the exit code is 1.
    Told(Box<Report>),
}

/// What a failed command says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Stable, `BYR0123`.
    pub code: String,
    /// What happened, with names. One line, no full stop.
    pub message: String,
    /// File and line, field path, object: the lines under the first.
    pub place: Vec<String>,
    /// What follows from it, one line each.
    pub notes: Vec<String>,
    /// What to do, one line each.
    pub help: Vec<String>,
}

impl Failure {
    /// A failure with a code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self::Told(Box::new(Report { code: code.to_owned(), message: message.into(), ..Report::default() }))
    }

    /// An argument that makes no sense.
    pub fn argument(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(ARGUMENT, message).help(help)
    }

    /// Something on this machine failed.
    pub fn system(error: impl std::fmt::Display) -> Self {
        Self::new(SYSTEM, error.to_string())
    }

    /// Adds a line that says what to do.
    pub fn help(mut self, line: impl Into<String>) -> Self {
        if let Self::Told(report) = &mut self {
            report.help.push(line.into());
        }
        self
    }

    /// Adds a line that says where.
    pub fn at(mut self, line: impl Into<String>) -> Self {
        if let Self::Told(report) = &mut self {
            report.place.push(line.into());
        }
        self
    }

    /// Code and message in one line.
    pub fn line(&self) -> String {
        match self {
            Self::Quiet(_) => String::new(),
            Self::Told(report) => format!("{}: {}", report.code, report.message),
        }
    }

    /// Writing to stdout failed. A closed pipe is how `| head` says that it has enough.
    pub fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Quiet(0),
            _ => Self::new(SYSTEM, format!("writing to stdout: {error}")),
        }
    }
}

impl From<ErrorBody> for Failure {
    fn from(body: ErrorBody) -> Self {
        let help = if body.remedy.is_empty() { Vec::new() } else { vec![body.remedy] };
        Self::Told(Box::new(Report { code: body.code, message: body.message, help, ..Report::default() }))
    }
}

impl Report {
    /// The report of one finding; `place` is the file and line, where known.
    pub fn finding(finding: &FindingItem, place: Option<String>) -> Self {
        let mut lines: Vec<String> = place.into_iter().collect();
        let object = object_name(&finding.kind, &finding.namespace, &finding.name);
        match (object.is_empty(), finding.path.is_empty()) {
            (false, false) => lines.push(format!("{object} {}", finding.path)),
            (false, true) => lines.push(object),
            (true, false) => lines.push(finding.path.clone()),
            (true, true) => {}
        }
        let help = if finding.remedy.is_empty() { Vec::new() } else { vec![finding.remedy.clone()] };
        let (code, message) = (finding.code.clone(), finding.message.clone());
        Self { code, message, place: lines, help, ..Self::default() }
    }

    /// `error[BYR0123]: …`, then where, then `note: …` and `help: …`. `severity` is the first word, `paint` knows the
    /// colours.
    pub fn render(&self, severity: &str, paint: fn(Tone, &str) -> String) -> String {
        let tone = match severity {
            "error" => Tone::Bad,
            "warning" => Tone::Warn,
            _ => Tone::Quiet,
        };
        let head =
            if self.code.is_empty() { severity.to_owned() } else { format!("{severity}[{}]", self.code) };
        let mut text = format!("{}: {}\n", paint(tone, &head), self.message);
        for line in &self.place {
            let _ = writeln!(text, "  {} {line}", paint(Tone::Quiet, "-->"));
        }
        for line in self.notes.iter().filter(|line| !line.is_empty()) {
            let _ = writeln!(text, "{}: {line}", paint(Tone::Quiet, "note"));
        }
        for line in &self.help {
            let _ = writeln!(text, "{}: {line}", paint(Tone::Good, "help"));
        }
        text
    }
}

/// `Workload shop/web-1`; without a namespace `Mesh default`; empty when nothing is known.
pub fn object_name(kind: &str, namespace: &str, name: &str) -> String {
    match (kind, namespace, name) {
        (_, _, "") => kind.to_owned(),
        (_, "", _) => format!("{kind} {name}"),
        _ => format!("{kind} {namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_code_place_and_help() {
        let failure = Failure::new("BYR0123", "port 70000 is out of range")
            .at("mesh.yaml:12")
            .at("Workload shop/web-1 spec.ports[0].port")
            .help("use 1 to 65535");
        let Failure::Told(report) = failure else { panic!("told") };
        assert_eq!(
            report.render("error", |_, text| text.to_owned()),
            "error[BYR0123]: port 70000 is out of range\n  --> mesh.yaml:12\n  --> Workload shop/web-1 \
             spec.ports[0].port\nhelp: use 1 to 65535\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let closed = Failure::stdout(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Failure::Quiet(0)));
    }
}
