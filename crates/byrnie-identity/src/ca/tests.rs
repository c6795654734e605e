use std::os::unix::fs::PermissionsExt;

use rcgen::{CustomExtension, PKCS_ECDSA_P384_SHA384};
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::*;
use crate::svid::{KeyPair, Svid};
use crate::testing::{authority_params, identity, uri, web};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority(dir: &Path) -> CertificateAuthority {
    CertificateAuthority::load_or_create(&dir.join("identity"), "cluster.local", SystemTime::now()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A request that wishes for `params`.
fn request(params: CertificateParams) -> Vec<u8> {
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn the_root_is_made_once_and_kept_private() {
    let dir = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let dir = dir.path().to_owned();
            std::thread::spawn(move || authority(&dir).bundle_der().to_vec())
        })
        .collect();
    let made = authority(dir.path());
    for thread in threads {
        assert_eq!(thread.join().unwrap(), made.bundle_der(), "two processes at once have one root");
    }
    let identity = dir.path().join("identity");
    assert_eq!((mode(&identity), mode(&identity.join("ca.pem"))), (0o700, 0o600));
    assert_eq!(fs::read_dir(&identity).unwrap().count(), 1, "nothing temporary is left");
    assert!(!format!("{made:?}").contains("key"), "{made:?}");
    let pem = crate::bundle_to_pem(made.bundle());
    assert_eq!(&crate::bundle_from_pem(pem.as_bytes()).unwrap(), made.bundle());
}

#[test]
fn what_cannot_be_trusted_is_refused_with_a_code() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path());
    let (dir, file) = (dir.path().join("identity"), dir.path().join("identity/ca.pem"));
    let load = |domain: &str| {
        let error = CertificateAuthority::load_or_create(&dir, domain, SystemTime::now()).unwrap_err();
        assert!(error.to_string().starts_with(error.code()), "{error}");
        error.code()
    };
    assert_eq!(load("other.local"), "BYR0303");
    assert_eq!(load("Upper.local"), "BYR0309");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(load("cluster.local"), "BYR0302");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(load("cluster.local"), "BYR0302");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let other = new_root("cluster.local", SystemTime::now()).unwrap();
    let certificate = text.find("-----BEGIN CERTIFICATE").unwrap();
    let other_key = &other[..other.find("-----BEGIN CERTIFICATE").unwrap()];
    for damaged in ["", &text[..certificate], &format!("{other_key}{}", &text[certificate..])] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(load("cluster.local"), "BYR0304");
    }
}

#[test]
fn wishes_of_a_request_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let wish = |change: fn(&mut CertificateParams)| {
        let mut params = CertificateParams::default();
        change(&mut params);
        request(params)
    };
    let requests = [
        ("nothing", KeyPair::generate().unwrap().csr_der().unwrap()),
        (
            "two URIs",
            wish(|p| p.subject_alt_names = vec![uri("spiffe://a/ns/b/sa/c"), uri("spiffe://d/ns/e/sa/f")]),
        ),
        (
            "another namespace",
            wish(|p| p.subject_alt_names = vec![uri("spiffe://cluster.local/ns/kube-system/sa/admin")]),
        ),
        ("to be an authority", wish(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        (
            "a common name",
            wish(|p| p.distinguished_name.push(DnType::CommonName, "spiffe://cluster.local/ns/x/sa/y")),
        ),
        ("to sign", wish(|p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign])),
        ("code signing", wish(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning])),
        (
            "an unknown extension",
            wish(|p| {
                p.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0])]
            }),
        ),
    ];
    let now = SystemTime::now();
    for (what, csr) in requests {
        let signed = authority.sign(&csr, &web(), DAY, now).unwrap();
        let [leaf] = signed.chain_der.as_slice() else { panic!("{what}: one certificate") };
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf).unwrap();
        assert_eq!(leaf.subject().to_string(), "", "{what}");
        let san = leaf.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(san.general_names, [GeneralName::URI("spiffe://cluster.local/ns/shop/sa/web")], "{what}");
        assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca, "{what}");
        assert_eq!(leaf.key_usage().unwrap().unwrap().value.flags, 1, "{what}: digitalSignature only");
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth && !usage.code_signing && !usage.any, "{what}");
        let unknown = |e: &x509_parser::extensions::X509Extension<'_>| {
            matches!(e.parsed_extension(), ParsedExtension::UnsupportedExtension { .. })
        };
        assert!(!leaf.extensions().iter().any(unknown), "{what}");
        let begin = leaf.validity().not_before.timestamp() as u64;
        let end = leaf.validity().not_after.timestamp() as u64;
        assert_eq!(end - begin, DAY.as_secs() + CLOCK_SKEW.as_secs(), "{what}");
        assert_eq!(signed.not_after, SystemTime::UNIX_EPOCH + Duration::from_secs(end), "{what}");
        assert_eq!(leaf.raw_serial().len(), 16, "{what}");
    }
}

