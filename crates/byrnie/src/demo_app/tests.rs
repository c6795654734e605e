use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::net::TcpListener;

use super::plain::HttpClient;
use super::store::StoreClient;
use super::votes::{self, CAST, CastReply, CastRequest, TALLY, TallyReply, TallyRequest, WATCH};
use super::*;

async fn free() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Serves while `test` runs.
async fn with(server: impl Future<Output = Result<(), Failure>>, test: impl Future<Output = ()>) {
    tokio::select! {
        result = server => panic!("the server ended: {result:?}"),
        () = test => {}
    }
}

#[tokio::test]
async fn the_store_counts_for_several_callers() {
    let (listener, address) = free().await;
    with(store::run(listener), async {
        let mut first = StoreClient::new(address);
        let mut second = StoreClient::new(address);
        assert_eq!(first.increment("rye").await.unwrap(), 1);
        assert_eq!(second.increment("rye").await.unwrap(), 2);
        assert_eq!(first.all().await.unwrap()["rye"], 2);
    })
    .await;
}

#[tokio::test]
async fn votes_speak_grpc_unary_and_as_a_stream() {
    let (store_listener, store_address) = free().await;
    let (listener, address) = free().await;
    let store = Arc::new(tokio::sync::Mutex::new(StoreClient::new(store_address)));
    let serve = votes::serve(listener, store);
    let both = async { tokio::try_join!(store::run(store_listener), serve).map(|_| ()) };
    with(both, async {
        let mut client = votes::client(address);
        let vote = CastRequest { bread: "rye".into() };
        for count in 1..3 {
            assert_eq!(client.unary::<CastReply>(CAST, &vote).await.unwrap().votes, count);
        }
        let tally: TallyReply = client.unary(TALLY, &TallyRequest {}).await.unwrap();
        assert_eq!(tally.votes["rye"], 2);
        let mut stream = client.call::<TallyReply>(WATCH, &TallyRequest {}).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), tally);
        let nothing = CastRequest { bread: "stone".into() };
        let error = client.unary::<CastReply>(CAST, &nothing).await.unwrap_err();
        assert!(error.to_string().contains("grpc-status 13: no such bread"), "{error}");
        let error = client.unary::<CastReply>("/none", &vote).await.unwrap_err();
        assert!(error.to_string().contains("grpc-status 12"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn the_catalog_fails_at_specials_only() {
    let (listener, address) = free().await;
    with(catalog::run(listener, "v2".into(), false), async {
        let mut client = HttpClient::new(address, "catalog");
        let mut failed = 0;
        for _ in 0..200 {
            let (status, body) = client.call(Method::GET, "/breads").await.unwrap();
            assert_eq!(status, StatusCode::OK);
            assert!(body.starts_with(br#"{"version":"v2""#), "{body:?}");
            let (status, _) = client.call(Method::GET, "/specials").await.unwrap();
            failed += usize::from(status == StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert!((10..100).contains(&failed), "{failed} of 200 failed");
    })
    .await;
}
