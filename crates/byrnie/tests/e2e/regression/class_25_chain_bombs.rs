//! Chains that are work to build (RUSTSEC-2023-0053): a handshake costs a bounded time.

use std::time::{Duration, Instant};

use super::site::Site;
use super::tls::Member;

#[test]
fn a_long_chain_is_refused_fast() {
    let site = Site::open();
    let port = site.mesh_port();
    let honest = Member::of(&site.mesh, "a");
    honest.handshake(&port).unwrap();
    for links in [1, 10, 60] {
        let start = Instant::now();
        let stranger = Member::of_stranger(links);
        assert!(stranger.handshake(&port).is_err(), "{links} links");
        assert!(start.elapsed() < Duration::from_secs(10), "{links} links: {:?}", start.elapsed());
    }
    honest.handshake(&port).unwrap();
    site.holds();
}
