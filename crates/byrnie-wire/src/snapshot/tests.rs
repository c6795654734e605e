//! What was saved is loaded; whatever else is there is refused with its code.

use std::os::unix::fs::PermissionsExt;

use byrnie_plan::{ObjectName, TrustBundle, Upstreams};

use super::*;
use crate::convert::encode;

fn resources() -> Vec<(Key, Encoded)> {
    let bundle = TrustBundle { trust_domain: "cluster.local".into(), roots_der: vec![vec![1, 2, 3]] };
    let upstreams = Upstreams {
        workload: ObjectName::new("shop", "web-1"),
        upstreams: Vec::new(),
        http_proxy: true,
        overrides: Vec::new(),
    };
    [Resource::TrustBundle(bundle), Resource::MeshSettings(Box::default()), Resource::Upstreams(upstreams)]
        .map(|resource| (resource.key(), encode(&resource)))
        .to_vec()
}

fn written() -> Vec<u8> {
    write(resources().iter().map(|(key, encoded)| (key, encoded))).unwrap()
}

fn code(bytes: &[u8]) -> &'static str {
    let error = read(bytes).expect_err("must be refused");
    assert!(error.to_string().starts_with(error.code()), "{error}");
    error.code()
}

#[test]
fn what_was_saved_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshot.bin");
    assert!(load(&path).unwrap_err().is_not_found());
    std::fs::write(path.with_extension("tmp"), "left by a crash").unwrap();
    let saved = resources();
    save(&path, saved.iter().map(|(key, encoded)| (key, encoded))).unwrap();
    let loaded = load(&path).unwrap();
    let again: Vec<_> = loaded.iter().map(|kept| (kept.key.clone(), kept.encoded())).collect();
    assert_eq!(again, saved);
    assert!(loaded.iter().all(|kept| kept.version == kept.encoded().version));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    save(&path, []).unwrap();
    assert_eq!(load(&path).unwrap(), []);
}

#[test]
fn every_cut_is_refused() {
    let whole = written();
    assert_eq!(read(&whole).unwrap().len(), 3);
    for len in 0..whole.len() {
        let code = code(&whole[..len]);
        assert_eq!(code, if len < 8 { "BYR0371" } else { "BYR0373" }, "cut at {len}");
    }
    assert_eq!(code(&[whole.as_slice(), &[0]].concat()), "BYR0373");
}

#[test]
fn every_changed_byte_is_refused() {
    let whole = written();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        let expected = match at {
            0..8 => "BYR0371",
            8..12 => "BYR0372",
            12..20 => "BYR0373",
            _ => "BYR0374",
        };
        assert_eq!(code(&changed), expected, "byte {at}");
    }
}

/// A file with a right checksum over this body.
fn sealed(body: &[u8]) -> Vec<u8> {
    let checksum = digest::digest(&digest::SHA256, body);
    let len = u64::try_from(body.len()).unwrap().to_be_bytes();
    [MAGIC, FORMAT.to_be_bytes().as_slice(), &len, checksum.as_ref(), body].concat()
}

#[test]
fn a_right_checksum_over_wrong_content_is_refused() {
    assert_eq!(code(&sealed(&[])), "BYR0373");
    assert_eq!(code(&sealed(&u32::MAX.to_be_bytes())), "BYR0375");
    assert_eq!(code(&sealed(&[0, 0, 0, 1])), "BYR0373");
    let entry = |key: &[u8], version: Version, content: &[u8]| {
        let key_len = u16::try_from(key.len()).unwrap().to_be_bytes();
        let len = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[0, 0, 0, 1], key_len.as_slice(), key, version.as_bytes(), &len, content].concat()
    };
    let (_, bundle) = resources().remove(0);
    assert!(read(&sealed(&entry(b"TrustBundle", bundle.version, &bundle.bytes))).is_ok());
    assert_eq!(code(&sealed(&entry(b"MeshSettings", bundle.version, &bundle.bytes))), "BYR0376");
    assert_eq!(code(&sealed(&entry(b"NoSuchKind/a/b", bundle.version, &bundle.bytes))), "BYR0376");
    assert_eq!(code(&sealed(&entry(b"\xff", bundle.version, &bundle.bytes))), "BYR0376");
    assert_eq!(code(&sealed(&entry(b"TrustBundle", Version::ABSENT, &bundle.bytes))), "BYR0376");
}

#[test]
fn too_much_is_refused() {
    let (key, encoded) = resources().remove(0);
    let many = std::iter::repeat_n((&key, &encoded), MAX_SUBSCRIPTIONS + 1);
    assert!(matches!(write(many), Err(SnapshotError::TooLarge)));
    let large = Encoded { version: Version::ABSENT, bytes: vec![0; 16 * 1024 * 1024].into() };
    assert!(matches!(write([(&key, &large); 4]), Err(SnapshotError::TooLarge)));
    assert_eq!(code(&vec![0; MAX_SNAPSHOT_BYTES + 1]), "BYR0375");
}
