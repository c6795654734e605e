use super::*;

/// How many bytes pass when they come in pieces of this size, and what is refused.
fn judge(side: Side, asked: Asked, bytes: &[u8], piece: usize) -> (usize, Option<Refusal>) {
    let open = std::cell::Cell::new(asked);
    let mut guard = Guard::new(side, 8192);
    let mut passed = 0;
    for part in bytes.chunks(piece) {
        let taken = guard.take_all(part, || open.get(), || open.set(Asked::Nothing));
        passed += taken;
        if taken < part.len() {
            break;
        }
    }
    (passed, guard.refused().map(|(why, _)| why))
}

fn of_request(bytes: &str) -> Option<Refusal> {
    let whole = judge(Side::Requests, Asked::Nothing, bytes.as_bytes(), bytes.len());
    for piece in [1, 2, 3, 7] {
        let (_, why) = judge(Side::Requests, Asked::Nothing, bytes.as_bytes(), piece);
        assert_eq!(why, whole.1, "in pieces of {piece}: {bytes:?}");
    }
    assert_eq!(whole.1.is_some(), whole.0 < bytes.len(), "{bytes:?}");
    whole.1
}

fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n{body}")
}

#[test]
fn what_is_clear_passes_to_its_last_byte() {
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    for bytes in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.0\r\n\r\n".to_owned(),
        "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "M#THOD / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        format!("{}GET / HTTP/1.1\r\n\r\n", post("content-length: 5", "\n\n\r\n#")),
        format!("{}{}", post("CONTENT-LENGTH:\t0 ", ""), post("content-length:0", "")),
        format!(
            "{}{}",
            chunked("5\r\n\n\r\n\n#\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n"),
            chunked("0\r\n\r\n")
        ),
        post("transfer-encoding:CHUNKED", "F\r\n0123456789abcde\r\n0;last\r\n\r\n"),
        post("upgrade: x\r\ncontent-length: 3", "abcGET / HTTP/1.1\r\n\r\n"),
    ] {
        assert_eq!(of_request(&bytes), None, "{bytes:?}");
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    use Refusal::*;
    let chunked = |body: &str| post("transfer-encoding: chunked", body);
    for (bytes, why) in [
        ("GET / HTTP/1.1\nhost: a\r\n\r\n".to_owned(), BareLineEnd),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n".to_owned(), BareLineEnd),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n".to_owned(), BareLineEnd),
        ("\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), BareLineEnd),
        ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), EmptyLines),
        ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), Fragment),
        ("GET /?a#b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), Fragment),
        ("GET admin HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), BadTarget),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), BadTarget),
        ("CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), BadTarget),
        (post("content-length: 1\r\ncontent-length: 1", "a"), TwoLengths),
        (post("Content-Length: 1\r\nContent-length: 2", "ab"), TwoLengths),
        (post("content-length: +1", "a"), BadLength),
        (post("content-length: -1", "a"), BadLength),
        (post("content-length: 1, 1", "a"), BadLength),
        (post("content-length: 1_0", "a"), BadLength),
        (post("content-length: 01", "a"), BadLength),
        (post("content-length: 0x1", "a"), BadLength),
        (post("content-length:", "a"), BadLength),
        (post("content-length: 1 1", "a"), BadLength),
        (post("content-length: 1\x0b", "a"), BadLength),
        (post("content-length: 18446744073709551616", "a"), BadLength),
        (post("content-length: 1\r\ntransfer-encoding: chunked", "0\r\n\r\n"), LengthAndCoding),
        (post("transfer-encoding: chunked\r\ncontent-length: 0", "0\r\n\r\n"), LengthAndCoding),
        (post("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "0\r\n\r\n"), BadCoding),
        (post("transfer-encoding: chunked, identity", "0\r\n\r\n"), BadCoding),
        (post("transfer-encoding: identity", "a"), BadCoding),
        (post("transfer-encoding: gzip, chunked", "0\r\n\r\n"), BadCoding),
        (post("transfer-encoding: xchunked", "0\r\n\r\n"), BadCoding),
        (post("transfer-encoding: \x0bchunked", "0\r\n\r\n"), BadCoding),
        (post("transfer-encoding: \"chunked\"", "0\r\n\r\n"), BadCoding),
        (post("transfer-encoding:", "0\r\n\r\n"), BadCoding),
        ("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), CodingIn10),
        (chunked("5\nabcde\r\n0\r\n\r\n"), BareLineEnd),
        (chunked("5\r\nabcde\n0\r\n\r\n"), BareLineEnd),
        (chunked("5;a\nb\r\nabcde\r\n0\r\n\r\n"), BareLineEnd),
        (chunked("5;a\rb\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("5;\0\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("5 \r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("5 ;a\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked(" 5\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("0x5\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("0_5\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("+5\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked(";a\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("10000000000000005\r\nabcde\r\n0\r\n\r\n"), BadChunkSize),
        (chunked("5\r\nabcdeX\r\n0\r\n\r\n"), BadChunkEnd),
        (chunked("5\r\nabcde0\r\n\r\n"), BadChunkEnd),
        (chunked("0\r\ncontent-length: 5\r\n\r\n"), BadTrailer),
        (chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), BadTrailer),
        (chunked("0\r\nx: 1\n\r\n"), BareLineEnd),
        (chunked("0\r\n\n"), BareLineEnd),
        (format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "v".repeat(9000)), LongLine),
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "v".repeat(9000)), LongTarget),
        (format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "v".repeat(9000)), LongLine),
        (chunked(&format!("5;{}\r\nabcde\r\n0\r\n\r\n", "e".repeat(9000))), LongLine),
    ] {
        assert_eq!(of_request(&bytes), Some(why), "{bytes:?}");
    }
}

#[test]
fn of_a_refused_head_nothing_is_handed_on_and_all_before_it_is() {
    let first = "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab";
    let bytes = format!("{first}GET / HTTP/1.1\r\nhost: a\n\r\n");
    let (passed, why) = judge(Side::Requests, Asked::Nothing, bytes.as_bytes(), bytes.len());
    assert_eq!((passed, why), (first.len(), Some(Refusal::BareLineEnd)));
}

#[test]
fn a_line_may_be_as_long_as_a_head() {
    let line = |length: usize| format!("GET /{} HTTP/1.1\r\n", "v".repeat(length - 16));
    assert_eq!(of_request(&format!("{}host: a\r\n\r\n", line(8192))), None);
    // The codec gets so much of a longer one that it refuses it itself.
    let long = line(8193);
    for (length, passed, why) in
        [(8191, 8191, None), (8192, 8192, Some(Refusal::LongTarget)), (8193, 8193, Some(Refusal::LongTarget))]
    {
        let begin = &long.as_bytes()[..length];
        assert_eq!(judge(Side::Requests, Asked::Nothing, begin, length), (passed, why), "{length}");
    }
}

#[test]
fn what_follows_a_request_to_switch_waits() {
    for head in [
        "GET / HTTP/1.1\r\nUpgrade: x\r\nconnection: upgrade\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
        "POST / HTTP/1.1\r\nupgrade: x\r\ncontent-length: 0\r\n\r\n",
    ] {
        let bytes = format!("{head}GET /early HTTP/1.1\r\n\r\n");
        let mut guard = Guard::new(Side::Requests, 8192);
        let none = || Asked::Nothing;
        assert_eq!(guard.take(bytes.as_bytes(), none, || ()), head.len(), "{head}");
        assert!(guard.is_held() && guard.refused().is_none());
        guard.go_on();
        assert_eq!(guard.take(b"GET / HTTP/1.1\n", none, || ()), 0);
        assert!(guard.refused().is_some());
        let mut guard = Guard::new(Side::Requests, 8192);
        guard.take(head.as_bytes(), none, || ());
        guard.release();
        assert_eq!(guard.take(b"\n\0\n", none, || ()), 3);
    }
}

#[test]
fn responses_are_judged_as_requests_are() {
    use Refusal::*;
    for (asked, bytes, why) in [
        (Asked::Request, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", None),
        (Asked::Request, "HTTP/1.1 200 OK\r\n\r\nwhat\never", None),
        (
            Asked::Request,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            None,
        ),
        (Asked::Request, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", None),
        (Asked::Head, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", None),
        (Asked::Request, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n\n\n\n", None),
        (Asked::Request, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", None),
        (Asked::Nothing, "HTTP/1.1 408 Request Timeout\r\n\r\n", Some(Unasked)),
        (
            Asked::Request,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n",
            Some(Unasked),
        ),
        (Asked::Head, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", Some(Unasked)),
        (Asked::Request, "HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\nab", Some(BareLineEnd)),
        (Asked::Request, "\r\nHTTP/1.1 200 OK\r\n\r\n", Some(EmptyLines)),
        (
            Asked::Request,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab",
            Some(TwoLengths),
        ),
        (
            Asked::Request,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
            Some(LengthAndCoding),
        ),
        (Asked::Request, "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", Some(BadCoding)),
        (Asked::Request, "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Some(CodingIn10)),
        (Asked::Request, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nab", Some(BareLineEnd)),
    ] {
        for piece in [bytes.len(), 1, 5] {
            assert_eq!(judge(Side::Responses, asked, bytes.as_bytes(), piece).1, why, "{bytes:?} by {piece}");
        }
    }
}

#[test]
fn every_refusal_has_its_number() {
    for (number, refusal) in Refusal::ALL.into_iter().enumerate() {
        assert_eq!((refusal as usize, Refusal::from_number(refusal as u8)), (number + 1, Some(refusal)));
    }
    assert_eq!(Refusal::from_number(0), None);
}
