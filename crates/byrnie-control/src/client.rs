//! The API's client, as the CLI and the supervisor use it.
//!
//! One connection for each call: a Unix socket costs microseconds, and no call can hold up another. A mesh that does
//! not run is told within a second.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;

use crate::api::{
    self, ApplyRequest, ApplyResponse, CredentialRequest, CredentialResponse, DeleteResponse, EdgeItem,
    ErrorBody, FindingItem, Items, ListQuery, ObjectList, ProxyConfigQuery, ProxyItem, RouteItem, SightQuery,
    StatItem, TapEvent, TapQuery, TopItem, VersionInfo, WaitRequest, WaitResponse, WatchEvent, WhyQuery,
    WhyResponse,
};
use crate::server::MAX_BODY;
use crate::{error, query};

/// Time to get a connection. A mesh that does not run refuses at once; only a stopped process takes this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Largest answer that is read whole.
const MAX_ANSWER: usize = 256 << 20;
/// Longest line of a stream.
const MAX_LINE: usize = 8 << 20;

/// Speaks to the control plane of one data directory.
#[derive(Clone, Debug)]
pub struct Client {
    data_dir: PathBuf,
}

impl Client {
    /// Connects nowhere yet.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into() }
    }

    /// The data directory that it speaks to.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// `POST /v1/apply`.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyResponse, ErrorBody> {
        self.post(api::APPLY, request).await
    }

    /// `GET /v1/objects/{kind}`. The kind as `byrnie get` takes it (`Service`, `services`, `svc`).
    pub async fn list(&self, kind: &str, query: &ListQuery) -> Result<ObjectList, ErrorBody> {
        let query = ListQuery { watch: false, ..query.clone() };
        self.get(&with_query(&format!("{}/{kind}", api::OBJECTS), &query)?).await
    }

    /// `GET /v1/objects/{kind}?watch=true`.
    pub async fn watch(&self, kind: &str, query: &ListQuery) -> Result<Lines<WatchEvent>, ErrorBody> {
        let query = ListQuery { watch: true, ..query.clone() };
        self.lines(&with_query(&format!("{}/{kind}", api::OBJECTS), &query)?).await
    }

    /// `DELETE /v1/objects/{kind}/{namespace}/{name}`; an empty namespace for cluster-scoped kinds.
    pub async fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<DeleteResponse, ErrorBody> {
        let namespace = if namespace.is_empty() { api::NO_NAMESPACE } else { namespace };
        let path = format!("{}/{kind}/{}/{}", api::OBJECTS, query::escape(namespace), query::escape(name));
        self.whole(Method::DELETE, &path, Bytes::new()).await
    }

    /// `POST /v1/wait`.
    pub async fn wait(&self, request: &WaitRequest) -> Result<WaitResponse, ErrorBody> {
        self.post(api::WAIT, request).await
    }

    /// `GET /v1/proxies`.
    pub async fn proxies(&self) -> Result<Items<ProxyItem>, ErrorBody> {
        self.get(api::PROXIES).await
    }

    /// `GET /v1/proxy-config/{section}`.
    pub async fn proxy_config(
        &self,
        section: &str,
        query: &ProxyConfigQuery,
    ) -> Result<Items<serde_json::Value>, ErrorBody> {
        self.get(&with_query(&format!("{}/{section}", api::PROXY_CONFIG), query)?).await
    }

    /// `GET /v1/edges`.
    pub async fn edges(&self, query: &SightQuery) -> Result<Items<EdgeItem>, ErrorBody> {
        self.get(&with_query(api::EDGES, query)?).await
    }

    /// `GET /v1/routes`.
    pub async fn routes(&self, query: &SightQuery) -> Result<Items<RouteItem>, ErrorBody> {
        self.get(&with_query(api::ROUTES, query)?).await
    }

    /// `GET /v1/stat`.
    pub async fn stat(&self, query: &SightQuery) -> Result<Items<StatItem>, ErrorBody> {
        self.get(&with_query(api::STAT, query)?).await
    }

    /// `GET /v1/top`.
    pub async fn top(&self, query: &SightQuery) -> Result<Items<TopItem>, ErrorBody> {
        self.get(&with_query(api::TOP, query)?).await
    }

    /// `GET /v1/tap`.
    pub async fn tap(&self, query: &TapQuery) -> Result<Lines<TapEvent>, ErrorBody> {
        self.lines(&with_query(api::TAP, query)?).await
    }

    /// `GET /v1/why`.
    pub async fn why(&self, query: &WhyQuery) -> Result<WhyResponse, ErrorBody> {
        self.get(&with_query(api::WHY, query)?).await
    }

    /// `GET /v1/findings`.
    pub async fn findings(&self) -> Result<Items<FindingItem>, ErrorBody> {
        self.get(api::FINDINGS).await
    }

    /// `POST /v1/credentials`.
    pub async fn credential(&self, request: &CredentialRequest) -> Result<CredentialResponse, ErrorBody> {
        self.post(api::CREDENTIALS, request).await
    }

    /// `GET /v1/version`.
    pub async fn version(&self) -> Result<VersionInfo, ErrorBody> {
        self.get(api::VERSION).await
    }

    /// `GET /v1/metrics`: Prometheus text.
    pub async fn metrics(&self) -> Result<String, ErrorBody> {
        let body = self.bytes(Method::GET, api::METRICS, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ErrorBody> {
        self.whole(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ErrorBody> {
        let body = serde_json::to_vec(body).map_err(error::bad_request)?;
        if body.len() > MAX_BODY {
            return Err(error::too_large(body.len(), MAX_BODY));
        }
        self.whole(Method::POST, path, body.into()).await
    }

    async fn whole<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ErrorBody> {
        let body = self.bytes(method, path, body).await?;
        serde_json::from_slice(&body).map_err(error::not_understood)
    }

    async fn bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ErrorBody> {
        let (body, _connection) = self.send(method, path, body).await?;
        collect(&self.data_dir, body).await
    }

    async fn lines<T: DeserializeOwned>(&self, path: &str) -> Result<Lines<T>, ErrorBody> {
        let (body, connection) = self.send(Method::GET, path, Bytes::new()).await?;
        let data_dir = self.data_dir.clone();
        Ok(Lines {
            body,
            buffer: BytesMut::new(),
            data_dir,
            _connection: connection,
            _item: std::marker::PhantomData,
        })
    }

    /// Sends a request and returns the body of a good answer; the connection lives as long as the guard.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Incoming, Connection), ErrorBody> {
        let lost = |cause: &dyn std::fmt::Display| error::connection_lost(&self.data_dir, cause);
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect(&self.data_dir)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(error::no_mesh(&self.data_dir)),
            Err(_) => return Err(lost(&"no answer within a second")),
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|cause| lost(&cause))?;
        let guard = Connection(tokio::spawn(connection).abort_handle());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "byrnie")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(error::bad_request)?;
        let response = sender.send_request(request).await.map_err(|cause| lost(&cause))?;
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            return Ok((body, guard));
        }
        Err(refusal(status, &collect(&self.data_dir, body).await?))
    }
}

