//! Running programs: where the workspace is, and a command that fails loudly.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The root of the workspace (the directory above this crate).
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// `cargo`, as the one that started this program, in the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // `cargo run` exports these about xtask itself; a nested cargo must not inherit them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_BIN_")
            || text.starts_with("CARGO_MANIFEST_")
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Any other program, in the workspace's root.
pub fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// Runs to the end with the terminal's own output; an error names the command line.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = describe(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs to the end and returns what it wrote to stdout.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let line = describe(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("starting `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote something that is no UTF-8"))
}

fn describe(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// A program of the workspace (`byrnie`, `examples/pages`), built now as the tests build it: a package alone would be
/// given dependencies with other features, and the same crates be compiled twice.
pub fn built(program: &str) -> anyhow::Result<PathBuf> {
    run(cargo().args(["build", "--workspace", "--all-targets", "--locked", "--quiet"]))?;
    Ok(target_dir()?.join("debug").join(program))
}

/// The `byrnie` that is measured: the given file, else one that is built now by this profile.
pub fn byrnie(given: Option<&Path>, profile: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return std::path::absolute(path).context("--byrnie");
    }
    run(cargo().args(["build", "--locked", "--package", "byrnie", "--profile", profile]))?;
    Ok(target_dir()?.join(profile).join("byrnie"))
}

/// Where cargo puts what it builds (honours `CARGO_TARGET_DIR`).
pub fn target_dir() -> anyhow::Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata["target_directory"].as_str().context("cargo metadata names no target_directory")?;
    Ok(PathBuf::from(dir))
}

/// `cargo metadata` of the workspace, without dependencies.
pub fn metadata() -> anyhow::Result<serde_json::Value> {
    let text = output(cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    serde_json::from_str(&text).context("reading cargo metadata")
}
