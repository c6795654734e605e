//! Which headers stay on which side: hop-by-hop headers end here, `byrnie-*` never comes from outside.

use std::time::Duration;

use byrnie_decide::{parse_grpc_timeout, write_grpc_timeout};
use http::header::{self, CONNECTION, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Version};

use crate::forwarded::CLIENT_CERT;

/// Prefix of all headers that only proxies of the mesh write.
pub const MESH_PREFIX: &str = "byrnie-";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATE: HeaderName = HeaderName::from_static("proxy-authenticate");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Whether a header belongs to one connection.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Well-known names compare as numbers; the others are rare, and told apart by their first letter.
    match name.as_str().as_bytes().first() {
        Some(b'c') => *name == CONNECTION,
        Some(b'k') => *name == KEEP_ALIVE,
        Some(b'p') => {
            *name == PROXY_CONNECTION || *name == PROXY_AUTHENTICATE || *name == PROXY_AUTHORIZATION
        }
        Some(b't') => *name == TE || *name == TRANSFER_ENCODING,
        Some(b'u') => *name == UPGRADE,
        Some(b'h') => *name == HTTP2_SETTINGS,
        _ => false,
    }
}

/// Removes what belongs to one connection (RFC 9110 section 7.6.1): the named ones, and those that `Connection`
/// names. `TE: trailers` survives, because gRPC needs it end to end.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most heads have none: one look over the names is cheaper than nine removals of what is not there.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            // By bytes: a name that is none does not make the others beside it less so.
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            // What routing and framing stand on is not the sender's to remove.
            .filter(|name| *name != HOST && *name != TE && *name != http::header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(PROXY_AUTHENTICATE);
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(UPGRADE);
    headers.remove(HTTP2_SETTINGS);
    if headers.contains_key(TE) {
        let takes_trailers = headers.get_all(TE).iter().any(names_trailers);
        headers.remove(TE);
        if takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

fn names_trailers(te: &HeaderValue) -> bool {
    te.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// The one header of ours that an application may write: where its proxy shall send this one request instead.
pub const BYRNIE_OVERRIDE: HeaderName = HeaderName::from_static("byrnie-override");

/// Whether there is any header that only proxies of the mesh may write. Cheaper than looking up one of them: their
/// names are not among the well-known ones, so each look-up hashes its name.
pub fn has_mesh_headers(headers: &HeaderMap) -> bool {
    headers.keys().any(is_of_mesh)
}

/// One of them, where there are any.
pub fn mesh_header(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    if has_mesh_headers(headers) { headers.get(name) } else { None }
}

/// Removes every header that only proxies of the mesh may write, and gives out what the application wishes.
pub fn strip_but_hear_wish(headers: &mut HeaderMap) -> Option<HeaderValue> {
    if !has_mesh_headers(headers) {
        return None;
    }
    let wish = headers.remove(BYRNIE_OVERRIDE);
    strip_mesh_headers(headers);
    wish
}

/// Whether only proxies of the mesh may write it: their own, and the one that tells an application who calls. However
/// it is spelled.
fn is_of_mesh(name: &HeaderName) -> bool {
    let name = name.as_str();
    begins_as(name, MESH_PREFIX)
        || (name.len() == CLIENT_CERT.as_str().len() && begins_as(name, CLIENT_CERT.as_str()))
}

/// Whether a name begins with this one, or with another spelling of it: CGI, and whoever names headers as it does
/// (WSGI, PHP), reads `_` as `-`.
pub fn begins_as(name: &str, start: &str) -> bool {
    let is_same = |(byte, other): (u8, u8)| byte == other || (byte == b'_' && other == b'-');
    // Most names differ in their first byte.
    name.as_bytes().first() == start.as_bytes().first()
        && name.len() >= start.len()
        && name.bytes().zip(start.bytes()).all(is_same)
}

/// Removes every header that only proxies of the mesh may write.
pub fn strip_mesh_headers(headers: &mut HeaderMap) {
    if has_mesh_headers(headers) {
        let ours: Vec<HeaderName> = headers.keys().filter(|name| is_of_mesh(name)).cloned().collect();
        for name in ours {
            headers.remove(name);
        }
    }
}

/// Removes from trailers what no sender may put there (RFC 9110 section 6.5.1: framing, routing, authentication), what
/// belongs to one connection, and what a head is cleared of as well: an application may merge the two. Values lose the
/// spaces around them, as HTTP/1 would read them: a `grpc-message` may end with one.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let is_odd = |name: &&HeaderName| {
        is_hop_by_hop(name)
            || is_of_mesh(name)
            || FOR_HEADS_ONLY.contains(name)
            || begins_as(name.as_str(), "x-forwarded-")
    };
    let odd: Vec<HeaderName> = trailers.keys().filter(is_odd).cloned().collect();
    for name in odd {
        trailers.remove(name);
    }
    for value in trailers.values_mut().filter(|value| is_padded(value)) {
        // A part of a value that leaves nothing out but spaces is one.
        if let Ok(trimmed) = HeaderValue::from_bytes(value.as_bytes().trim_ascii()) {
            *value = trimmed;
        }
    }
}

const FOR_HEADS_ONLY: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::COOKIE,
    header::EXPECT,
    header::FORWARDED,
    header::HOST,
    header::MAX_FORWARDS,
    header::SET_COOKIE,
    header::TRAILER,
];

