//! `cargo xtask generate`: writes what is committed but made by a program.
//!
//! - `crates/byrnie-api/src/generated/*.rs` and `crates/byrnie-api/schemas/*`, from the CRDs of the Go module
//!   `sigs.k8s.io/gateway-api` (needs `go` and, the first time, the network).
//! - `docs/reference/*.md` and `crds/*.yaml`, from the types of `byrnie-api`.
//!
//! A build never runs this; it needs neither Go nor the network.

mod names;
mod print;
mod rust;
mod schema;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::shell::{built, root};

const MODULE: &str = "sigs.k8s.io/gateway-api";
const VERSION: &str = "v1.7.0";

/// Writes everything that is generated, and formats the Rust part.
pub fn run() -> Result<()> {
    let root = root();
    let api = root.join("crates/byrnie-api");
    let crds = schema::read_crds(&gateway_api_dir()?.join("config/crd/standard"))?;
    for crd in &crds {
        let path = api.join("schemas").join(format!("{}.json", crd.kind.to_lowercase()));
        write(&path, &format!("{:#}\n", crd.pruned_schema()))?;
    }
    let experimental = schema::read_crds(&gateway_api_dir()?.join("config/crd/experimental"))?;
    let only = serde_json::to_string_pretty(&schema::experimental_only(&crds, &experimental))?;
    write(&api.join("schemas/experimental.json"), &format!("{only}\n"))?;
    write(&api.join("schemas/rules.txt"), &schema::rules(&crds))?;
    let generated = api.join("src/generated");
    for (name, text) in rust::generate(&crds, VERSION)? {
        write(&generated.join(name), &rustfmt(&text)?)?;
    }
    write_pages()
}

/// The pages come from the types that were just written, so they are made by a program of their own, built now.
fn write_pages() -> Result<()> {
    let pages = built("examples/pages")?;
    let status =
        Command::new(pages).arg(".").current_dir(root()).status().context("starting the pages' program")?;
    if status.success() { Ok(()) } else { bail!("the reference pages could not be written") }
}

/// The unpacked Go module. `go mod download` unpacks a module also when it then complains that the module wants
/// a newer Go, so its exit code says nothing; whether the directory is there does.
fn gateway_api_dir() -> Result<PathBuf> {
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.args(arguments).current_dir(env::temp_dir()).env("GOFLAGS", "-mod=mod");
        command.output().context("go is needed to generate the Gateway API's types")
    };
    let cache = String::from_utf8(go(&["env", "GOMODCACHE"])?.stdout)?;
    let dir = Path::new(cache.trim()).join(format!("{MODULE}@{VERSION}"));
    if !dir.is_dir() {
        let output = go(&["mod", "download", "-json", &format!("{MODULE}@{VERSION}")])?;
        if !dir.is_dir() {
            bail!("cannot download {MODULE}@{VERSION}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
    Ok(dir)
}

/// What is the same already is left alone: cargo would build everything anew.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn rustfmt(text: &str) -> Result<String> {
    let mut command = Command::new("rustfmt");
    command.args(["--edition", "2024"]).current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut rustfmt = command.spawn().context("starting rustfmt")?;
    rustfmt.stdin.take().context("rustfmt has no stdin")?.write_all(text.as_bytes())?;
    let output = rustfmt.wait_with_output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        bail!("rustfmt refuses:\n{text}")
    }
}
