//! The API on its Unix socket: HTTP/1.1 and JSON, for processes of the same user only.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as Segments, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::api::{
    self, ApplyRequest, CredentialRequest, ErrorBody, ListQuery, ProxyConfigQuery, SightQuery, TapQuery,
    WaitRequest, WhyQuery,
};
use crate::state::Control;
use crate::{apply, error, objects, questions, sight, tap, why};

/// Largest request body: some 20,000 objects of a usual size.
pub(crate) const MAX_BODY: usize = 32 << 20;

type Shared = State<Arc<Control>>;
type Answer<T> = Result<Json<T>, Refusal>;

/// Listens in the data directory. The caller holds the store, so a socket that is there is a dead one's.
pub fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let listener = byrnie_net::unix::listen(&data_dir.join(api::SOCKET_NAME), 0o600)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Serves until the token is cancelled; answers that are under way may end.
pub async fn serve(listener: UnixListener, control: Arc<Control>, stop: CancellationToken) -> io::Result<()> {
    let listener = SameUser { listener, uid: byrnie_net::unix::own_uid() };
    axum::serve(listener, router(control)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route(api::APPLY, post(apply))
        .route(&format!("{}/{{kind}}", api::OBJECTS), get(list))
        .route(&format!("{}/{{kind}}/{{namespace}}/{{name}}", api::OBJECTS), delete(remove))
        .route(api::WAIT, post(wait))
        .route(api::PROXIES, get(proxies))
        .route(&format!("{}/{{section}}", api::PROXY_CONFIG), get(proxy_config))
        .route(api::EDGES, get(edges))
        .route(api::ROUTES, get(routes))
        .route(api::STAT, get(stat))
        .route(api::TOP, get(top))
        .route(api::TAP, get(tap))
        .route(api::WHY, get(explain))
        .route(api::FINDINGS, get(findings))
        .route(api::CREDENTIALS, post(credential))
        .route(api::VERSION, get(version))
        .route(api::METRICS, get(metrics))
        .fallback(|| async { Refusal(error::bad_request("there is no such path")) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(control)
}

async fn apply(State(control): Shared, body: Bytes) -> Answer<api::ApplyResponse> {
    let request: ApplyRequest = read(&body)?;
    Ok(Json(apply::apply(&control, request).await?))
}

async fn list(
    State(control): Shared,
    Segments(kind): Segments<String>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Refusal> {
    if query.watch {
        return Ok(lines(&control, objects::watch(&control, &kind, &query).await?));
    }
    Ok(Json(objects::list(&control, &kind, &query).await?).into_response())
}

async fn remove(
    State(control): Shared,
    Segments((kind, namespace, name)): Segments<(String, String, String)>,
) -> Answer<api::DeleteResponse> {
    let namespace = if namespace == api::NO_NAMESPACE { "" } else { &namespace };
    Ok(Json(objects::delete(&control, &kind, namespace, &name).await?))
}

async fn wait(State(control): Shared, body: Bytes) -> Answer<api::WaitResponse> {
    let request: WaitRequest = if body.is_empty() { WaitRequest::default() } else { read(&body)? };
    Ok(Json(control.wait(&request).await?))
}

async fn proxies(State(control): Shared) -> Json<api::Items<api::ProxyItem>> {
    let items = control.nodes.all().iter().map(|node| node.item(&control.table)).collect();
    Json(api::Items { items })
}

async fn proxy_config(
    State(control): Shared,
    Segments(section): Segments<String>,
    Query(query): Query<ProxyConfigQuery>,
) -> Answer<api::Items<serde_json::Value>> {
    let proxy = match &query.proxy {
        Some(name) => {
            Some(name.parse().map_err(|()| error::bad_request(format!("{name} is no NAMESPACE/NAME")))?)
        }
        None => None,
    };
    Ok(Json(api::Items { items: questions::items(&control, proxy.as_ref(), &section).await? }))
}

async fn edges(State(control): Shared, Query(query): Query<SightQuery>) -> Json<api::Items<api::EdgeItem>> {
    Json(api::Items { items: sight::edges(&control, &query) })
}

async fn routes(State(control): Shared, Query(query): Query<SightQuery>) -> Json<api::Items<api::RouteItem>> {
    Json(api::Items { items: sight::routes(&control, &query) })
}

async fn stat(State(control): Shared, Query(query): Query<SightQuery>) -> Json<api::Items<api::StatItem>> {
    Json(api::Items { items: sight::stat(&control, &query) })
}

async fn top(State(control): Shared, Query(query): Query<SightQuery>) -> Json<api::Items<api::TopItem>> {
    Json(api::Items { items: sight::top(&control, &query) })
}

async fn tap(State(control): Shared, Query(query): Query<TapQuery>) -> Result<Response, Refusal> {
    Ok(lines(&control, tap::events(&control, &query)?))
}

async fn explain(State(control): Shared, Query(query): Query<WhyQuery>) -> Answer<api::WhyResponse> {
    control.caught_up().await?;
    let compiler = control.compiler.lock();
    Ok(Json(why::why(&control.table, &compiler, Some(&control.nodes), &query)?))
}

async fn findings(State(control): Shared) -> Answer<api::Items<api::FindingItem>> {
    control.caught_up().await?;
    Ok(Json(api::Items { items: control.findings() }))
}

async fn credential(State(control): Shared, body: Bytes) -> Answer<api::CredentialResponse> {
    let request: CredentialRequest = read(&body)?;
    Ok(Json(control.credential(&request).await?))
}

async fn version(State(control): Shared) -> Json<api::VersionInfo> {
    Json(control.version())
}

async fn metrics(State(control): Shared) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], control.metrics_text())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|cause| Refusal(error::bad_request(cause)))
}

/// A body of JSON lines. It ends with the items, with the client, or when the control plane stops.
fn lines<T>(control: &Control, items: impl Stream<Item = T> + Send + 'static) -> Response
where
    T: Serialize + Send + 'static,
{
    let stop = control.stop.clone();
    let lines = items.take_until(stop.cancelled_owned()).filter_map(|item| async move {
        let mut line = serde_json::to_vec(&item).ok()?;
        line.push(b'\n');
        Some(Ok::<_, Infallible>(Bytes::from(line)))
    });
    // The head goes out at once: a client knows that its watch stands before anything happens.
    let body = Body::from_stream(stream::iter([Ok(Bytes::new())]).chain(lines));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    response
}

/// An [`ErrorBody`] as an answer.
struct Refusal(ErrorBody);

impl From<ErrorBody> for Refusal {
    fn from(body: ErrorBody) -> Self {
        Self(body)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(error::status(&self.0)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

/// Accepts processes of one user; the file's mode says so too, but root and a lax umask pass that.
struct SameUser {
    listener: UnixListener,
    uid: u32,
}

impl axum::serve::Listener for SameUser {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    fn accept(&mut self) -> impl Future<Output = (Self::Io, Self::Addr)> + Send {
        accept_same_user(self)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn accept_same_user(listener: &SameUser) -> (UnixStream, tokio::net::unix::SocketAddr) {
    loop {
        match listener.listener.accept().await {
            Ok((stream, address)) => match byrnie_net::unix::peer_uid(&stream) {
                Ok(uid) if uid == listener.uid => return (stream, address),
                Ok(uid) => tracing::warn!(uid, "BYR0445: the API refused a process of another user"),
                Err(cause) => tracing::warn!(%cause, "BYR0445: the API refused a process of unknown user"),
            },
            // Out of descriptors, most likely: give others the time to close some.
            Err(cause) => {
                tracing::warn!(%cause, "the API cannot accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