/// The token of an HTTP/1 upgrade that may be passed on ([`is_switch`]); `Connection` must name `upgrade`.
pub fn upgrade_token(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    if version != Version::HTTP_11 {
        return None;
    }
    let token = headers.get(UPGRADE)?;
    let text = token.to_str().ok()?.trim();
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")));
    (named && is_switch(text)).then(|| token.clone())
}

/// Whether a text names one protocol that a client may switch to. HTTP itself is none: what is said in it would get
/// past the proxy.
pub fn is_switch(text: &str) -> bool {
    let name = text.split_once('/').map_or(text, |(name, _)| name);
    is_protocol(text) && !["h2", "h2c", "http"].iter().any(|http| name.eq_ignore_ascii_case(http))
}

/// Whether a text names one protocol, with or without its version (RFC 9110 section 7.8).
pub fn is_protocol(text: &str) -> bool {
    let is_token = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let (name, version) = text.split_once('/').map_or((text, None), |(name, version)| (name, Some(version)));
    is_token(name) && version.is_none_or(is_token)
}

/// Whether a value of an HTTP/2 message begins or ends with a space or a tab, which HTTP/1 would swallow: the message
/// is malformed (RFC 9113 section 8.2.1).
pub fn has_odd_space(headers: &HeaderMap) -> bool {
    headers.values().any(is_padded)
}

fn is_padded(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// How long a gRPC caller waits.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What a gRPC caller says about its time.
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    parse_grpc_timeout(headers.get(GRPC_TIMEOUT)?.to_str().ok()?)
}

/// Tells the next one how much of it is left, or what was made of it here.
pub fn pass_grpc_timeout(headers: &mut HeaderMap, left: Duration) {
    if let Ok(value) = HeaderValue::from_str(&write_grpc_timeout(left)) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// Whether the request is a gRPC call.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn hop_by_hop_headers_end_here() {
        let mut headers = map(&[
            ("connection", "close, X-Secret, host"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers"),
            ("host", "a"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("proxy-authorization", "x"),
            ("x-kept", "1"),
        ]);
        strip_hop_by_hop(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "te", "x-kept"]);
        assert_eq!(headers[TE], "trailers");
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_beside_it() {
        let mut headers = map(&[("x-secret", "1"), ("x-other", "2"), ("x-kept", "3"), ("te", "gzip")]);
        headers.append(TE, HeaderValue::from_static("Trailers"));
        headers.append(CONNECTION, HeaderValue::from_bytes(b"X-Secret, \xff,, a b").unwrap());
        headers.append(CONNECTION, HeaderValue::from_bytes(b"\xfe\t,\tx-other").unwrap());
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "3"), ("te", "trailers")]));
    }

    #[test]
    fn values_of_trailers_lose_the_spaces_around_them() {
        let mut trailers = map(&[("grpc-message", "failed: "), ("host", "a"), ("x-forwarded_for", "b")]);
        strip_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-message", "failed:")]));
    }

    #[test]
    fn what_only_the_mesh_may_write_has_many_spellings() {
        let ours = ["byrnie-hop", "byrnie_hop", "x-forwarded-client-cert", "x_forwarded_client_cert"];
        let others =
            ["byrnie", "byrnies-x", "x-byrnie-hop", "x-forwarded-client-certs", "xxforwarded-client-cert"];
        for name in ours.into_iter().chain(["x-forwarded_client-cert", "byrnie_", "byrnie-a_b"]) {
            assert!(is_of_mesh(&HeaderName::from_static(name)), "{name}");
        }
        for name in others {
            assert!(!is_of_mesh(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn only_one_honest_upgrade_token_passes() {
        let table = [
            (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], true),
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "acme/2")][..], true),
            (&[("connection", "Upgrade"), ("upgrade", "h2c")][..], false),
            (&[("connection", "Upgrade"), ("upgrade", "H2C/1")][..], false),
            (&[("connection", "Upgrade"), ("upgrade", "h2")][..], false),
            (&[("connection", "Upgrade"), ("upgrade", "HTTP/2.0")][..], false),
            (&[("connection", "Upgrade"), ("upgrade", "h2d")][..], true),
            (&[("connection", "Upgrade"), ("upgrade", "websocket, h2c")][..], false),
            (&[("connection", "Upgrade"), ("upgrade", ":connect")][..], false),
            (&[("connection", "Upgrade"), ("upgrade", "a/b/c")][..], false),
            (&[("upgrade", "websocket")][..], false),
            (&[("connection", "upgrade")][..], false),
        ];
        for (lines, expected) in table {
            assert_eq!(upgrade_token(Version::HTTP_11, &map(lines)).is_some(), expected, "{lines:?}");
        }
        assert!(upgrade_token(Version::HTTP_10, &map(table[0].0)).is_none());
    }
}
