//! Normalisation of path and host, done once, before routing and authorization.
//!
//! What comes out is what is routed, authorized, logged and forwarded: proxy and application never read one request
//! differently. What has no single reading (encoded slash, backslash, NUL, broken escape) is refused.

use std::borrow::Cow;
use std::fmt;

use byrnie_plan::{PathMatch, PathRewrite};

/// A path after normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normalized<'a> {
    /// It was normal already.
    Borrowed(&'a str),
    /// It had to be rewritten.
    Owned(String),
    /// It has no single reading: answer 400.
    Refused(PathRefusal),
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathRefusal {
    /// Neither begins with `/` nor is `*`.
    NotAbsolute,
    /// A control byte, a space, or an encoded NUL.
    ControlByte,
    /// `%2F`: some applications see a separator, some do not.
    EncodedSlash,
    /// A backslash, encoded or not: some applications see a separator.
    Backslash,
    /// `%` without two hexadecimal digits.
    BadEscape,
    /// `#`: a fragment is never sent.
    Fragment,
    /// `?`: the query must be split off before.
    Query,
}

impl fmt::Display for PathRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::ControlByte => "the path holds a control byte, a space or an encoded NUL",
            Self::EncodedSlash => "the path holds an encoded slash (%2F)",
            Self::Backslash => "the path holds a backslash",
            Self::BadEscape => "the path holds a % without two hexadecimal digits",
            Self::Fragment => "the path holds a fragment (#)",
            Self::Query => "the path holds a question mark",
        })
    }
}

/// Normalises a path (without query) as RFC 3986 section 6.2.2 says: unreserved characters decoded, escapes in upper
/// case, dot segments removed; and duplicate slashes merged, bytes beyond ASCII escaped. An empty path becomes `/`.
pub fn normalize_path(raw: &[u8]) -> Normalized<'_> {
    if raw.is_empty() {
        return Normalized::Borrowed("/");
    }
    if raw == b"*" {
        return Normalized::Borrowed("*");
    }
    if raw.first() != Some(&b'/') {
        return Normalized::Refused(PathRefusal::NotAbsolute);
    }
    match is_normal(raw) {
        Err(refusal) => Normalized::Refused(refusal),
        Ok(false) => Normalized::Owned(remove_dot_segments(&escape_normally(raw))),
        Ok(true) => match std::str::from_utf8(raw) {
            Ok(path) => Normalized::Borrowed(path),
            // Not reached: a byte beyond ASCII is not normal.
            Err(_) => Normalized::Refused(PathRefusal::ControlByte),
        },
    }
}

/// The escapes of a configured path or prefix in normal form, so that it compares with normalised paths. Dots and
/// slashes stay: `normalize_pattern("/a/..")` matches nothing, which is what was written.
pub fn normalize_pattern(pattern: &str) -> String {
    escape_normally(pattern.as_bytes())
}

/// What a path rewrite makes of a path, as the Gateway API says. `matched` is the match that led here; a prefix
/// rewrite after another kind of match leaves the path alone.
pub fn rewrite_path<'a>(path: &'a str, matched: &PathMatch, rewrite: &'a PathRewrite) -> Cow<'a, str> {
    match (rewrite, matched) {
        (PathRewrite::Full(full), _) => Cow::Borrowed(full),
        (PathRewrite::Prefix(new), PathMatch::Prefix(prefix)) => {
            let prefix = normalize_pattern(prefix.trim_end_matches('/'));
            let Some(rest) = path.strip_prefix(prefix.as_str()) else {
                return Cow::Borrowed(path);
            };
            let joined = format!("{}{rest}", new.trim_end_matches('/'));
            Cow::Owned(if joined.starts_with('/') { joined } else { format!("/{joined}") })
        }
        (PathRewrite::Prefix(_), _) => Cow::Borrowed(path),
    }
}

/// Whether nothing needs to change; refuses what must be refused.
fn is_normal(raw: &[u8]) -> Result<bool, PathRefusal> {
    let mut normal = true;
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        match byte {
            b'/' => normal &= !segment_vanishes(raw.get(at + 1..).unwrap_or_default()),
            b'%' => {
                let decoded = decode_escape(raw, at).ok_or(PathRefusal::BadEscape)?;
                check_decoded(decoded)?;
                let lower = raw.iter().skip(at + 1).take(2).any(u8::is_ascii_lowercase);
                normal &= !lower && !is_unreserved(decoded);
                at += 2;
            }
            b'\\' => return Err(PathRefusal::Backslash),
            b'#' => return Err(PathRefusal::Fragment),
            b'?' => return Err(PathRefusal::Query),
            0..=b' ' | 0x7f => return Err(PathRefusal::ControlByte),
            0x80.. => normal = false,
            _ => {}
        }
        at += 1;
    }
    Ok(normal)
}

