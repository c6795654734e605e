//! One YAML or JSON document that is no object of ours, for example an OpenAPI description.

use serde_json::Value;

use crate::FILE_LIMIT;
use crate::node::{DEPTH_LIMIT, YamlError, read_yaml};

/// Reads one document within the limits of files of objects. Fields without a value (`null`) are left out.
/// The error says what is wrong, and where.
pub fn read_document(text: &str) -> Result<Value, String> {
    if text.len() > FILE_LIMIT {
        return Err(format!("{} bytes, at most {FILE_LIMIT} are read", text.len()));
    }
    let (mut documents, errors) = read_yaml(text.strip_prefix('\u{feff}').unwrap_or(text), 1);
    match errors.into_iter().next() {
        None => {}
        Some(YamlError::Malformed(message, at)) => {
            return Err(format!("line {}, column {}: {message}", at.line, at.column));
        }
        Some(YamlError::TooDeep(_)) => return Err(format!("nested more than {DEPTH_LIMIT} levels deep")),
        Some(YamlError::AliasLimit(_)) => return Err("the document expands to too much".to_owned()),
    }
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document.into_value()),
        (Some(_), false) => Err("there is more than one document in it".to_owned()),
        (None, _) => Err("there is nothing in it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_document_of_any_shape() {
        assert_eq!(read_document("a: {200: x, b: }").unwrap(), serde_json::json!({"a": {"200": "x"}}));
        assert_eq!(read_document("{\"a\":\n\t[1]}").unwrap(), serde_json::json!({"a": [1]}));
        for bad in ["", "a: 1\n---\nb: 2", "a: [", "\"a"] {
            assert!(read_document(bad).is_err(), "{bad:?}");
        }
        assert!(read_document("a:\n  b: [").unwrap_err().starts_with("line "));
    }
}