/// A connect blocks while a stopped process lets its backlog fill, so it has a thread of its own.
async fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let path = data_dir.join(api::SOCKET_NAME);
    let stream = tokio::task::spawn_blocking(move || byrnie_net::unix::connect(&path)).await??;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn refusal(status: StatusCode, body: &[u8]) -> ErrorBody {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        error::not_understood(format_args!(
            "{status}: {}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        ))
    })
}

async fn collect(data_dir: &Path, body: Incoming) -> Result<Bytes, ErrorBody> {
    if body.size_hint().lower() > MAX_ANSWER as u64 {
        return Err(error::not_understood(format_args!("an answer of more than {MAX_ANSWER} bytes")));
    }
    let collected = Limited::new(body, MAX_ANSWER).collect().await;
    Ok(collected.map_err(|cause| error::connection_lost(data_dir, cause))?.to_bytes())
}

fn with_query(path: &str, query: &impl Serialize) -> Result<String, ErrorBody> {
    let query = query::encode(query)?;
    Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

/// Ends the connection's task with the answer.
#[derive(Debug)]
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A stream of JSON lines. Dropping it ends it on the other side too.
#[derive(Debug)]
pub struct Lines<T> {
    body: Incoming,
    buffer: BytesMut,
    data_dir: PathBuf,
    _connection: Connection,
    _item: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next line; `None` when the other side ended the stream. May be cancelled without losing anything.
    pub async fn next(&mut self) -> Option<Result<T, ErrorBody>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Some(serde_json::from_slice(&line).map_err(error::not_understood));
            }
            if self.buffer.len() > MAX_LINE {
                return Some(Err(error::not_understood("a line without end")));
            }
            match self.body.frame().await? {
                Ok(frame) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Err(cause) => return Some(Err(error::connection_lost(&self.data_dir, cause))),
            }
        }
    }

    /// As a [`futures_util::Stream`].
    pub fn into_stream(self) -> impl futures_util::Stream<Item = Result<T, ErrorBody>> {
        futures_util::stream::unfold(
            self,
            |mut lines| async move { lines.next().await.map(|item| (item, lines)) },
        )
    }
}
