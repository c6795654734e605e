//! What a program writes is committed exactly as it writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::shell::root;
use crate::tools::works;
use crate::{codegen, docs, generate};

/// Directories that hold nothing but generated files.
const DIRECTORIES: [&str; 5] = [
    "crates/byrnie-api/src/generated",
    "crates/byrnie-api/schemas",
    "crates/byrnie-wire/src/generated",
    "docs/reference",
    "crds",
];

/// Generates everything anew and compares; the files are left as generated, ready to be committed.
pub fn check(skipped: &mut Vec<String>) -> anyhow::Result<()> {
    let before = contents()?;
    codegen::run()?;
    if has_go() {
        generate::run()?;
    } else {
        skipped.push("generated code of the Gateway API: go is not installed".to_owned());
    }
    crate::limits::write(&root())?;
    docs::run()?;
    let after = contents()?;
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let mut changed: Vec<&PathBuf> = before.keys().chain(after.keys()).filter(differs).collect();
    changed.sort();
    changed.dedup();
    if changed.is_empty() {
        return Ok(());
    }
    for path in &changed {
        eprintln!("  {}", path.strip_prefix(root()).unwrap_or(path).display());
    }
    bail!("{} generated files were out of date and are now renewed: commit them", changed.len());
}

/// `go` has no `--version`.
fn has_go() -> bool {
    works("go") || std::process::Command::new("go").arg("version").output().is_ok_and(|o| o.status.success())
}

fn contents() -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for directory in DIRECTORIES {
        collect(&root().join(directory), &mut files)?;
    }
    for page in docs::pages() {
        let path = root().join(page);
        if path.exists() {
            files.insert(path.clone(), read(&path)?);
        }
    }
    Ok(files)
}

fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> anyhow::Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            let bytes = read(&path)?;
            files.insert(path, bytes);
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}
