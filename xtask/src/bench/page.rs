//! docs/benchmarks.md, and a decision: written by hand around sections that a run renews, each between two marks.

use anyhow::Context;

use crate::shell::root;

/// A part of the page that one mode of the command measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The rows of all peers.
    Proxies,
    /// How long a change takes.
    Apply,
    /// `byrnie demo`.
    Demo,
    /// What a proxy occupies.
    Memory,
    /// What routes cost.
    Routes,
    /// What transparent capture costs.
    Capture,
    /// Where the time goes.
    Flame,
    /// Single bytes and slow readers.
    Tunnels,
    /// How evenly workers share connections.
    Spread,
    /// HTTP/1.1 against HTTP/2 behind a proxy.
    Dialects,
    /// System calls for each request.
    Syscalls,
    /// Ways of moving bytes, by themselves.
    Kernel,
}

impl Section {
    /// Where it stands.
    fn page(self) -> &'static str {
        match self {
            Self::Dialects => "docs/decisions/hop-over-http2.md",
            _ => "docs/benchmarks.md",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Proxies => "proxies",
            Self::Apply => "apply",
            Self::Demo => "demo",
            Self::Memory => "memory",
            Self::Routes => "routes",
            Self::Capture => "capture",
            Self::Flame => "flame",
            Self::Tunnels => "tunnels",
            Self::Spread => "spread",
            Self::Dialects => "dialects",
            Self::Syscalls => "syscalls",
            Self::Kernel => "kernel",
        }
    }
}

/// Replaces a section.
pub fn write(section: Section, text: &str) -> anyhow::Result<()> {
    let name = section.page();
    let path = root().join(name);
    let page = std::fs::read_to_string(&path).context(name)?;
    let page = replace(&page, section.name(), text)
        .with_context(|| format!("{name} has no marks for `{}`", section.name()))?;
    std::fs::write(&path, page).context(name)
}

fn replace(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- bench: {name} -->\n"), format!("<!-- /bench: {name} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_changes() {
        let page = "head\n<!-- bench: demo -->\nold\n<!-- /bench: demo -->\ntail\n";
        let new = replace(page, "demo", "new\n").unwrap();
        assert_eq!(new, "head\n<!-- bench: demo -->\n\nnew\n\n<!-- /bench: demo -->\ntail\n");
        assert_eq!(replace(&new, "demo", "new"), Some(new.clone()));
        assert_eq!(replace(page, "apply", "x"), None);
        let all = [Section::Proxies, Section::Apply, Section::Demo, Section::Memory, Section::Routes];
        let more =
            [Section::Capture, Section::Tunnels, Section::Spread, Section::Dialects, Section::Syscalls];
        for section in all.into_iter().chain(more).chain([Section::Kernel]) {
            let page = std::fs::read_to_string(root().join(section.page())).unwrap();
            assert!(replace(&page, section.name(), "x").is_some(), "{section:?}");
        }
    }
}
