//! What a request may be for: the four forms of a target, and which methods each is of (RFC 9112 section 3.2).

use memchr::{memchr, memrchr};

/// What a target is to its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Of one of its forms.
    Fit,
    /// `OPTIONS http://host`, without path and query: that is about the host itself, `OPTIONS *` (section 3.2.4).
    Server,
    /// Of another form, or no target of HTTP.
    Misfit,
}

/// Whether method and target of a request line (`rest`, with what follows it) fit together. The usual form is told by
/// its first byte; what is no request line at all is the codec's to refuse.
pub fn judge(method: &[u8], rest: &[u8]) -> Target {
    let is_fit = match rest.first() {
        None | Some(b' ') => true,
        Some(b'/') => method != b"CONNECT",
        Some(_) => {
            let target = rest.get(..memchr(b' ', rest).unwrap_or(rest.len())).unwrap_or(rest);
            match (method, target) {
                (b"CONNECT", _) => is_authority(target),
                (b"OPTIONS", b"*") => true,
                _ => match (authority_of(target), method) {
                    (Some(rest), b"OPTIONS") if !rest.iter().any(|byte| matches!(byte, b'/' | b'?')) => {
                        return Target::Server;
                    }
                    (found, _) => found.is_some(),
                },
            }
        }
    };
    if is_fit { Target::Fit } else { Target::Misfit }
}

/// What follows `http://`: other schemes are nothing that a proxy of HTTP could be asked for. Whether `https` fits the
/// connection is judged where that is known.
fn authority_of(target: &[u8]) -> Option<&[u8]> {
    let behind = |scheme: &[u8]| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    behind(b"http://").or_else(|| behind(b"https://"))
}

/// `host:port`, both of them: CONNECT has no default port (RFC 9110 section 9.3.6).
fn is_authority(target: &[u8]) -> bool {
    let Some((host, [b':', port @ ..])) = memrchr(b':', target).and_then(|at| target.split_at_checked(at))
    else {
        return false;
    };
    let is_plain = |byte: &u8| !matches!(byte, b'/' | b'?' | b'@');
    !host.is_empty() && host.iter().all(is_plain) && !port.is_empty() && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_its_forms() {
        for (method, target, fit) in [
            ("GET", "/", true),
            ("GET", "//a", true),
            ("GET", "http://b", true),
            ("PUT", "HTTP://b/x", true),
            ("GET", "https://b/x", true),
            ("OPTIONS", "*", true),
            ("OPTIONS", "/", true),
            ("OPTIONS", "http://b/", true),
            ("OPTIONS", "http://b?x", true),
            ("CONNECT", "b:80", true),
            ("CONNECT", "[::1]:80", true),
            ("GET", "admin", false),
            ("GET", "admin/x", false),
            ("GET", "?x", false),
            ("GET", "b:80", false),
            ("GET", "*", false),
            ("PRI", "*", false),
            ("options", "*", false),
            ("OPTIONS", "**", false),
            ("OPTIONS", "*/", false),
            ("GET", "ftp://b/x", false),
            ("GET", "ws://b/x", false),
            ("GET", "http:/b", false),
            ("GET", "http:b", false),
            ("CONNECT", "/", false),
            ("CONNECT", "*", false),
            ("CONNECT", "b", false),
            ("CONNECT", "b:", false),
            ("CONNECT", ":80", false),
            ("CONNECT", "[::1]", false),
            ("CONNECT", "u@b:80", false),
            ("CONNECT", "http://a:80", false),
            ("CONNECT", "http://a:80/x", false),
            ("CONNECT", "a/b:80", false),
            ("connect", "b:80", false),
        ] {
            let rest = format!("{target} HTTP/1.1");
            let expected = if fit { Target::Fit } else { Target::Misfit };
            assert_eq!(judge(method.as_bytes(), rest.as_bytes()), expected, "{method} {target}");
        }
        assert_eq!(judge(b"OPTIONS", b"http://b HTTP/1.1"), Target::Server);
        assert_eq!(judge(b"OPTIONS", b"HTTPS://b:80 HTTP/1.1"), Target::Server);
    }
}