#[test]
fn bad_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let good = KeyPair::generate().unwrap().csr_der().unwrap();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let trailing = [good.as_slice(), &[0]].concat();
    let p384 = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = CertificateParams::default().serialize_request(&p384).unwrap().der().to_vec();
    let now = SystemTime::now();
    for (what, csr, code) in [
        ("empty", vec![], "BYR0306"),
        ("cut off", good[..good.len() / 2].to_vec(), "BYR0306"),
        ("trailing byte", trailing, "BYR0306"),
        ("17 KiB", vec![0x30; 17 * 1024], "BYR0306"),
        ("P-384", p384, "BYR0307"),
        ("forged", forged, "BYR0308"),
    ] {
        assert_eq!(authority.sign(&csr, &web(), DAY, now).unwrap_err().code(), code, "{what}");
    }
    let foreign = identity("spiffe://other.local/ns/shop/sa/web");
    assert_eq!(authority.sign(&good, &foreign, DAY, now).unwrap_err().code(), "BYR0309");
    let odd = WorkloadIdentity { service_account: "web/../admin".to_owned(), ..web() };
    assert_eq!(authority.sign(&good, &odd, DAY, now).unwrap_err().code(), "BYR0309");
    assert_eq!(authority.sign(&good, &web(), Duration::ZERO, now).unwrap_err().code(), "BYR0310");
}

#[test]
fn no_certificate_outlives_its_root() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path());
    let csr = KeyPair::generate().unwrap().csr_der().unwrap();
    let last_day = SystemTime::now() + ROOT_LIFETIME - DAY;
    let signed = authority.sign(&csr, &web(), DAY * 30, last_day).unwrap();
    assert_eq!(signed.not_after, authority.root_not_after);
    let signed = authority.sign(&csr, &web(), Duration::MAX, last_day).unwrap();
    assert_eq!(signed.not_after, authority.root_not_after);
    assert_eq!(authority.sign(&csr, &web(), DAY, last_day + DAY * 2).unwrap_err().code(), "BYR0305");
}

#[test]
fn a_bundle_holds_further_roots_of_the_same_domain() {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let next = authority(dirs.1.path());
    let own = authority(dirs.0.path()).bundle_der().to_vec();
    let roots = dirs.0.path().join("identity/roots.pem");
    fs::write(&roots, crate::bundle_to_pem(next.bundle())).unwrap();
    assert_eq!(authority(dirs.0.path()).bundle_der(), [own[0].clone(), next.bundle_der()[0].clone()]);

    // A proxy of the old root and one of the next both are good for who has the bundle.
    let bundle = authority(dirs.0.path()).bundle().clone();
    for signer in [authority(dirs.0.path()), next] {
        let key = KeyPair::generate().unwrap();
        let now = SystemTime::now();
        let signed = signer.sign(&key.csr_der().unwrap(), &web(), DAY, now).unwrap();
        let svid = Svid::new(key, signed.chain_der, now).unwrap();
        let expected = crate::ExpectedPeer::from(&web());
        let client = crate::client_config(&svid, &bundle, expected, &[]).unwrap();
        let server = crate::server_config(&svid, &bundle, &[], crate::ClientAuth::Required).unwrap();
        crate::tls::tests::handshake(client, server).unwrap();
    }

    let domain = "other.local";
    let other =
        CertificateAuthority::load_or_create(&dirs.1.path().join("o"), domain, SystemTime::now()).unwrap();
    fs::write(&roots, crate::bundle_to_pem(other.bundle())).unwrap();
    let load =
        || CertificateAuthority::load_or_create(roots.parent().unwrap(), "cluster.local", SystemTime::now());
    assert_eq!(load().unwrap_err().code(), "BYR0303");
    let nameless = authority_params("x").self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    for text in ["", "nonsense", &pem_block("CERTIFICATE", nameless.der())] {
        fs::write(&roots, text).unwrap();
        assert_eq!(load().unwrap_err().code(), "BYR0315");
    }
}
