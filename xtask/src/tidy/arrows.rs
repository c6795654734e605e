//! Which crate may know which: the arrows of ARCHITECTURE.md.

use anyhow::Context;
use serde_json::Value;

use super::Breach;
use crate::shell;

/// Every crate, and the crates of the workspace that it may depend on. Whoever is not named here may know nobody.
const ARROWS: &[(&str, &[&str])] = &[
    ("byrnie-api", &[]),
    ("byrnie-plan", &[]),
    ("byrnie-net", &[]),
    ("byrnie-store", &[]),
    ("byrnie-mesh", &["byrnie-api", "byrnie-plan"]),
    ("byrnie-decide", &["byrnie-plan"]),
    ("byrnie-wire", &["byrnie-plan"]),
    ("byrnie-identity", &["byrnie-plan"]),
    ("byrnie-telemetry", &["byrnie-plan"]),
    (
        "byrnie-proxy",
        &["byrnie-plan", "byrnie-decide", "byrnie-wire", "byrnie-identity", "byrnie-net", "byrnie-telemetry"],
    ),
    (
        "byrnie-control",
        &[
            "byrnie-api",
            "byrnie-plan",
            "byrnie-mesh",
            "byrnie-decide",
            "byrnie-wire",
            "byrnie-store",
            "byrnie-identity",
            "byrnie-net",
            "byrnie-telemetry",
        ],
    ),
    (
        "byrnie",
        &[
            "byrnie-api",
            "byrnie-plan",
            "byrnie-mesh",
            "byrnie-decide",
            "byrnie-wire",
            "byrnie-identity",
            "byrnie-net",
            "byrnie-telemetry",
            "byrnie-proxy",
            "byrnie-control",
            "byrnie-testkit",
        ],
    ),
    ("byrnie-testkit", &["byrnie-net"]),
    ("xtask", &[]),
];

/// Crates of others that only one of ours may use, so that they stay behind one door.
const DOORS: &[(&str, &[&str])] = &[
    ("redb", &["byrnie-store"]),
    ("rcgen", &["byrnie-identity"]),
    ("schemars", &["byrnie-api"]),
    ("axum", &["byrnie-control"]),
    ("clap", &["byrnie", "xtask"]),
];

pub fn check() -> anyhow::Result<Vec<Breach>> {
    let metadata = shell::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut breaches = Vec::new();
    for package in packages {
        let from = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
            let what = "a crate without arrows: name in xtask/src/tidy/arrows.rs what it may know".to_owned();
            breaches.push(Breach { place: from.to_owned(), what });
            continue;
        };
        for to in dependencies(package) {
            let inside = names.contains(&to);
            let door = DOORS.iter().find(|(name, _)| *name == to);
            if inside && !allowed.contains(&to) {
                let what = format!("must never know {to}: the arrows of ARCHITECTURE.md point the other way");
                breaches.push(Breach { place: from.to_owned(), what });
            } else if let Some((_, keepers)) = door
                && !keepers.contains(&from)
            {
                let what = format!("uses {to}, which stays behind {}", keepers.join(" and "));
                breaches.push(Breach { place: from.to_owned(), what });
            }
        }
    }
    Ok(breaches)
}

/// The names of the crates that a package depends on; what only its tests use may know everybody.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"].as_array().into_iter().flatten();
    all.filter(|dependency| dependency["kind"] != "dev").filter_map(|dependency| dependency["name"].as_str())
}
