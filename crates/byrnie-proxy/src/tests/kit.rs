//! Applications and configurations for the tests of requests. Proxies and their certificates are those of the tests of
//! connections.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use byrnie_decide::RetryBudget;
use byrnie_plan::{
    AppProtocol, Backend, BackendTarget, Dialect, Hop, HostPattern, HttpMatch, HttpRule, HttpTable,
    InvalidBackend, ListenerProtocol, ObjectName, PathMatch, RouteKind, RouteName, ServicePortRef, Timeouts,
    TrafficSettings,
};
use byrnie_telemetry::RequestDelta;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::{Cluster, Config, Destination, Endpoint, HttpRoutes, KnownLimits, Listener};
use crate::front::Entrance;
use crate::tcp::tests::mesh::{Accepts, Mesh, Pair, application, endpoint, listen, web};
use crate::worker::Worker;

pub(super) type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Runs hyper's tasks on this thread.
#[derive(Clone, Copy)]
pub(super) struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

pub(super) fn text(text: impl Into<Bytes>) -> Reply {
    Response::new(Full::new(text.into()).boxed_unsync())
}

pub(super) fn status(code: u16) -> Reply {
    let mut reply = text(format!("{code}"));
    *reply.status_mut() = code.try_into().unwrap();
    reply
}

