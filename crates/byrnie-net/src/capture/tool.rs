//! The two system tools that set up networks: `ip` (iproute2) and `nft` (nftables), run inside a namespace.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use crate::netns::Namespace;

/// What went wrong with a tool.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed, or this user may not run it.
    #[error("{tool} cannot be run: {source}; install {package}")]
    Absent {
        /// `ip` or `nft`.
        tool: &'static str,
        /// The package that has it.
        package: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It says no.
    #[error("{tool}: {why}")]
    Refused {
        /// `ip` or `nft`.
        tool: &'static str,
        /// Its own words.
        why: String,
    },
    /// The namespace could not be made or entered.
    #[error("a network namespace: {0}")]
    Namespace(#[from] io::Error),
}

/// Whether both tools are there.
pub fn check() -> Result<(), ToolError> {
    let version = |tool: &'static str, package, argument| {
        let tried = Command::new(tool).arg(argument).stdin(Stdio::null()).output();
        tried.map(drop).map_err(|source| ToolError::Absent { tool, package, source })
    };
    version("ip", "iproute2", "-V")?;
    version("nft", "nftables", "--version")
}

/// `ip -batch -` in a namespace: all lines, up to the first that fails.
pub(super) fn ip(namespace: &Namespace, lines: &str) -> Result<(), ToolError> {
    run("ip", "iproute2", namespace, &["-batch", "-"], lines).map(drop)
}

/// The same, where a line does not say that it is about IPv6.
pub(super) fn ip6(namespace: &Namespace, lines: &str) -> Result<(), ToolError> {
    run("ip", "iproute2", namespace, &["-6", "-batch", "-"], lines).map(drop)
}

/// `ip ARGUMENTS` in a namespace; what it prints.
pub(super) fn ip_says(namespace: &Namespace, arguments: &[&str]) -> Result<String, ToolError> {
    let output = run("ip", "iproute2", namespace, arguments, "")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `nft -f -` in a namespace: one transaction.
pub(super) fn nft(namespace: &Namespace, script: &str) -> Result<(), ToolError> {
    run("nft", "nftables", namespace, &["-f", "-"], script).map(drop)
}

/// `nft ARGUMENTS` in a namespace; what it prints.
pub(super) fn nft_says(namespace: &Namespace, arguments: &[&str]) -> Result<String, ToolError> {
    let output = run("nft", "nftables", namespace, arguments, "")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run(
    tool: &'static str,
    package: &'static str,
    namespace: &Namespace,
    arguments: &[&str],
    input: &str,
) -> Result<Output, ToolError> {
    let mut command = namespace.command(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Error messages are shown as they are; in one language they can be searched for.
    command.env("LC_ALL", "C");
    let absent = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ToolError::Absent { tool, package, source },
        _ => ToolError::Namespace(source),
    };
    let mut child = command.spawn().map_err(absent)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read everything says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(absent)?;
    if output.status.success() {
        return Ok(output);
    }
    let why = String::from_utf8_lossy(&output.stderr).lines().take(3).collect::<Vec<_>>().join("; ");
    Err(ToolError::Refused { tool, why })
}
