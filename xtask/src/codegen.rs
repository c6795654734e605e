//! Generates the Rust of `proto/` into `crates/byrnie-wire/src/generated/`, committed, so that no build needs
//! protoc. Knows nothing of what the messages mean.

use std::path::Path;

use anyhow::Context;

const FILES: [&str; 4] = [
    "byrnie/v1/discovery.proto",
    "byrnie/v1/identity.proto",
    "byrnie/v1/report.proto",
    "byrnie/v1/resource.proto",
];

/// Writes the generated files anew. Run from anywhere; the result is deterministic.
pub fn run() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?;
    let out = root.join("crates/byrnie-wire/src/generated");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let descriptors = protox::compile(FILES, [root.join("proto")]).context("proto/ does not compile")?;
    tonic_prost_build::configure()
        .out_dir(&out)
        // One copy of a resource's bytes serves all its subscribers.
        .bytes(".byrnie.v1.Content.resource")
        .compile_fds(descriptors)
        .context("code generation failed")?;
    Ok(())
}
