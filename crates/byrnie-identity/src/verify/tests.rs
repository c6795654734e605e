use std::time::Instant;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use super::*;
use crate::testing::{TestRoot, authority_params, leaf_params, uri, web};
use crate::tls::PROVIDER;

fn verify(root: &TestRoot, chain: &[Vec<u8>], peer: PeerRole) -> Result<WorkloadIdentity, PeerFault> {
    let verifier = ChainVerifier::new(&root.bundle(), PROVIDER.signature_verification_algorithms).unwrap();
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    verifier.verify(&chain[0], &chain[1..], UnixTime::now(), peer)
}

fn named(text: &str) -> Vec<SanType> {
    vec![uri(text)]
}

#[test]
fn peers_are_judged_by_every_rule() {
    type Change = fn(&mut CertificateParams);
    let hour = Duration::from_secs(3600);
    let cases: [(&str, &str, Change); 17] = [
        ("as it should be", "", |_| {}),
        ("a DNS name beside", "", |p| p.subject_alt_names.push(SanType::DnsName("web".try_into().unwrap()))),
        ("another trust domain", "BYR0336", |p| {
            p.subject_alt_names = named("spiffe://other.local/ns/shop/sa/web")
        }),
        ("upper case", "BYR0335", |p| p.subject_alt_names = named("spiffe://Cluster.local/ns/shop/sa/web")),
        ("a longer path", "BYR0335", |p| {
            p.subject_alt_names = named("spiffe://cluster.local/ns/shop/sa/web/x")
        }),
        ("a query", "BYR0335", |p| p.subject_alt_names = named("spiffe://cluster.local/ns/shop/sa/web?x=1")),
        ("two URIs", "BYR0335", |p| p.subject_alt_names.push(uri("spiffe://cluster.local/ns/shop/sa/admin"))),
        ("the same URI twice", "BYR0335", |p| {
            p.subject_alt_names.push(uri("spiffe://cluster.local/ns/shop/sa/web"))
        }),
        ("a DNS name only", "BYR0335", |p| {
            p.subject_alt_names = vec![SanType::DnsName("web.shop".try_into().unwrap())];
        }),
        ("no name", "BYR0335", |p| p.subject_alt_names.clear()),
        ("the other side's usage", "BYR0334", |p| p.extended_key_usages.clear()),
        ("no extended usage", "BYR0335", |p| p.extended_key_usages.clear()),
        ("an authority", "BYR0335", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ("may sign certificates", "BYR0335", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        ("may not sign handshakes", "BYR0335", |p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
        ("expired", "BYR0332", |_| {}),
        ("not yet valid", "BYR0333", |_| {}),
    ];
    let root = TestRoot::new();
    for peer in [PeerRole::Server, PeerRole::Client] {
        for (what, code, change) in cases {
            let mut params = leaf_params();
            change(&mut params);
            match what {
                "the other side's usage" => params.extended_key_usages.push(match peer {
                    PeerRole::Server => ExtendedKeyUsagePurpose::ClientAuth,
                    PeerRole::Client => ExtendedKeyUsagePurpose::ServerAuth,
                }),
                "expired" => params.not_after = OffsetDateTime::from(SystemTime::now() - hour / 2),
                "not yet valid" => params.not_before = OffsetDateTime::from(SystemTime::now() + hour / 2),
                _ => {}
            }
            let result = verify(&root, &[root.leaf(&params)], peer);
            let found = result.as_ref().map_or_else(PeerFault::code, |_| "");
            assert_eq!(found, code, "{what} as {peer:?}: {result:?}");
            if let Err(fault) = result {
                let text = PeerError { peer, fault }.to_string();
                assert!(text.contains(code), "{text}");
            }
        }
    }
}

#[test]
fn only_our_roots_count() {
    let (root, other) = (TestRoot::new(), TestRoot::new());
    let code = |chain: &[Vec<u8>]| verify(&root, chain, PeerRole::Server).unwrap_err().code();
    assert_eq!(code(&[other.leaf(&leaf_params())]), "BYR0331");
    assert_eq!(code(&[other.leaf(&leaf_params()), other.der.clone()]), "BYR0331");
    let alone = leaf_params().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    assert_eq!(code(&[alone.der().to_vec()]), "BYR0331");
    assert_eq!(code(std::slice::from_ref(&root.der)), "BYR0335");
    assert_eq!(code(&[b"nonsense".to_vec()]), "BYR0331");
    assert_eq!(code(&[vec![0x30; MAX_CERTIFICATE + 1]]), "BYR0330");
    let empty = TrustBundle { roots_der: vec![], ..root.bundle() };
    let broken = TrustBundle { roots_der: vec![vec![1]], ..root.bundle() };
    for bundle in [empty, broken] {
        let made = ChainVerifier::new(&bundle, PROVIDER.signature_verification_algorithms);
        assert_eq!(made.unwrap_err().code(), "BYR0315");
    }
}

/// A leaf below `depth` authorities, itself first.
fn chain_of(root: &TestRoot, depth: usize) -> Vec<Vec<u8>> {
    let mut chain = Vec::new();
    let mut signer: Option<Issuer<'static, rcgen::KeyPair>> = None;
    for i in 0..depth {
        let (params, key) =
            (authority_params(&format!("intermediate {i}")), rcgen::KeyPair::generate().unwrap());
        let signed = params.signed_by(&key, signer.as_ref().unwrap_or(&root.issuer)).unwrap();
        chain.insert(0, signed.der().to_vec());
        signer = Some(Issuer::new(params, key));
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = leaf_params().signed_by(&key, signer.as_ref().unwrap_or(&root.issuer)).unwrap();
    chain.insert(0, leaf.der().to_vec());
    chain
}

#[test]
fn chains_are_bounded_before_they_are_built() {
    let root = TestRoot::new();
    for depth in 0..MAX_CHAIN {
        assert_eq!(verify(&root, &chain_of(&root, depth), PeerRole::Server), Ok(web()), "{depth}");
    }
    let long = chain_of(&root, 100);
    let verifier = ChainVerifier::new(&root.bundle(), PROVIDER.signature_verification_algorithms).unwrap();
    let long: Vec<_> = long.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let start = Instant::now();
    for _ in 0..1000 {
        let fault = verifier.verify(&long[0], &long[1..], UnixTime::now(), PeerRole::Server).unwrap_err();
        assert_eq!(fault, PeerFault::TooLong(101));
    }
    // A hundred signature checks for each would take five times as long.
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
