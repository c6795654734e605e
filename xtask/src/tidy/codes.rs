//! Every code that a user can meet stands in the one table of `byrnie-api`, from which docs/errors.md is made.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::Breach;
use super::text::sources;

const TABLE: &str = "crates/byrnie-api/src/codes.rs";

pub fn check(root: &Path) -> anyhow::Result<Vec<Breach>> {
    let table = std::fs::read_to_string(root.join(TABLE)).context(TABLE)?;
    let known: Vec<String> = table.lines().filter_map(row).map(|number| format!("BYR{number:04}")).collect();
    let mut used = BTreeMap::new();
    for path in sources(&root.join("crates"))? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if !name.ends_with(".rs") || name.contains("tests") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (index, line) in production.lines().enumerate() {
            for code in codes(line) {
                used.entry(code).or_insert_with(|| format!("{name}:{}", index + 1));
            }
        }
    }
    used.retain(|code, _| !known.contains(code));
    let breach = |(code, place)| {
        let what = format!("{code} is not in {TABLE}: add its row, then `cargo xtask docs`");
        Breach { place, what }
    };
    Ok(used.into_iter().map(breach).collect())
}

/// The number of a row `NAME = 12, "…`.
fn row(line: &str) -> Option<u16> {
    let (name, rest) = line.trim_start().split_once(" = ")?;
    let constant = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let (number, _) = rest.split_once(',')?;
    if constant { number.parse().ok() } else { None }
}

/// Codes in the texts of a line (comments use examples).
fn codes(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = line.split("//").next().unwrap_or_default();
    for (at, _) in code.match_indices("\"BYR") {
        let digits = code.get(at + 4..at + 8).filter(|digits| digits.chars().all(|c| c.is_ascii_digit()));
        found.extend(digits.map(|digits| format!("BYR{digits}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_uses() {
        assert_eq!(row("    NO_PORT = 35, \"backend without port\", \"…\","), Some(35));
        assert_eq!(row("        let a = 3, b"), None);
        assert_eq!(codes("body(\"BYR0440\", \"BYR0441: x\") // \"BYR0442\""), ["BYR0440", "BYR0441"]);
    }
}
