//! `docs/limits.md`: one table of everything that is bounded. The numbers are read from the code that obeys them, the
//! tests must exist; `cargo xtask generate` writes the page, `cargo xtask tidy` looks whether it is what it should be.

mod control;
mod expression;
mod identity;
mod inward;
mod outward;
mod supervisor;
mod telling;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The page.
const PAGE: &str = "docs/limits.md";

/// One table of the page.
pub struct Section {
    title: &'static str,
    rows: &'static [Row],
}

/// What is bounded.
pub struct Row {
    /// Of what it is the number.
    pub what: &'static str,
    /// The number: text, with `{file NAME}` for what is read from `crates/byrnie-file.rs` (after the first `/` comes
    /// `src/`): a constant, or the field of a default. `{file NAME b}`: it counts bytes.
    pub number: &'static str,
    /// Where it can be changed; `–`: fixed.
    pub setting: &'static str,
    /// What happens beyond it, and where it is seen.
    pub beyond: &'static str,
    /// Files with the begin of a test's name, in the shape `` `dir/file.rs` begin_of_name… ``; several with commas.
    pub test: &'static str,
}

const SECTIONS: [&Section; 9] = [
    &inward::CALLERS,
    &outward::ENDPOINTS,
    &outward::LIFE,
    &telling::RESOLVER,
    &telling::TELLING,
    &control::WIRE,
    &identity::IDENTITY,
    &control::CONTROL,
    &supervisor::SUPERVISOR,
];

const INTRODUCTION: &str = "# Limits

<!-- Written by `cargo xtask generate` from xtask/src/limits. -->

What is unbounded is filled by somebody, so everything here has a number. *Setting*: where it can be changed; \"–\" means
fixed, with its reason in the source. *Beyond it*: what happens, and where it is seen; the names of limits are values of
`byrnie_limit_rejections_total{limit=\"…\"}` at a proxy's `/metrics`. *Test*: the one that would notice.

A number of a proxy holds for its process, however many workers it has. Of the settings below those of `Mesh.spec.proxy`
that are about what comes in can be said otherwise for one Gateway, listener, Workload or Service
(`TrafficPolicy.spec.inbound`). The numbers are read from the code, and a row that is there twice, or whose test does
not exist, fails `cargo xtask tidy`.
";

/// Writes the page.
pub fn write(root: &Path) -> anyhow::Result<()> {
    fs::write(root.join(PAGE), page(root)?).context(PAGE)
}

/// The page as it should be.
fn page(root: &Path) -> anyhow::Result<String> {
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let _ = write!(text, "\n## {}\n\n", section.title);
        text.push_str("| what | number | setting | beyond it | test |\n|---|---|---|---|---|\n");
        for row in section.rows {
            let number = numbers(root, row.number).with_context(|| row.what.to_owned())?;
            let _ = writeln!(
                text,
                "| {} | {number} | {} | {} | {} |",
                row.what, row.setting, row.beyond, row.test
            );
        }
    }
    Ok(text)
}

/// Says what is wrong with the page: it is not what would be written, a row is there twice, or its test is nowhere.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let (found, wanted) = (fs::read_to_string(root.join(PAGE)).context(PAGE)?, page(root)?);
    if found != wanted {
        let differs = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
        let first = differs.map_or("its end", |(wanted, _)| wanted);
        wrong.push(format!("is not what `cargo xtask generate` writes: {first}"));
    }
    let sources = sources(&root.join("crates"))?;
    let rows: Vec<&Row> = SECTIONS.iter().flat_map(|section| section.rows).collect();
    for (number, row) in rows.iter().enumerate() {
        if rows[..number].iter().any(|before| before.what == row.what) {
            wrong.push(format!("{}: is there twice", row.what));
        }
        if row.test == "–" {
            wrong.push(format!("{}: has no test", row.what));
        }
        wrong.extend(
            missing(&sources, row.test).into_iter().map(|test| format!("{}: no test {test}", row.what)),
        );
    }
    Ok(wrong)
}

/// The text with its placeholders read from the code.
fn numbers(root: &Path, text: &str) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').context("a placeholder without end")?;
        let mut words = place.split(' ');
        let (Some(file), Some(name)) = (words.next(), words.next()) else { bail!("{place}: file and name") };
        let (krate, path) = file.split_once('/').context("crate/file")?;
        let path = root.join(format!("crates/byrnie{krate}/src/{path}.rs"));
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let value =
            expression::find(&source, name).with_context(|| format!("{name} in {}", path.display()))?;
        out.push_str(before);
        out.push_str(&value.text(words.next() == Some("b")));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// All sources below, with their paths.
fn sources(dir: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), fs::read_to_string(&path)?));
        }
    }
    Ok(found)
}

/// The tests of a cell that are not there.
fn missing(sources: &[(PathBuf, String)], cell: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let mut file = String::new();
    for part in cell.split(", ").filter(|part| *part != "–") {
        let words: Vec<&str> = part.split(' ').collect();
        let name = match words.as_slice() {
            [path] if path.starts_with('`') => {
                file = path.trim_matches('`').to_owned();
                ""
            }
            [path, name] if path.starts_with('`') => {
                file = path.trim_matches('`').to_owned();
                name.trim_end_matches('…')
            }
            [name] => name.trim_end_matches('…'),
            _ => "\0",
        };
        let wanted = format!("fn {name}");
        let is_there = |(path, text): &(PathBuf, String)| {
            path.to_string_lossy().ends_with(&format!("/{file}"))
                && text.contains(&wanted)
                && text.contains("test")
        };
        if !sources.iter().any(is_there) {
            missing.push(part.to_owned());
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_as_the_code_is() {
        assert_eq!(check(&crate::shell::root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_test_that_does_not_exist_is_found_missing() {
        let sources = [(PathBuf::from("/a/tests/bad.rs"), "#[test]\nfn heads_have_a_limit() {}".to_owned())];
        assert_eq!(missing(&sources, "`tests/bad.rs` heads_have…"), Vec::<String>::new());
        assert_eq!(missing(&sources, "`tests/bad.rs` tails…, heads…"), ["`tests/bad.rs` tails…"]);
        assert_eq!(missing(&sources, "`tests/good.rs`"), ["`tests/good.rs`"]);
    }
}