/// An HTTP/1 application.
pub(super) async fn origin<F>(serve: impl Fn(Request<Incoming>) -> F + 'static) -> SocketAddr
where
    F: Future<Output = Reply> + 'static,
{
    let serve = Rc::new(serve);
    application(move |stream| {
        let serve = Rc::clone(&serve);
        async move {
            let service = service_fn(|request| {
                let reply = serve(request);
                async { Ok::<_, Infallible>(reply.await) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            let serving =
                builder.half_close(true).max_headers(200).serve_connection(TokioIo::new(stream), service);
            let _ = serving.with_upgrades().await;
        }
    })
    .await
}

/// An HTTP/2 application.
pub(super) async fn origin2<F>(serve: impl Fn(Request<Incoming>) -> F + 'static) -> SocketAddr
where
    F: Future<Output = Reply> + 'static,
{
    let serve = Rc::new(serve);
    application(move |stream| {
        let serve = Rc::clone(&serve);
        async move {
            let service = service_fn(move |request| {
                let reply = serve(request);
                async { Ok::<_, Infallible>(reply.await) }
            });
            let builder = hyper::server::conn::http2::Builder::new(Local);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

/// Answers with the request as the application sees it.
pub(super) async fn as_seen(request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    if head.method == http::Method::HEAD {
        return Reply::default();
    }
    let mut seen = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        writeln!(seen, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    let Ok(body) = body.collect().await else { return text("the body broke off") };
    for (name, value) in body.trailers().into_iter().flatten() {
        writeln!(seen, "trailer {name}: {}", value.to_str().unwrap()).unwrap();
    }
    seen.push('\n');
    seen.push_str(&String::from_utf8_lossy(&body.to_bytes()));
    text(seen)
}

/// A cluster of plain endpoints.
pub(super) fn cluster_of(
    name: &str,
    protocol: AppProtocol,
    settings: TrafficSettings,
    endpoints: Vec<Arc<Endpoint>>,
) -> Arc<Cluster> {
    let service = ServicePortRef { service: ObjectName::new("shop", name), port: 80 };
    Arc::new(Cluster::new(service, protocol, Arc::new(settings), Arc::new(RetryBudget::new()), endpoints))
}

pub(super) fn plain(name: &str, address: SocketAddr) -> Arc<Cluster> {
    let endpoints = vec![endpoint(address, Hop::Plaintext)];
    cluster_of(name, AppProtocol::Http1, TrafficSettings::default(), endpoints)
}

/// A match of everything under a path, leading to `rule`.
pub(super) fn under(path: &str, rule: u32) -> HttpMatch {
    HttpMatch {
        host_scope: 0,
        host: HostPattern::Any,
        path: PathMatch::Prefix(path.to_owned()),
        method: None,
        headers: Vec::new(),
        queries: Vec::new(),
        rule,
    }
}

/// A rule with these backends.
pub(super) fn rule(backends: &[(&str, u32)]) -> HttpRule {
    let backend =
        |&(name, weight): &(&str, u32)| Backend { target: target(name), weight, filters: Vec::new() };
    HttpRule {
        name: RouteName {
            kind: RouteKind::Http,
            route: ObjectName::new("shop", "front"),
            rule: "0".to_owned(),
        },
        filters: Vec::new(),
        backends: backends.iter().map(backend).collect(),
        timeouts: Timeouts::default(),
        retry: None,
        controls: None,
    }
}

pub(super) fn target(name: &str) -> BackendTarget {
    BackendTarget::Service { service: ObjectName::new("shop", name), port: 80, subset: Vec::new() }
}

pub(super) fn compile(table: &HttpTable, clusters: &[Arc<Cluster>]) -> Arc<HttpRoutes> {
    let mut resolve = |target: &BackendTarget, _| match target {
        BackendTarget::Service { service, .. } => {
            let found = clusters.iter().find(|cluster| cluster.service.service == *service);
            found.cloned().ok_or(InvalidBackend::NotFound)
        }
        BackendTarget::Invalid(why) => Err(*why),
    };
    let compiled = HttpRoutes::compile(table, &mut resolve, &KnownLimits::default());
    Arc::new(compiled.unwrap_or_else(|error| panic!("{error}")))
}

/// Everything to the one backend `web`.
pub(super) fn everything() -> HttpTable {
    HttpTable { matches: vec![under("/", 0)], rules: vec![rule(&[("web", 1)])], scopes: Vec::new() }
}

/// Puts routes into force: for the service `web`, and for a Gateway's port 8000.
pub(super) fn obey(worker: &Worker, table: &HttpTable, clusters: &[Arc<Cluster>]) {
    let http = compile(table, clusters);
    let own = clusters
        .first()
        .cloned()
        .unwrap_or_else(|| cluster_of("web", AppProtocol::Http1, TrafficSettings::default(), Vec::new()));
    let protocol = AppProtocol::Http1;
    let service = Destination {
        name: Arc::new(web()),
        protocol,
        http: Some(Arc::clone(&http)),
        tcp: Vec::new(),
        cluster: own,
        overrides: Vec::new(),
        settings: Arc::clone(&worker.config().settings),
    };
    let listener = Listener {
        name: "http".to_owned(),
        port: 8000,
        protocol: ListenerProtocol::Http,
        http,
        tcp: Vec::new(),
        settings: Arc::clone(&worker.config().settings),
    };
    let before = worker.config();
    let config = Config {
        generation: before.generation + 1,
        settings: Arc::clone(&before.settings),
        destinations: [(web(), Arc::new(service))].into_iter().collect(),
        listeners: [(8000, Arc::new(listener))].into_iter().collect(),
        inbound: before.inbound.clone(),
        names: Arc::clone(&before.names),
    };
    drop(before);
    worker.process.config.store(Arc::new(config));
}

/// A proxy without mesh, whose service `web` follows routes.
pub(super) async fn routed(table: &HttpTable, clusters: &[Arc<Cluster>]) -> (Rc<Worker>, SocketAddr) {
    let worker = Mesh::new().proxy("front");
    obey(&worker, table, clusters);
    let address = listen(&worker, Entrance::Upstream(web())).await;
    (worker, address)
}

/// A proxy without mesh, whose service `web` has these plain endpoints.
pub(super) async fn direct(settings: TrafficSettings, endpoints: &[SocketAddr]) -> (Rc<Worker>, SocketAddr) {
    let worker = Mesh::new().proxy("front");
    let endpoints = endpoints.iter().map(|address| endpoint(*address, Hop::Plaintext)).collect();
    crate::tcp::tests::mesh::call(&worker, AppProtocol::Http1, settings, endpoints);
    let address = listen(&worker, Entrance::Upstream(web())).await;
    (worker, address)
}

/// Client's proxy and server's proxy in front of an application.
pub(super) async fn pair(application: SocketAddr, protocol: AppProtocol) -> Pair {
    let accepts = Accepts { protocol, ..Accepts::new(application) };
    Pair::with(accepts, protocol, TrafficSettings::default(), Dialect::Byrnie).await
}

/// All the ways to one application.
pub(super) struct Roads {
    pub(super) pair: Pair,
    /// Whose service has a plain endpoint.
    pub(super) plain_worker: Rc<Worker>,
    /// To a plain endpoint.
    pub(super) plain: SocketAddr,
    /// Through two proxies.
    pub(super) mesh: SocketAddr,
    /// Through a Gateway's listener and the server's proxy.
    pub(super) gateway: SocketAddr,
    /// The same from the port that understands HTTP proxying.
    pub(super) proxy: SocketAddr,
}

impl Roads {
    pub(super) async fn new(application: SocketAddr, protocol: AppProtocol) -> Self {
        let pair = pair(application, protocol).await;
        let settings = TrafficSettings::default();
        let meshed = cluster_of("web", protocol, settings.clone(), vec![Arc::clone(&pair.endpoint)]);
        obey(&pair.client, &everything(), &[meshed]);
        let worker = pair.mesh.proxy("plain");
        let endpoints = vec![endpoint(application, Hop::Plaintext)];
        crate::tcp::tests::mesh::call(&worker, protocol, settings, endpoints);
        Self {
            plain: listen(&worker, Entrance::Upstream(web())).await,
            mesh: pair.address,
            gateway: listen(&pair.client, Entrance::Gateway(8000)).await,
            proxy: listen(&pair.client, Entrance::HttpProxy).await,
            plain_worker: worker,
            pair,
        }
    }

    /// Without the proxy's port, which wants the absolute form.
    pub(super) fn each(&self) -> [(&'static str, SocketAddr); 3] {
        [("plain", self.plain), ("mesh", self.mesh), ("gateway", self.gateway)]
    }
}

/// What was counted of requests since the last look.
pub(super) fn counted(worker: &Worker) -> Vec<RequestDelta> {
    worker.process.metrics.take_delta(std::time::Instant::now()).requests
}

/// Reads to the end of a head without a body behind it. `None`: the connection ended.
pub(super) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// The end of a tunnel over HTTP/2: says again what it hears, and then farewell.
pub async fn echo_and_bye(mut body: h2::RecvStream, mut stream: h2::SendStream<Bytes>) {
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        stream.send_data(data, false).unwrap();
    }
    stream.send_data("bye".into(), true).unwrap();
}

/// A frame of HTTP/2: its type, flags and payload.
pub(super) type Frame2 = (u8, u8, &'static [u8]);

/// HTTP/2 by hand, for what no library would say: takes a frame, and answers a request with these, all at once. Whether
/// it was one.
pub(super) async fn by_hand(stream: &mut TcpStream, frames: &[Frame2]) -> Option<bool> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    let is_request = head[3] == HEADERS;
    if is_request {
        let mut answer = Vec::new();
        for (kind, flags, payload) in frames {
            answer.extend([0, 0, u8::try_from(payload.len()).unwrap(), *kind, *flags]);
            answer.extend(&head[5..9]);
            answer.extend(*payload);
        }
        stream.write_all(&answer).await.ok()?;
    }
    Some(is_request)
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// `:status: 200` in HPACK.
pub(super) const STATUS_200: &[u8] = &[0x88];

/// Its beginning: the client's preface, and settings.
pub(super) async fn begin_by_hand(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 24]).await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
}
