//! YAML as Go's `sigs.k8s.io/yaml` prints it, which is what people compare with: block style, keys sorted, lists
//! not indented below their key, and quotes only where a text would be read as something else.

use std::fmt::Write as _;

use serde_json::Value;

/// One document. The same value gives the same bytes, always.
pub fn block_yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => object(&mut text, fields, 0),
        Value::Array(items) if !items.is_empty() => list(&mut text, items, 0),
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
    text
}

/// Fields below each other; the first begins where the text stands.
fn object(text: &mut String, fields: &serde_json::Map<String, Value>, indent: usize) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            spaces(text, indent);
        }
        text.push_str(&quoted(key));
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                spaces(text, indent + 2);
                object(text, inner, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                spaces(text, indent);
                list(text, items, indent);
            }
            // Writing to a String cannot fail.
            other => {
                let _ = writeln!(text, " {}", scalar(other));
            }
        }
    }
}

fn list(text: &mut String, items: &[Value], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            spaces(text, indent);
        }
        text.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => object(text, inner, indent + 2),
            Value::Array(inner) if !inner.is_empty() => list(text, inner, indent + 2),
            other => {
                let _ = writeln!(text, "{}", scalar(other));
            }
        }
    }
}

fn spaces(text: &mut String, count: usize) {
    text.extend(std::iter::repeat_n(' ', count));
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

/// A text without quotes, in `"` where it would be read as another type or holds control characters, in `'` where
/// YAML would take a part of it for syntax.
fn quoted(text: &str) -> String {
    if text.is_empty() || reads_as_another_type(text) || text.chars().any(char::is_control) {
        // JSON's strings are YAML's.
        return Value::String(text.to_owned()).to_string();
    }
    if has_syntax(text) { format!("'{}'", text.replace('\'', "''")) } else { text.to_owned() }
}

fn has_syntax(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().unwrap_or(b' ');
    let second = bytes.next().unwrap_or(b' ');
    let indicator = b"#,[]{}&*!|>'\"%@`".contains(&first)
        || (matches!(first, b'-' | b'?' | b':') && second == b' ')
        || text.starts_with("---")
        || text.starts_with("...");
    indicator
        || text.starts_with(' ')
        || text.ends_with(' ')
        || text.ends_with(':')
        || text.contains(": ")
        || text.contains(" #")
}

/// Whether YAML 1.1 reads a plain text as null, boolean, number or time.
fn reads_as_another_type(text: &str) -> bool {
    const WORDS: [&str; 10] = ["null", "~", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let lower = text.to_ascii_lowercase();
    let numeric = lower.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    WORDS.contains(&lower.as_str())
        || text == "<<"
        || (numeric
            && lower.bytes().all(|b| b.is_ascii_hexdigit() || b"xob_+-.:einfat ".contains(&b))
            && looks_numeric(&lower))
}

fn looks_numeric(lower: &str) -> bool {
    let digits = lower.trim_start_matches(['+', '-']).replace('_', "");
    let radix = |prefix: &str, radix: u32| {
        digits.strip_prefix(prefix).is_some_and(|rest| i128::from_str_radix(rest, radix).is_ok())
    };
    let sexagesimal =
        digits.contains(':') && digits.bytes().all(|b| b.is_ascii_digit() || b":.".contains(&b));
    let date = digits.len() >= 8
        && digits.get(4..5) == Some("-")
        && digits.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit()));
    digits.parse::<f64>().is_ok()
        || matches!(digits.as_str(), ".inf" | ".nan")
        || radix("0x", 16)
        || radix("0o", 8)
        || radix("0b", 2)
        || sexagesimal
        || date
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_shape_of_go() {
        let value = json!({
            "spec": {"routes": [{"name": "GET /", "condition": {"method": "GET", "pathRegex": "/"}}], "none": []},
            "apiVersion": "linkerd.io/v1alpha2",
            "metadata": {"creationTimestamp": null, "labels": {}},
            "nested": [[1, 2], ["a"]],
        });
        let expected = "\
apiVersion: linkerd.io/v1alpha2
metadata:
  creationTimestamp: null
  labels: {}
nested:
- - 1
  - 2
- - a
spec:
  none: []
  routes:
  - condition:
      method: GET
      pathRegex: /
    name: GET /
";
        assert_eq!(block_yaml(&value), expected);
    }

    #[test]
    fn quotes_where_they_are_needed_and_nowhere_else() {
        for plain in ["GET /a/{id}", "/a/[^/]*", r"/v1\.0/x", "a:b", "1s", "500ms", "/a#b", "a-b", "v1", "-x"]
        {
            assert_eq!(block_yaml(&json!(plain)), format!("{plain}\n"));
        }
        for double in
            ["", "1", "1.5", "true", "Yes", "null", "~", "0x1f", "1e3", "12:30", "2026-11-21", "a\nb"]
        {
            assert!(block_yaml(&json!(double)).starts_with('"'), "{double}");
        }
        for single in ["{id}", "[a]", "*", "a: b", "a #b", " a", "a:", "- a", "'a", "%41", "@x"] {
            assert!(block_yaml(&json!(single)).starts_with('\''), "{single}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in
            ["", "a: b", "'", "\"", "null", "0o17", "[", "a\tb", "é ü", "- -", "?", "!x", "1_000", ".5"]
        {
            let value = json!({"k": text, "l": [text]});
            assert_eq!(byrnie_api::read_document(&block_yaml(&value)).unwrap(), value, "{text:?}");
        }
    }
}
