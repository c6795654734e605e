//! Rules about the text of the sources.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Breach;

/// Longest file, in lines. Split by noun; move tests to `foo/tests.rs`.
const MAX_LINES: usize = 700;
/// Widest line, in characters. rustfmt keeps code within 110; comments and texts get ten more.
const MAX_WIDTH: usize = 120;

/// What no source contains, where it is let be, and what to write instead.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (concat!("todo", "!("), &[], "finish it, or leave it out"),
    (concat!("unimpl", "emented!("), &[], "finish it, or leave it out"),
    (concat!("d", "bg!("), &[], "remove it"),
    (
        concat!("#[ig", "nore"),
        &[],
        "a test runs or is deleted; one that cannot run here says so to the skip list",
    ),
    (concat!("FIX", "ME"), &[], "fix it, or describe the limit where users read it"),
    (concat!("XX", "X"), &[], "say it in words"),
    (concat!("/wo", "rk/"), &[], "no paths of one machine"),
    (concat!("/ro", "ot/"), &[], "no paths of one machine"),
    (concat!("/ho", "me/"), &["docs/", "README.md"], "no paths of one machine"),
    (concat!("allow(unsafe", "_code)"), &["crates/byrnie-net/"], "`unsafe` lives in byrnie-net only"),
    (concat!("allow(clippy", "::all)"), &[], "allow one lint at one place, with its reason"),
    (concat!("allow(dead", "_code)"), &[], "delete what nobody calls"),
    (concat!("allow(unu", "sed)"), &[], "delete what nobody uses"),
];

/// Text files that are checked, by ending.
const ENDINGS: [&str; 7] = ["rs", "toml", "md", "proto", "yaml", "json", "txt"];
/// Not ours to shape: made by a program, or by git.
const SKIPPED: [&str; 6] = ["target", ".git", "generated", "schemas", "crds", "reference"];

pub fn check(root: &Path) -> anyhow::Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    for path in sources(root)? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        file(&name, &text, &mut breaches);
    }
    Ok(breaches)
}

fn file(name: &str, text: &str, breaches: &mut Vec<Breach>) {
    let rust = name.ends_with(".rs");
    let mut breach =
        |line: usize, what: String| breaches.push(Breach { place: format!("{name}:{line}"), what });
    let lines = text.lines().count();
    if rust && lines > MAX_LINES {
        breach(lines, format!("{lines} lines, at most {MAX_LINES}: split it by noun, move tests beside it"));
    }
    if (name.ends_with("src/lib.rs") || name.ends_with("src/main.rs")) && !text.starts_with("//!") {
        breach(1, "a crate begins with `//!`: what it owns, and what it must never know".to_owned());
    }
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        // A text for people is one literal, however long.
        if rust && line.chars().count() > MAX_WIDTH && !line.contains('"') {
            breach(number, format!("wider than {MAX_WIDTH} characters"));
        }
        if line.contains('\t') || line.ends_with(' ') {
            breach(number, "a tab, or a blank at the end of the line".to_owned());
        }
        for (word, allowed, instead) in FORBIDDEN {
            if line.contains(word) && !allowed.iter().any(|prefix| name.starts_with(prefix)) {
                breach(number, format!("`{word}`: {instead}"));
            }
        }
        if rust && is_unsafe(line) && !name.starts_with("crates/byrnie-net/") {
            breach(number, "`unsafe` lives in byrnie-net only".to_owned());
        }
    }
}

/// `unsafe` as code: a block, a function, an impl.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| {
        code.find(word)
            .is_some_and(|at| !code[..at].contains('"') && !code[..at].ends_with(char::is_alphanumeric))
    })
}

/// Every text file below a directory that is ours to shape, by name.
pub fn sources(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(directory, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && !name.starts_with('.') {
                collect(&path, files)?;
            }
        } else if name != "Cargo.lock"
            && ENDINGS.iter().any(|ending| path.extension().is_some_and(|e| e == *ending))
        {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(name: &str, text: &str) -> Vec<String> {
        let mut breaches = Vec::new();
        file(name, text, &mut breaches);
        breaches.into_iter().map(|breach| breach.place).collect()
    }

    #[test]
    fn breaches_name_their_line() {
        let todo = format!("fn a() {{}}\n    {}\n", concat!("todo", "!()"));
        assert_eq!(breaches("crates/a/src/b.rs", &todo), ["crates/a/src/b.rs:2"]);
        assert_eq!(breaches("crates/a/src/lib.rs", "mod b;\n"), ["crates/a/src/lib.rs:1"]);
        assert_eq!(breaches("a.rs", &"x\n".repeat(MAX_LINES + 1)).len(), 1);
        assert_eq!(breaches("a.rs", &format!("{}\n", "ü".repeat(MAX_WIDTH))).len(), 0);
    }

    #[test]
    fn only_one_crate_is_unsafe() {
        let code = concat!("let a = unsa", "fe { b() };\n");
        assert_eq!(breaches("crates/a/src/b.rs", code).len(), 1);
        assert!(breaches("crates/byrnie-net/src/b.rs", code).is_empty());
        assert!(breaches("crates/a/src/b.rs", concat!("// unsa", "fe { } is elsewhere\n")).is_empty());
    }
}
