//! Handshakes in pieces, odd and slow (RUSTSEC-2024-0399, RUSTSEC-2024-0336): they end, and nobody waits for them.

use std::io::Write;

use super::site::{Site, connect, exchange, rest};
use super::tls::{Member, hello};

#[test]
fn odd_handshakes_end() {
    let site = Site::open();
    let port = site.mesh_port();
    let hello_of = |name: usize| hello(Some("n".repeat(name).as_bytes()));
    // A hello in records of one byte each.
    let whole = hello_of(10);
    let pieces: Vec<u8> = whole[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let close_notify = [21, 3, 3, 0, 2, 1, 0];
    let probes: Vec<Vec<u8>> = vec![
        pieces,
        [&whole[..20], &close_notify].concat(),
        close_notify.to_vec(),
        [&whole[..], &close_notify].concat(),
        hello_of(16_000),
        b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![22, 3, 1, 255, 255, 1],
        vec![22, 3, 1, 0, 0],
        vec![0; 100],
        Vec::new(),
    ];
    for probe in &probes {
        let answer = exchange(&port, probe);
        assert!(!answer.contains("HTTP/1.1"), "{probe:?}: {answer}");
    }
    // Slow ones are ended by the proxy: 5 s are theirs.
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(&port);
            stream.write_all(&whole[..30]).unwrap();
            stream
        })
        .collect();
    Member::of(&site.mesh, "a").handshake(&port).unwrap();
    for mut stream in slow {
        assert_eq!(rest(&mut stream), "");
    }
    site.holds();
}
