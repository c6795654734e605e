use std::net::SocketAddr;

use byrnie_decide::Time;
use byrnie_plan::{Hop, ObjectName};

use super::*;

fn endpoint(uid: &str) -> Arc<Endpoint> {
    let plan = byrnie_plan::Endpoint {
        workload: ObjectName::new("shop", "web-1"),
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
        app_port: 80,
        hop: Hop::Plaintext,
        weight: 1,
        locality: String::new(),
        labels: Vec::new(),
        uid: uid.to_owned(),
    };
    Arc::new(Endpoint::new(plan, Time::ZERO))
}

fn settings(absolute: Option<u64>, idle: Option<u64>, carrier: SessionCarrier) -> TrafficSettings {
    let session = SessionPersistence {
        name: "sid".to_owned(),
        carrier,
        absolute_timeout: absolute.map(Duration::from_secs),
        idle_timeout: idle.map(Duration::from_secs),
    };
    TrafficSettings { session: Some(session), ..TrafficSettings::default() }
}

/// What the client is told; `None`: nothing.
fn told(settings: &TrafficSettings, endpoint: &Endpoint, claim: Option<&Claim>, at: u64) -> Option<String> {
    let mut headers = HeaderMap::new();
    tell(settings, endpoint, claim, at, &mut headers);
    let value = headers.get(SET_COOKIE).or_else(|| headers.get("sid"))?;
    Some(value.to_str().unwrap().to_owned())
}

/// What a client says that was told this.
fn said(settings: &TrafficSettings, told: &str) -> Option<Claim> {
    let mut headers = HeaderMap::new();
    match told.split_once(';') {
        Some((pair, _)) => headers.insert("cookie", format!("other=1; {pair}").parse().unwrap()),
        None => headers.insert("sid", told.parse().unwrap()),
    };
    claim(settings, &headers)
}

#[test]
fn a_session_finds_its_endpoint_again_also_in_another_process_and_after_changes() {
    for carrier in [SessionCarrier::Cookie, SessionCarrier::Header] {
        let settings = settings(None, None, carrier);
        let line = told(&settings, &endpoint("uid-b"), None, 5).unwrap();
        assert!(!line.contains("uid") && !line.contains("127"), "{line}");
        let claim = said(&settings, &line).unwrap();
        let set =
            |uids: &[&str]| EndpointSet::new(&settings, "", uids.iter().map(|uid| endpoint(uid)).collect());
        let uid = |set: &EndpointSet| Some(claim.endpoint(set, &settings, 9)?.plan.uid.clone());
        assert_eq!(uid(&set(&["uid-a", "uid-b", "uid-c"])).as_deref(), Some("uid-b"));
        assert_eq!(uid(&set(&["uid-d", "uid-b"])).as_deref(), Some("uid-b"));
        assert_eq!(uid(&set(&["uid-a", "uid-c", ""])), None);
        assert_eq!(told(&settings, &endpoint("uid-b"), Some(&claim), 9), None, "it is no news");
        assert!(told(&settings, &endpoint("uid-a"), Some(&claim), 9).is_some());
        assert_eq!(told(&settings, &endpoint(""), None, 9), None, "it can have no session");
    }
}

#[test]
fn sessions_end_and_are_kept_alive() {
    let settings = settings(Some(100), Some(10), SessionCarrier::PermanentCookie);
    let web = endpoint("uid-a");
    let set = EndpointSet::new(&settings, "", vec![Arc::clone(&web)]);
    let first = told(&settings, &web, None, 1_000_000).unwrap();
    assert!(first.ends_with("; Path=/; HttpOnly; Max-Age=100"), "{first}");
    let claim = said(&settings, &first).unwrap();
    let is_there = |claim: &Claim, at| claim.endpoint(&set, &settings, at).is_some();
    assert!(is_there(&claim, 1_009_999));
    assert!(!is_there(&claim, 1_010_000), "idle for too long");
    assert_eq!(told(&settings, &web, Some(&claim), 1_000_999), None);
    // Used again and again it lives on, with the end that it had.
    let (mut claim, mut at) = (claim, 1_000_000);
    while at + 9_000 < 1_100_000 {
        at += 9_000;
        assert!(is_there(&claim, at));
        let line = told(&settings, &web, Some(&claim), at).unwrap();
        claim = said(&settings, &line).unwrap();
    }
    assert!(!is_there(&claim, 1_100_000), "too old");
    let anew = told(&settings, &web, Some(&claim), 1_100_000).unwrap();
    assert!(anew.ends_with("Max-Age=100"), "another session: {anew}");
}

#[test]
fn nothing_can_be_forged() {
    let limited = settings(Some(100), None, SessionCarrier::Header);
    let (a, b) = (endpoint("uid-a"), endpoint("uid-b"));
    let set = EndpointSet::new(&limited, "", vec![Arc::clone(&a), Arc::clone(&b)]);
    let good = told(&limited, &a, None, 1_000_000).unwrap();
    let other = told(&limited, &b, None, 1_000_000).unwrap();
    let is_good = |text: &str, at| {
        said(&limited, text).is_some_and(|claim| claim.endpoint(&set, &limited, at).is_some())
    };
    assert!(is_good(&good, 1_000_000));
    let [name, issued, used, seal] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let strange = other.split('.').next().unwrap();
    for bad in [
        format!("{name}.{:x}.{used}.{seal}", 9_000_000),
        format!("{strange}.{issued}.{used}.{seal}"),
        format!("{name}.{issued}.{used}."),
        format!("{name}.{issued}.{used}.{seal}.x"),
        format!("{name}.{issued}.{used}"),
        name.to_owned(),
        "AAAAAAAAAAAAAAAA".to_owned(),
        "uid-a".to_owned(),
        "127.0.0.1:1".to_owned(),
        String::new(),
        "x".repeat(100_000),
    ] {
        assert!(!is_good(&bad, 1_000_000), "{bad:.80}");
    }
}
