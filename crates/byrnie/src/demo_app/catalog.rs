//! `catalog`: which breads there are (HTTP/1.1). `/specials` fails a share of its requests, on purpose.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use tokio::net::TcpListener;

use super::{any_below, plain};
use crate::cli::failure::Failure;

/// What can be voted for.
pub const BREADS: [&str; 5] = ["rye", "ciabatta", "naan", "baguette", "pretzel"];

/// One request of this many to `/specials` fails.
const SPECIALS_FAIL_ONE_IN: usize = 4;

/// `broken`: every answer is 503, as of a version that should not have been released.
pub async fn run(listener: TcpListener, version: String, broken: bool) -> Result<(), Failure> {
    let version: &'static str = version.leak();
    super::accept(listener, move |stream| {
        plain::serve(stream, move |request| async move {
            match broken {
                true => plain::text(StatusCode::SERVICE_UNAVAILABLE, "the oven is cold"),
                false => reply(&request, version, any_below(SPECIALS_FAIL_ONE_IN)),
            }
        })
    })
    .await
}

fn reply(request: &Request<Incoming>, version: &str, dice: usize) -> Response<Full<Bytes>> {
    let json = |body: serde_json::Value| plain::answer(StatusCode::OK, "application/json", body.to_string());
    match request.uri().path() {
        "/breads" => json(json!({"version": version, "breads": BREADS})),
        "/specials" if dice == 0 => {
            plain::text(StatusCode::INTERNAL_SERVER_ERROR, "the baker dropped the tray")
        }
        "/specials" => json(json!({"version": version, "special": BREADS[any_below(BREADS.len())]})),
        _ => plain::text(StatusCode::NOT_FOUND, "no such page"),
    }
}
