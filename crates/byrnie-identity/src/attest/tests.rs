use super::*;
use crate::testing::{identity, web};

const TTL: Duration = Duration::from_secs(60);

fn workload(name: &str) -> ObjectName {
    ObjectName::new("shop", name)
}

#[test]
fn a_credential_is_good_once_in_time_for_one_identity() {
    let (store, now) = (CredentialStore::new(), Instant::now());
    let admin = identity("spiffe://cluster.local/ns/shop/sa/admin");
    let first = store.issue(web(), workload("web-1"), TTL, now).unwrap();
    let second = store.issue(admin.clone(), workload("admin-1"), TTL, now).unwrap();
    let late = store.issue(web(), workload("web-2"), TTL, now).unwrap();
    assert_eq!(first.token().len(), 43);
    assert!(!format!("{first:?} {store:?}").contains(first.token()));

    assert_eq!(store.redeem(first.token(), now), Ok((web(), workload("web-1"))));
    assert_eq!(store.redeem(first.token(), now), Err(CredentialError::Used));
    assert_eq!(store.redeem(second.token(), now), Ok((admin, workload("admin-1"))));
    assert_eq!(store.redeem(late.token(), now + TTL), Err(CredentialError::Expired));
    let mut forged = late.token().to_owned();
    forged.replace_range(0..1, if forged.starts_with('A') { "B" } else { "A" });
    for unknown in ["", "x", &forged, &format!("{}=", late.token())] {
        assert_eq!(store.redeem(unknown, now), Err(CredentialError::Unknown), "{unknown}");
    }
    assert_eq!(CredentialStore::new().redeem(late.token(), now), Err(CredentialError::Unknown));
    let codes = [CredentialError::Unknown, CredentialError::Expired, CredentialError::Used].map(|e| {
        assert!(e.to_string().starts_with(e.code()));
        e.code()
    });
    assert_eq!(codes, ["BYR0320", "BYR0321", "BYR0322"]);
}

#[test]
fn one_of_many_threads_redeems() {
    let (store, now) = (CredentialStore::new(), Instant::now());
    let credential = store.issue(web(), workload("web-1"), TTL, now).unwrap();
    let redeemed = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| store.redeem(credential.token(), now).is_ok())).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|redeemed| *redeemed).count()
    });
    assert_eq!(redeemed, 1);
}

#[test]
fn the_store_is_bounded() {
    let (store, now) = (CredentialStore::new(), Instant::now());
    let issue = |now| store.issue(web(), workload("web-1"), TTL, now);
    let first = issue(now).unwrap();
    for _ in 1..MAX_OUTSTANDING_CREDENTIALS {
        issue(now).unwrap();
    }
    assert_eq!(issue(now).unwrap_err(), CredentialError::Full);
    store.redeem(first.token(), now).unwrap();
    issue(now).unwrap();
    assert_eq!(store.len(), MAX_OUTSTANDING_CREDENTIALS, "a used one gave its place");
    assert_eq!(store.redeem(first.token(), now), Err(CredentialError::Unknown));
    issue(now + TTL).unwrap();
    assert_eq!(store.len(), 1, "expired ones are gone");
}
