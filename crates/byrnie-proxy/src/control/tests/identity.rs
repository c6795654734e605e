//! The keeper of the certificate, without anybody who signs.

use std::io;

use byrnie_wire::client::Connector;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::control::identity::{IdentityEvent, Keeper};

fn unreachable() -> Connector {
    Arc::new(|| Box::pin(async { Err(io::Error::other("nobody there")) }))
}

/// A keeper and what it tells.
fn keeper(svid: Option<Svid>, credential: Option<&str>, at: SocketAddr) -> mpsc::Receiver<IdentityEvent> {
    let (events, told) = mpsc::channel(4);
    let keeper = Keeper {
        mutual: unreachable(),
        bootstrap: unreachable(),
        address: at.to_string().into(),
        svid: svid.map(Arc::new),
        credential: credential.map(|text| text.as_bytes().to_vec()),
        refused: Arc::new(Notify::new()),
        events,
    };
    tokio::spawn(keeper.run());
    told
}

async fn next(told: &mut mpsc::Receiver<IdentityEvent>) -> Result<String, String> {
    match timeout(PATIENCE, told.recv()).await.unwrap().unwrap() {
        IdentityEvent::Failed(why) => Ok(why),
        IdentityEvent::Lost(why) => Err(why),
        IdentityEvent::New(..) => panic!("nobody signs here"),
    }
}

#[tokio::test]
async fn a_credential_is_kept_while_nobody_answers() {
    let mut told = keeper(None, Some("token"), nobody());
    for _ in 0..3 {
        let why = next(&mut told).await.unwrap();
        assert!(why.starts_with("BYR0367") && why.contains("nobody there"), "{why}");
    }
}

#[tokio::test]
async fn without_a_credential_a_control_plane_that_is_there_ends_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut told = keeper(None, None, listener.local_addr().unwrap());
    assert!(next(&mut told).await.unwrap().contains("no credential"));
    assert!(next(&mut told).await.unwrap_err().contains("fresh credential"));
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_until_the_end_of_the_certificate() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Two seconds, of which at least 1.0 and at most 1.4 pass before the first try.
    let svid = home.svid("web", Duration::from_secs(2), SystemTime::now());
    let end = svid.not_after();
    let mut told = keeper(Some(svid), None, listener.local_addr().unwrap());
    let mut failed = 0;
    let lost = loop {
        match next(&mut told).await {
            Ok(why) if why.contains("nobody there") => failed += 1,
            Ok(why) => assert!(why.contains("no certificate"), "{why}"),
            Err(why) => break why,
        }
    };
    assert!(failed > 1 && SystemTime::now() >= end, "{lost}");
}
