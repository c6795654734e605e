//! A certificate authority for the peers that have none of their own, by the `openssl` program.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The identity of one side.
pub fn identity(name: &str) -> String {
    format!("spiffe://bench.local/ns/bench/sa/{name}")
}

/// Writes `ca.pem`, and `NAME.pem` and `NAME.key` for each name: P-256 keys, as in a mesh.
pub fn write(directory: &Path, names: &[&str]) -> anyhow::Result<()> {
    let new =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let ca = ["-subj", "/CN=bench", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(directory, &[&new[..], &ca[..]].concat())?;
    for name in names {
        let (subject, key, pem) = (format!("/CN={name}"), format!("{name}.key"), format!("{name}.pem"));
        let san = format!("subjectAltName=URI:{}", identity(name));
        let leaf = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", &subject, "-keyout", &key, "-out", &pem];
        let extensions = ["-addext", &san, "-addext", "basicConstraints=critical,CA:FALSE"];
        openssl(directory, &[&new[..], &leaf[..], &extensions[..]].concat())?;
    }
    Ok(())
}

fn openssl(directory: &Path, args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("openssl");
    let output = command.args(args).current_dir(directory).stdin(Stdio::null()).output();
    let output = output.context("openssl, which makes the certificates, is not installed")?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
