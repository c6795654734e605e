//! Resumption past a change of trust (CVE-2022-21654, CVE-2025-68121): there is none between proxies.

use rustls::HandshakeKind;

use super::site::Site;
use super::tls::Member;

#[test]
fn no_session_is_resumed() {
    let site = Site::open();
    let client = Member::of(&site.mesh, "a");
    for _ in 0..3 {
        let connection = client.handshake(&site.mesh_port()).unwrap();
        assert_eq!(connection.conn.tls13_tickets_received(), 0);
        assert_eq!(connection.conn.handshake_kind(), Some(HandshakeKind::Full));
    }
    site.holds();
}
