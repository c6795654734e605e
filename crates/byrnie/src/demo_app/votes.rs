//! `votes`: takes votes and counts them (gRPC): two unary methods and a stream of tallies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper::body::Incoming;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::grpc::{self, GrpcClient, Messages, Replies};
use super::store::StoreClient;
use crate::cli::failure::Failure;

/// Votes for one bread.
pub const CAST: &str = "/byrnie.demo.Votes/Cast";
/// All counts.
pub const TALLY: &str = "/byrnie.demo.Votes/Tally";
/// All counts, again and again.
pub const WATCH: &str = "/byrnie.demo.Votes/Watch";

/// Between two messages of the stream.
const INTERVAL: Duration = Duration::from_secs(1);

/// Which bread.
#[derive(Clone, PartialEq, Message)]
pub struct CastRequest {
    #[prost(string, tag = "1")]
    pub bread: String,
}

/// How many votes it has now.
#[derive(Clone, PartialEq, Message)]
pub struct CastReply {
    #[prost(uint64, tag = "1")]
    pub votes: u64,
}

/// Of [`TALLY`] and [`WATCH`].
#[derive(Clone, PartialEq, Message)]
pub struct TallyRequest {}

/// The votes of each bread.
#[derive(Clone, PartialEq, Message)]
pub struct TallyReply {
    #[prost(btree_map = "string, uint64", tag = "1")]
    pub votes: BTreeMap<String, u64>,
}

/// The connection to the store, shared by all calls.
pub type Store = Arc<Mutex<StoreClient>>;

pub async fn run(listener: TcpListener) -> Result<(), Failure> {
    let store = Arc::new(Mutex::new(StoreClient::new(super::address_of("store")?)));
    serve(listener, store).await
}

/// Serves with this store.
pub async fn serve(listener: TcpListener, store: Store) -> Result<(), Failure> {
    super::accept(listener, move |stream| {
        let store = Arc::clone(&store);
        grpc::serve(stream, move |request| reply(request, Arc::clone(&store)))
    })
    .await
}

async fn reply(request: http::Request<Incoming>, store: Store) -> Replies {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        CAST => grpc::one(cast(request, &store).await),
        TALLY => grpc::one(tally(&store).await),
        WATCH => {
            let ticks = tokio::time::interval(INTERVAL);
            Box::pin(futures_util::stream::unfold((ticks, store), |(mut ticks, store)| async move {
                ticks.tick().await;
                let tally = tally(&store).await.map(|tally| grpc::encode(&tally));
                Some((tally.map_err(|error| (grpc::INTERNAL, format!("{error:#}"))), (ticks, store)))
            }))
        }
        _ => grpc::unimplemented(),
    }
}

async fn cast(request: http::Request<Incoming>, store: &Store) -> anyhow::Result<CastReply> {
    let request: Option<CastRequest> = Messages::new(request.into_body()).next().await?;
    let bread = request.context("a vote for nothing")?.bread;
    let known = super::catalog::BREADS.contains(&bread.as_str());
    anyhow::ensure!(known, "no such bread");
    Ok(CastReply { votes: store.lock().await.increment(&bread).await? })
}

async fn tally(store: &Store) -> anyhow::Result<TallyReply> {
    Ok(TallyReply { votes: store.lock().await.all().await? })
}

/// A client of this service.
pub fn client(server: SocketAddr) -> GrpcClient {
    GrpcClient::new(server, "votes")
}