/// Whether the text behind a slash begins with another slash or a dot segment.
fn segment_vanishes(rest: &[u8]) -> bool {
    matches!(rest, [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

fn check_decoded(byte: u8) -> Result<(), PathRefusal> {
    match byte {
        b'/' => Err(PathRefusal::EncodedSlash),
        b'\\' => Err(PathRefusal::Backslash),
        0 => Err(PathRefusal::ControlByte),
        _ => Ok(()),
    }
}

/// Escapes in upper case, unreserved characters plain, bytes beyond ASCII escaped; a broken escape stays.
fn escape_normally(raw: &[u8]) -> String {
    let mut out = String::with_capacity(raw.len() + 8);
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        match byte {
            b'%' => match decode_escape(raw, at) {
                Some(decoded) => {
                    if is_unreserved(decoded) {
                        out.push(char::from(decoded));
                    } else {
                        push_escape(&mut out, decoded);
                    }
                    at += 2;
                }
                None => out.push('%'),
            },
            0x80.. => push_escape(&mut out, byte),
            _ => out.push(char::from(byte)),
        }
        at += 1;
    }
    out
}

/// Merges slashes and removes dot segments of an absolute path. Slashes go first, so that `/a//..` is `/`.
fn remove_dot_segments(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut ends_in_directory = false;
    for segment in path.split('/') {
        ends_in_directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    if ends_in_directory || out.is_empty() {
        out.push('/');
    }
    out
}

fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        out.push(char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0')));
    }
}

/// The byte that the escape at `at` (a `%`) stands for.
pub(crate) fn decode_escape(raw: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| raw.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// An authority after normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Lower case, without port and trailing dot; an IPv6 address keeps its brackets.
    pub host: Cow<'a, str>,
    /// The port, when one was given.
    pub port: Option<u16>,
}

/// Why an authority is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostRefusal {
    /// No host, or longer than 255 bytes.
    Length,
    /// `user@host`.
    UserInfo,
    /// Two dots in a row, or a dot first.
    EmptyLabel,
    /// A byte that no host name or address holds.
    BadByte,
    /// Not a number from 0 to 65535 behind the colon.
    BadPort,
}

impl fmt::Display for HostRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the host is empty or longer than 255 bytes",
            Self::UserInfo => "the host carries user information",
            Self::EmptyLabel => "the host has an empty label",
            Self::BadByte => "the host holds a byte that no host name has",
            Self::BadPort => "the port is not a number from 0 to 65535",
        })
    }
}

/// Normalises `host[:port]` of a Host header, `:authority` or absolute URI. No allocation unless upper case is used.
pub fn normalize_authority(raw: &str) -> Result<Authority<'_>, HostRefusal> {
    if raw.contains('@') {
        return Err(HostRefusal::UserInfo);
    }
    let (host, port) = match raw.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (raw.get(..address.len() + 2).unwrap_or(raw), rest),
        None => raw.split_at(raw.find(':').unwrap_or(raw.len())),
    };
    let port = match port.strip_prefix(':') {
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| HostRefusal::BadPort)?)
        }
        Some(_) => return Err(HostRefusal::BadPort),
        None if port.is_empty() => None,
        None => return Err(HostRefusal::BadByte),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    check_host(host)?;
    let host = match host.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    };
    Ok(Authority { host, port })
}

fn check_host(host: &str) -> Result<(), HostRefusal> {
    if host.is_empty() || host.len() > 255 {
        return Err(HostRefusal::Length);
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().map(|_| ()).map_err(|_| HostRefusal::BadByte);
    }
    if host.starts_with('.') || host.ends_with('.') || host.contains("..") {
        return Err(HostRefusal::EmptyLabel);
    }
    match host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        true => Ok(()),
        false => Err(HostRefusal::BadByte),
    }
}

#[cfg(test)]
mod tests;
