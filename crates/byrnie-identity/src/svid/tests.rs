use super::*;
use crate::ca::{CLOCK_SKEW, CertificateAuthority};
use crate::testing::{TestRoot, identity, web};

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn issued(lifetime: Duration, now: SystemTime) -> Svid {
    let dir = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::load_or_create(dir.path(), "cluster.local", now).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = authority.sign(&key.csr_der().unwrap(), &web(), lifetime, now).unwrap();
    Svid::new(key, signed.chain_der, now).unwrap()
}

#[test]
fn renewal_falls_between_half_and_seven_tenths_of_life() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let svid = issued(TEN_SECONDS, now);
    assert_eq!(svid.not_before(), now - CLOCK_SKEW);
    assert_eq!(svid.not_after(), now + TEN_SECONDS);
    for (random, after) in [(0.0, 5.0), (0.5, 6.0), (1.0, 7.0), (-3.0, 5.0), (7.0, 7.0)] {
        let at = svid.renew_at(random).duration_since(now).unwrap().as_secs_f64();
        assert!((at - after).abs() < 0.001, "{random}: {at}");
    }
}

#[test]
fn a_chain_must_fit_its_key() {
    let root = TestRoot::new();
    let (key, now) = (KeyPair::generate().unwrap(), SystemTime::now());
    let other = root.svid(&web());
    let chain: Vec<_> = other.chain().iter().map(|certificate| certificate.to_vec()).collect();
    let error = |chain: Vec<Vec<u8>>| {
        let key = KeyPair::from_pkcs8(key.pkcs8());
        Svid::new(key, chain, now).unwrap_err().code()
    };
    assert_eq!(error(chain.clone()), "BYR0312");
    assert_eq!(error(vec![]), "BYR0312");
    assert_eq!(error(vec![b"x".to_vec()]), "BYR0312");
    assert_eq!(error(vec![chain[0].clone(); 5]), "BYR0312");
}

#[test]
fn stored_bytes_come_back_or_are_refused() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let svid = issued(TEN_SECONDS, now);
    let bytes = svid.encode();
    let decode = |bytes: &[u8], who: &WorkloadIdentity, now| Svid::decode(bytes, who, now);
    let back = decode(&bytes, &web(), now + TEN_SECONDS / 2).unwrap();
    assert_eq!(back.key.pkcs8(), svid.key.pkcs8());
    assert_eq!((back.chain(), back.identity()), (svid.chain(), svid.identity()));
    assert_eq!(back.renew_at(0.3), svid.renew_at(0.3), "a restart does not postpone renewal");

    let code = |bytes: &[u8]| decode(bytes, &web(), now).unwrap_err().code();
    for i in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[i] ^= 0x10;
        assert_eq!(code(&damaged), "BYR0312", "byte {i}");
        assert_eq!(code(&bytes[..i]), "BYR0312", "length {i}");
    }
    let admin = identity("spiffe://cluster.local/ns/shop/sa/admin");
    assert_eq!(decode(&bytes, &admin, now).unwrap_err().code(), "BYR0314");
    assert_eq!(decode(&bytes, &web(), now + TEN_SECONDS).unwrap_err().code(), "BYR0313");
}

#[test]
fn no_secret_in_debug() {
    let svid = issued(TEN_SECONDS, SystemTime::now());
    let text = format!("{svid:?} {:?}", svid.key);
    assert!(text.contains("spiffe://cluster.local/ns/shop/sa/web"), "{text}");
    assert!(text.len() < 300 && text.contains("KeyPair(secret)"), "{text}");
}
