//! The reference pages that the product prints about itself.

use anyhow::Context;

use crate::shell::{built, output, program, root};

/// Page, and the arguments of `byrnie` that print it.
const PAGES: [(&str, &[&str]); 2] =
    [("docs/cli.md", &["man", "--markdown"]), ("docs/errors.md", &["man", "--errors"])];

/// The pages, for the check that they are up to date.
pub fn pages() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(page, _)| *page)
}

/// Writes the pages anew.
pub fn run() -> anyhow::Result<()> {
    let byrnie = built("byrnie")?;
    for (page, args) in PAGES {
        let text = output(program(&byrnie).args(args))?;
        let path = root().join(page);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
