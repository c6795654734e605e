//! Fuzz targets of what reads bytes of strangers, each with a corpus under `fuzz/corpus`.

#[path = "../../../fuzz/driver.rs"]
pub(crate) mod driver;

use byrnie_plan::ProxyHeader;
use http::HeaderValue;

use crate::detect::look;
use crate::hop::header;
use crate::http::strict::{Asked, Guard, Side};
use crate::proxy_protocol::{self, Look, look as look_at_header};

/// What is clear of a protocol stays so however many bytes follow.
#[test]
fn fuzz_sniff() {
    driver::drive("sniff", |input| {
        let input = input.get(..1500).unwrap_or(input);
        let mut clear = None;
        for end in (0..=input.len()).step_by(7).chain([input.len()]) {
            let now = look(&input[..end]);
            assert!(clear.is_none() || now == clear, "{clear:?} becomes {now:?} with {end} bytes");
            clear = now;
        }
    });
}

/// The guard's word does not depend on the pieces that bytes come in, and where it sees the end of a message another
/// reader sees it, too.
#[test]
fn fuzz_framing() {
    driver::drive("framing", |input| {
        for side in [Side::Requests, Side::Responses] {
            let whole = judged(side, input, input.len().max(1));
            for piece in [1, 3, 16] {
                assert_eq!(judged(side, input, piece).1, whole.1, "in pieces of {piece}");
            }
        }
        let mut at = 0;
        while let Some(Message { end, .. }) = message(&input[at..]) {
            let mut guard = Guard::new(Side::Requests, 8192);
            let passed = guard.take_all(&input[..at + end], || Asked::Nothing, || ());
            if guard.refused().is_some() || guard.is_held() {
                return;
            }
            assert!(passed == at + end && !guard.is_within_message(), "a message ends at {}", at + end);
            at += end;
        }
    });
}

/// How many bytes pass, and why the rest does not.
fn judged(side: Side, input: &[u8], piece: usize) -> (usize, Option<String>) {
    let mut guard = Guard::new(side, 8192);
    let mut passed = 0;
    for part in input.chunks(piece) {
        let taken = guard.take_all(part, || Asked::Request, || ());
        passed += taken;
        if taken < part.len() {
            break;
        }
    }
    let why = guard.refused().map(|(why, _)| why.to_string());
    (passed, why.or_else(|| guard.is_held().then(|| "held".to_owned())))
}

/// Its name in lower case, and its value.
pub(crate) type Trailer = (String, Vec<u8>);

/// A request as another parser reads it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<Trailer>,
    /// Where it ends.
    pub(crate) end: usize,
}

/// The first message, read with another parser; `None`: it is not whole, or no message.
pub(crate) fn message(input: &[u8]) -> Option<Message> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(input).ok()? else { return None };
    let method = request.method?.as_bytes().to_vec();
    let target = request.path?.as_bytes().to_vec();
    let value = |name: &str| {
        let mut found = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.next().map(|header| header.value)
    };
    if value("transfer-encoding").is_none() {
        let length = value("content-length").unwrap_or(b"0");
        let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
        let end = head.checked_add(length)?;
        let body = input.get(head..end)?.to_vec();
        return Some(Message { method, target, body, trailers: Vec::new(), end });
    }
    let (body, trailers, end) = chunks(&input[head..])?;
    Some(Message { method, target, body, trailers, end: head + end })
}

/// A body in chunks, with its trailers, and where it ends; `None`: it is not whole, or not one.
pub(crate) fn chunks(input: &[u8]) -> Option<(Vec<u8>, Vec<Trailer>, usize)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let httparse::Status::Complete((line, size)) = httparse::parse_chunk_size(&input[at..]).ok()? else {
            return None;
        };
        at += line;
        if size == 0 {
            break;
        }
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        body.extend_from_slice(input.get(at..end)?);
        at = end.checked_add(2).filter(|end| *end <= input.len())?;
    }
    let mut trailers = [httparse::EMPTY_HEADER; 128];
    match httparse::parse_headers(&input[at..], &mut trailers).ok()? {
        httparse::Status::Complete((end, trailers)) => {
            let trailer =
                |field: &httparse::Header<'_>| (field.name.to_ascii_lowercase(), field.value.to_vec());
            Some((body, trailers.iter().map(trailer).collect(), at + end))
        }
        httparse::Status::Partial => None,
    }
}

/// What is clear of a PROXY header stays so however many bytes follow, it is never longer than what was seen or than
/// the limit, and the client that it names is named in the same way when it is written again.
#[test]
fn fuzz_proxy_protocol() {
    driver::drive("proxy_protocol", |input| {
        let input = input.get(..600).unwrap_or(input);
        let mut clear = Look::More;
        for end in 0..=input.len() {
            let now = look_at_header(&input[..end]);
            let is_clear = !matches!(clear, Look::More);
            let is_bad = |look: &Look| matches!(look, Look::Malformed(_));
            assert!(
                !is_clear || now == clear || is_bad(&clear) && is_bad(&now),
                "{clear:?} becomes {now:?} with {end} bytes"
            );
            if let (false, Look::Whole(length, client)) = (is_clear, &now) {
                assert_eq!(*length, end, "it is whole with its last byte");
                if let Some(client) = client {
                    for version in [ProxyHeader::V1, ProxyHeader::V2] {
                        let again = proxy_protocol::written(version, Some((*client, *client)));
                        assert_eq!(look_at_header(&again), Look::Whole(again.len(), Some(*client)));
                    }
                }
            }
            clear = now;
        }
    });
}

/// Nothing that a peer writes makes the reader of the hop's header stumble, and its two halves are the whole.
#[test]
fn fuzz_hop() {
    driver::drive("hop", |input| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        if let Some(hop) = header::parse(&value) {
            let _ = hop.route_name();
            let text = value.to_str().unwrap();
            let (fixed, rest) = header::split(text);
            assert_eq!(format!("{fixed}{rest}"), text);
            assert!(header::parse_rest(rest).is_some(), "the whole is read and its rest is not");
        }
    });
}
