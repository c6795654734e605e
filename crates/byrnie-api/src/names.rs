//! The forms of names, labels and annotations, as Kubernetes has them.

/// A DNS label (RFC 1123): lower-case letters, digits and `-`, at most 63 characters, no `-` at either end.
pub fn is_dns_label(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63
        && text.bytes().next().is_some_and(good)
        && text.bytes().next_back().is_some_and(good)
        && text.bytes().all(|byte| good(byte) || byte == b'-')
}

/// DNS labels joined by `.`, at most 253 characters.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// A label's key, or an annotation's: a name of at most 63 characters, with an optional DNS subdomain and `/`
/// before it.
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_label_name(name),
        None => is_label_name(text),
    }
}

/// A label's value: empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_name(text)
}

fn is_label_name(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The name among `candidates` that `word` was probably meant to be: the nearest one that is at most a third of
/// its letters away.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are no typing errors; this also bounds the work.
    if word.len() > 64 {
        return None;
    }
    let best = candidates.map(|candidate| (distance(word, candidate), candidate)).min()?;
    (best.0 <= 1.max(word.chars().count() / 3)).then_some(best.1)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment), ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_names() {
        let long = "a".repeat(64);
        for good in ["a", "web-1", "0", &long[..63]] {
            assert!(is_dns_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &long, "ä"] {
            assert!(!is_dns_label(bad), "{bad}");
        }
        assert!(is_dns_subdomain("a.b-c.d") && !is_dns_subdomain("a..b") && !is_dns_subdomain("."));
        assert!(is_label_key("app") && is_label_key("app.kubernetes.io/name") && !is_label_key("a/b/c"));
        assert!(!is_label_key("/a") && !is_label_key("a/") && !is_label_key(""));
        assert!(
            is_label_value("") && is_label_value("v1.2_A") && !is_label_value("-v") && !is_label_value("a b")
        );
    }

    #[test]
    fn nearest_names() {
        let fields = ["selector", "ports", "type", "targetPort"];
        let mean = |word| did_you_mean(word, fields.into_iter());
        assert_eq!(mean("seletcor"), Some("selector"));
        assert_eq!(mean("prots"), Some("ports"));
        assert_eq!(mean("targetport"), Some("targetPort"));
        assert_eq!(mean("unrelated"), None);
        assert_eq!(mean(""), None);
    }
}
