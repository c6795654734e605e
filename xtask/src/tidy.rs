//! `cargo xtask tidy`: the house rules as a test. Each message says what to do instead.

mod arrows;
mod codes;
mod text;

use anyhow::bail;

use crate::shell::root;

/// One breach of one rule.
pub struct Breach {
    /// `path:line`, or the crate.
    pub place: String,
    /// What is wrong and what to do instead.
    pub what: String,
}

/// Checks all rules and prints every breach.
pub fn run() -> anyhow::Result<()> {
    let mut breaches = arrows::check()?;
    breaches.extend(text::check(&root())?);
    breaches.extend(codes::check(&root())?);
    let limits = crate::limits::check(&root())?;
    breaches.extend(limits.into_iter().map(|what| Breach { place: "docs/limits.md".to_owned(), what }));
    for breach in &breaches {
        eprintln!("{}: {}", breach.place, breach.what);
    }
    if !breaches.is_empty() {
        bail!("{} breaches of the house rules (CONTRIBUTING.md has the reasons)", breaches.len());
    }
    Ok(())
}
