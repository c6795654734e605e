//! Query strings of the client's requests.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::api::ErrorBody;
use crate::error;

/// A flat struct as `a=b&c=d`; what is `None` is left out.
pub fn encode(query: &impl Serialize) -> Result<String, ErrorBody> {
    let Value::Object(fields) = serde_json::to_value(query).map_err(error::bad_request)? else {
        return Err(error::bad_request("a query is a flat object"));
    };
    let mut out = String::new();
    for (key, value) in fields {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        let separator = if out.is_empty() { "" } else { "&" };
        out.push_str(separator);
        out.push_str(&key);
        out.push('=');
        out.push_str(&escape(&text));
    }
    Ok(out)
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ListQuery;

    #[test]
    fn encodes_what_is_there() {
        let query = ListQuery { name: Some("a/b c".into()), watch: true, ..ListQuery::default() };
        assert_eq!(encode(&query).unwrap(), "name=a%2Fb%20c&watch=true");
        assert_eq!(encode(&ListQuery::default()).unwrap(), "");
    }
}
