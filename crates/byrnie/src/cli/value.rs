//! Parsing of single arguments: durations, headers, `KIND/NAME`.

use std::time::Duration;

use crate::cli::failure::Failure;

/// `500ms`, `30s`, `2m`, `1h`; a bare number means seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || "expected a number with a unit: 500ms, 30s, 2m or 1h".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// `name: value`, as curl takes it.
pub fn header(text: &str) -> Result<String, String> {
    let wrong = || "expected `name: value`".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = http::HeaderName::try_from(name.trim()).map_err(|_| format!("`{name}` is no header name"))?;
    let value =
        http::HeaderValue::try_from(value.trim()).map_err(|_| "a header value is one line".to_owned())?;
    Ok(format!("{name}: {}", value.to_str().map_err(|_| wrong())?))
}

/// What a command is about: one kind, and no name (all of them) or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As typed; the caller resolves it.
    pub kind: String,
    /// Empty: all.
    pub names: Vec<String>,
}

impl Target {
    /// `KIND`, `KIND NAME…` or `KIND/NAME KIND/NAME…`, as kubectl reads it.
    pub fn parse(kind: &str, names: &[String]) -> Result<Self, Failure> {
        let Some((first_kind, first_name)) = kind.split_once('/') else {
            if let Some(slashed) = names.iter().find(|name| name.contains('/')) {
                let why = format!("`{kind} {slashed}` mixes the two ways to name an object");
                return Err(Failure::argument(why, "write KIND NAME… or KIND/NAME…"));
            }
            return Ok(Self { kind: kind.to_owned(), names: names.to_vec() });
        };
        let mut all = vec![first_name.to_owned()];
        for name in names {
            match name.split_once('/') {
                Some((kind, name)) if kind == first_kind => all.push(name.to_owned()),
                _ => {
                    let why = format!("`{kind} {name}` names more than one kind, or mixes the two ways");
                    return Err(Failure::argument(
                        why,
                        "one command is about one kind: KIND/NAME KIND/NAME…",
                    ));
                }
            }
        }
        if all.iter().any(String::is_empty) || first_kind.is_empty() {
            return Err(Failure::argument(format!("`{kind}` lacks a part"), "write KIND/NAME"));
        }
        Ok(Self { kind: first_kind.to_owned(), names: all })
    }
}

/// The last part of `KIND/NAME`, or the whole: for commands that are about one kind anyway.
pub fn bare_name(text: &str) -> &str {
    text.rsplit_once('/').map_or(text, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for wrong in ["", "s", "1d", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_lose_their_outer_blanks() {
        assert_eq!(header("X-User:  ann "), Ok("x-user: ann".to_owned()));
        assert!(header("no colon").is_err());
        assert!(header("a b: c").is_err());
        assert!(header("a: b\r\nc: d").is_err());
    }

    fn target(kind: &str, names: &[&str]) -> Option<(String, Vec<String>)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Target::parse(kind, &names).ok().map(|target| (target.kind, target.names))
    }

    #[test]
    fn targets_as_kubectl_reads_them() {
        let is = |kind: &str, names: &[&str]| {
            Some((kind.to_owned(), names.iter().map(|n| n.to_string()).collect()))
        };
        assert_eq!(target("svc", &[]), is("svc", &[]));
        assert_eq!(target("svc", &["a", "b"]), is("svc", &["a", "b"]));
        assert_eq!(target("svc/a", &["svc/b"]), is("svc", &["a", "b"]));
        assert_eq!(target("svc/a", &["b"]), None);
        assert_eq!(target("svc", &["svc/b"]), None);
        assert_eq!(target("svc/", &[]), None);
        assert_eq!(target("svc/a", &["gw/b"]), None);
    }
}
