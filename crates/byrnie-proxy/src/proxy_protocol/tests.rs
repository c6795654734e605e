use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[0x20 | command, family], &length.to_be_bytes(), rest].concat()
}

fn whole(bytes: &[u8]) -> (usize, Option<String>) {
    match look(bytes) {
        Look::Whole(length, client) => (length, client.map(|client| client.to_string())),
        other => panic!("{other:?} of {:?}", bytes.escape_ascii().to_string()),
    }
}

#[test]
fn headers_of_both_versions_name_the_client() {
    let v4 = [10, 0, 0, 9, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];
    let table: &[(&[u8], Option<&str>)] = &[
        (b"PROXY TCP4 10.0.0.9 10.0.0.1 8080 80\r\n", Some("10.0.0.9:8080")),
        (b"PROXY TCP6 2001:db8::9 ::1 8080 80\r\n", Some("[2001:db8::9]:8080")),
        (b"PROXY TCP6 ::ffff:10.0.0.9 ::1 8080 80\r\n", Some("10.0.0.9:8080")),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ::1 ::1 1 2\r\n", None),
        (&v2(1, 0x11, 12, &v4), Some("10.0.0.9:8080")),
        (&v2(1, 0x11, 15, &[&v4[..], &[4, 0, 0]].concat()), Some("10.0.0.9:8080")),
        (&v2(0, 0x11, 12, &v4), None),
        (&v2(0, 0, 0, &[]), None),
        (&v2(1, 0, 0, &[]), None),
        (&v2(1, 0x31, 216, &[7; 216]), None),
    ];
    for (bytes, client) in table {
        for more in [&b""[..], b"GET / HTTP/1.1\r\n", b"\r\n", b"PROXY TCP4"] {
            let (length, found) = whole(&[bytes, more].concat());
            assert_eq!((length, found.as_deref()), (bytes.len(), *client), "{}", bytes.escape_ascii());
        }
        for end in 0..bytes.len() {
            assert_eq!(look(&bytes[..end]), Look::More, "{}", bytes[..end].escape_ascii());
        }
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let long = format!("PROXY UNKNOWN {}", "a".repeat(107));
    let table: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\nGET",
        b"proxy TCP4 10.0.0.9 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 1 2\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 1\r2\r\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 +1 2\r\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 01 2\r\n",
        b"PROXY TCP4 10.0.0.9 10.0.0.1 65536 2\r\n",
        b"PROXY TCP4 10.0.0 10.0.0.1 1 2\r\n",
        b"PROXY TCP4  10.0.0.9 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY UDP4 10.0.0.9 10.0.0.1 1 2\r\n",
        b"PROXY \xff\r\n",
        long.as_bytes(),
        &v2(1, 0x11, 11, &[0; 11]), // Shorter than its addresses.
        &v2(1, 0x12, 12, &[0; 12]), // Of a datagram.
        &v2(2, 0x11, 12, &[0; 12]), // An unknown command.
        &v2(1, 0x41, 12, &[0; 12]), // An unknown family.
        &[SIGNATURE, &[0x11, 0x11, 0, 12], &[0; 12]].concat(), // Another version.
    ];
    for bytes in table {
        assert!(matches!(look(bytes), Look::Malformed(_)), "{} {:?}", bytes.escape_ascii(), look(bytes));
    }
    assert_eq!(look(&v2(1, 0x11, 4081, &[])), Look::TooLong);
    assert_eq!(look(&v2(1, 0x11, 4080, &[])), Look::More);
}

#[test]
fn what_is_written_is_read() {
    let (v4, v6): (SocketAddr, SocketAddr) =
        ("10.0.0.9:8080".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
    let mapped: SocketAddr = "[::ffff:10.0.0.9]:8080".parse().unwrap();
    for version in [ProxyHeader::V1, ProxyHeader::V2] {
        for (from, to) in [(v4, v4), (v6, v6), (v4, v6), (v6, v4), (mapped, v4)] {
            let bytes = written(version, Some((from, to)));
            assert_eq!(whole(&bytes), (bytes.len(), Some(canonical(from.ip(), from.port()).to_string())));
        }
        let bytes = written(version, None);
        assert_eq!(whole(&bytes), (bytes.len(), None));
    }
    assert_eq!(written(ProxyHeader::V1, Some((v4, v4))), b"PROXY TCP4 10.0.0.9 10.0.0.9 8080 8080\r\n");
    assert!(written(ProxyHeader::Off, Some((v4, v4))).is_empty());
}
