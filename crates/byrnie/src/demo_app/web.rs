//! `web`: the front of the sample (HTTP/1.1). `GET /` shows breads and votes, `POST /vote?bread=rye` casts one.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::grpc::GrpcClient;
use super::plain::{self, HttpClient};
use super::votes::{self, CAST, CastReply, CastRequest, TALLY, TallyReply, TallyRequest};
use crate::cli::failure::Failure;

/// What `catalog` answers.
#[derive(Debug, Deserialize)]
struct Breads {
    version: String,
    breads: Vec<String>,
}

/// What `catalog` answers when it does not fail.
#[derive(Debug, Deserialize)]
struct Special {
    special: String,
}

/// What the front calls.
#[derive(Clone, Debug)]
struct Backends {
    catalog: Arc<Mutex<HttpClient>>,
    votes: Arc<Mutex<GrpcClient>>,
}

pub async fn run(listener: TcpListener) -> Result<(), Failure> {
    let backends = Backends {
        catalog: Arc::new(Mutex::new(HttpClient::new(super::address_of("catalog")?, "catalog"))),
        votes: Arc::new(Mutex::new(votes::client(super::address_of("votes")?))),
    };
    super::accept(listener, move |stream| {
        let backends = backends.clone();
        plain::serve(stream, move |request| reply(request, backends.clone()))
    })
    .await
}

async fn reply(request: Request<Incoming>, backends: Backends) -> Response<Full<Bytes>> {
    let answer = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => page(&backends).await,
        (&Method::POST, "/vote") => vote(request.uri().query().unwrap_or_default(), &backends).await,
        _ => return plain::text(StatusCode::NOT_FOUND, "no such page"),
    };
    answer.unwrap_or_else(|error| plain::text(StatusCode::BAD_GATEWAY, &format!("{error:#}")))
}

async fn page(backends: &Backends) -> anyhow::Result<Response<Full<Bytes>>> {
    let (breads, special) = {
        let mut catalog = backends.catalog.lock().await;
        let (status, body) = catalog.call(Method::GET, "/breads").await?;
        anyhow::ensure!(status.is_success(), "catalog says {status}");
        let breads: Breads = serde_json::from_slice(&body)?;
        // The page can do without: that this fails now and then is for the mesh to show.
        let (status, body) = catalog.call(Method::GET, "/specials").await?;
        let special = status.is_success().then(|| serde_json::from_slice::<Special>(&body));
        (breads, special.transpose()?)
    };
    let tally: TallyReply = backends.votes.lock().await.unary(TALLY, &TallyRequest {}).await?;
    let mut html = String::from("<!doctype html><title>Bread</title><h1>Which bread?</h1><ul>");
    for bread in &breads.breads {
        let votes = tally.votes.get(bread).copied().unwrap_or_default();
        write!(
            html,
            "<li><form method=post action=\"/vote?bread={bread}\"><button>{bread}</button> {votes} votes</form>"
        )?;
    }
    let special =
        special.map_or("none", |special| if breads.breads.contains(&special.special) { "yes" } else { "?" });
    writeln!(html, "</ul><p>special today: {special}; catalog {}", breads.version)?;
    Ok(plain::answer(StatusCode::OK, "text/html; charset=utf-8", html))
}

async fn vote(query: &str, backends: &Backends) -> anyhow::Result<Response<Full<Bytes>>> {
    let bread = query.split('&').find_map(|pair| pair.strip_prefix("bread=")).unwrap_or_default();
    if !super::catalog::BREADS.contains(&bread) {
        return Ok(plain::text(StatusCode::BAD_REQUEST, "which bread? /vote?bread=rye"));
    }
    let request = CastRequest { bread: bread.to_owned() };
    let reply: CastReply = backends.votes.lock().await.unary(CAST, &request).await?;
    Ok(plain::text(StatusCode::OK, &format!("{bread} has {} votes", reply.votes)))
}
