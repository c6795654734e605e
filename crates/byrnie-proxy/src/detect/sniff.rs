//! What bytes are, as far as they go. Pure.

use rustls::server::Acceptor;

use super::Spoken;

/// The client's half of the connection preface of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest method. The longest that is registered has 17 bytes.
const METHOD_LIMIT: usize = 32;

/// Bytes of a request line within which its version is waited for.
const LINE_LIMIT: usize = 1024;

/// Bytes of a ClientHello that are waited for. With post-quantum key shares it has about 1.8 KiB.
const HELLO_LIMIT: usize = 16 * 1024;

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// It is clear.
    Is(Spoken),
    /// It can still become HTTP or TLS.
    More,
}

/// What the bytes are. Grows with them without contradiction: what is clear stays so.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    match preface(bytes) {
        Some(true) => return Sniffed::Is(Spoken::Http2),
        None => return Sniffed::More,
        Some(false) => {}
    }
    match bytes.first() {
        Some(0x16) => client_hello(bytes),
        _ => match bytes.get(..LINE_LIMIT) {
            None => request_line(bytes),
            // A long target: no other protocol writes a word, a space and so long a path.
            Some(start) => match request_line(start) {
                Sniffed::More if has_target(start) => Sniffed::Is(Spoken::Http1),
                Sniffed::More => Sniffed::Is(Spoken::Bytes),
                clear => clear,
            },
        },
    }
}

/// Whether this is the preface of HTTP/2; `None`: so far it may be.
pub(super) fn preface(bytes: &[u8]) -> Option<bool> {
    match bytes.len() < PREFACE.len() {
        true if PREFACE.starts_with(bytes) => None,
        true => Some(false),
        false => Some(bytes.starts_with(PREFACE)),
    }
}

/// `METHOD SP target SP HTTP/1.x`, also after an empty line (RFC 9112 section 2.2). A method alone proves nothing:
/// `GET key` is also what clients of Redis and memcached say.
fn request_line(bytes: &[u8]) -> Sniffed {
    let line = match bytes {
        [b'\r'] => return Sniffed::More,
        [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
        all => all,
    };
    let method = line.iter().take_while(|byte| is_token(**byte)).count();
    if method > METHOD_LIMIT {
        return Sniffed::Is(Spoken::Bytes);
    }
    let target = match line.get(method) {
        None => return Sniffed::More,
        Some(b' ') if method > 0 => line.get(method + 1..).unwrap_or_default(),
        Some(_) => return Sniffed::Is(Spoken::Bytes),
    };
    match target.iter().position(|byte| *byte <= b' ' || *byte == 0x7f) {
        None => Sniffed::More,
        Some(0) => Sniffed::Is(Spoken::Bytes),
        Some(end) => version(target.get(end..).unwrap_or_default()),
    }
}

/// Whether the second word begins as a path or an absolute URI does.
fn has_target(line: &[u8]) -> bool {
    let target = line.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or_default();
    target.starts_with(b"/") || target.windows(3).take(16).any(|three| three == b"://")
}

fn version(rest: &[u8]) -> Sniffed {
    const VERSION: &[u8] = b" HTTP/1.";
    match rest.get(..VERSION.len()) {
        Some(start) if start == VERSION => match rest.get(VERSION.len()) {
            Some(digit) if digit.is_ascii_digit() => Sniffed::Is(Spoken::Http1),
            Some(_) => Sniffed::Is(Spoken::Bytes),
            None => Sniffed::More,
        },
        None if VERSION.starts_with(rest) => Sniffed::More,
        _ => Sniffed::Is(Spoken::Bytes),
    }
}

/// A `tchar` (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A TLS record with a handshake that begins with a ClientHello. rustls reads it; one that it does not like (too old,
/// without an extension that it needs) is TLS all the same, only without a name.
fn client_hello(bytes: &[u8]) -> Sniffed {
    let no_name = || Sniffed::Is(Spoken::Tls { sni: None });
    let looks_right = [0x16, 0x03].iter().zip(bytes).all(|(want, is)| want == is)
        && bytes.get(2).is_none_or(|minor| *minor <= 4)
        && bytes.get(5).is_none_or(|kind| *kind == 1);
    if !looks_right {
        return Sniffed::Is(Spoken::Bytes);
    }
    let [_, _, _, high, low, _, ..] = bytes else { return Sniffed::More };
    let record = 5 + usize::from(u16::from_be_bytes([*high, *low]));
    if bytes.len() < record && bytes.len() < HELLO_LIMIT {
        return Sniffed::More;
    }
    let mut acceptor = Acceptor::default();
    let mut unread = bytes;
    while !unread.is_empty() {
        if !matches!(acceptor.read_tls(&mut unread), Ok(1..)) {
            return no_name();
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let sni = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                return Sniffed::Is(Spoken::Tls { sni });
            }
            Err(_) => return no_name(),
        }
    }
    if bytes.len() < HELLO_LIMIT { Sniffed::More } else { no_name() }
}
