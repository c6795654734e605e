//! A control plane of a table and a list of streams, and a client to speak to it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use byrnie_plan::{Key, ObjectName, Resource, Upstream, Upstreams};
use byrnie_wire::client::{Backoff, ByteStream, ClientOptions, Connector, Event, Events, Handle, client};
use byrnie_wire::generated::discovery_server::Discovery;
use byrnie_wire::generated::{ClientMessage, ServerMessage};
use byrnie_wire::server::{self, Current, Incoming, Order, Subscriber};
use byrnie_wire::{Encoded, NodeInfo, ProtocolError, Role, Version, encode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

pub type ServerStream = ReceiverStream<Result<ServerMessage, Status>>;

/// The table and the open streams.
#[derive(Clone, Default)]
pub struct Plane(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    stamp: u64,
    table: HashMap<Key, Current>,
    streams: Vec<mpsc::UnboundedSender<Order>>,
    forbidden: HashSet<Key>,
    log: Option<mpsc::UnboundedSender<Incoming>>,
}

impl Plane {
    /// A control plane and what its proxies will say.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Incoming>) {
        let (log, said) = mpsc::unbounded_channel();
        let plane = Self::default();
        plane.0.lock().unwrap().log = Some(log);
        (plane, said)
    }

    pub fn publish(&self, resource: &Resource) -> Version {
        let encoded = encode(resource);
        let version = encoded.version;
        self.put(resource.key(), Some(encoded));
        version
    }

    pub fn put(&self, key: Key, encoded: Option<Encoded>) {
        {
            let mut inner = self.0.lock().unwrap();
            inner.stamp += 1;
            let stamp = inner.stamp;
            inner.table.insert(key.clone(), Current { stamp, encoded });
        }
        self.order(&Order::Changed(vec![key]));
    }

    pub fn forbid(&self, key: Key) {
        self.0.lock().unwrap().forbidden.insert(key);
    }

    pub fn order(&self, order: &Order) {
        self.0.lock().unwrap().streams.retain(|stream| stream.send(order.clone()).is_ok());
    }

    /// Serves on a loopback port.
    pub async fn listen(&self) -> (SocketAddr, AbortHandle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = server::transport().add_service(server::service(self.clone()));
        let task = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (address, task.abort_handle())
    }

    /// Serves pipes in memory.
    pub fn pipes(&self) -> Connector {
        pipes(server::transport().add_service(server::service(self.clone())))
    }
}

/// A connector to a server in memory.
pub fn pipes(server: tonic::transport::server::Router) -> Connector {
    let (connect, accepted) = mpsc::channel::<io::Result<tokio::io::DuplexStream>>(16);
    tokio::spawn(server.serve_with_incoming(ReceiverStream::new(accepted)));
    Arc::new(move || {
        let connect = connect.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(256 * 1024);
            connect.send(Ok(theirs)).await.map_err(io::Error::other)?;
            Ok(Box::new(ours) as Box<dyn ByteStream>)
        })
    })
}

/// A connector that never comes to an end.
pub fn nowhere() -> Connector {
    Arc::new(|| Box::pin(std::future::pending()))
}

pub fn tcp(address: SocketAddr) -> Connector {
    Arc::new(move || {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn ByteStream>) })
    })
}

#[tonic::async_trait]
impl Discovery for Plane {
    type StreamStream = ServerStream;

    async fn stream(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<ServerStream>, Status> {
        let (orders, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap().streams.push(orders);
        let one = One { plane: self.clone(), orders: receiver };
        Ok(Response::new(server::serve(request.into_inner(), one)))
    }
}

/// One stream's view.
struct One {
    plane: Plane,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl Subscriber for One {
    fn on(&mut self, incoming: Incoming) -> Result<(), ProtocolError> {
        let inner = self.plane.0.lock().unwrap();
        if let Incoming::Subscribed(key) = &incoming
            && inner.forbidden.contains(key)
        {
            return Err(ProtocolError::Refused(format!("{key} is not yours")));
        }
        if let Some(log) = &inner.log {
            let _ = log.send(incoming);
        }
        Ok(())
    }

    fn see(&self, key: &Key) -> Current {
        let inner = self.plane.0.lock().unwrap();
        inner.table.get(key).cloned().unwrap_or(Current { stamp: 0, encoded: None })
    }

    async fn next_order(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }
}

pub fn node() -> NodeInfo {
    NodeInfo {
        workload: ObjectName::new("shop", "web-1"),
        role: Role::Sidecar,
        version: "0.1.0".into(),
        run: "r1".into(),
        pid: 7,
    }
}

/// A running client.
pub fn start(connector: Connector) -> (Handle, Events) {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    let (handle, events, driver) = client(ClientOptions { node: node(), connector, backoff });
    tokio::spawn(driver.run());
    (handle, events)
}

pub fn name(n: usize) -> ObjectName {
    ObjectName::new("shop", format!("w{n}"))
}

pub fn key(n: usize) -> Key {
    Key::Upstreams(name(n))
}

/// A resource under `key(n)`, whose content is told apart by `revision`.
pub fn resource(n: usize, revision: u16) -> Resource {
    let upstreams = vec![Upstream { service: name(n), port: revision }];
    Resource::Upstreams(Upstreams { workload: name(n), upstreams, http_proxy: false, overrides: Vec::new() })
}

/// The next event that is no `Connected` or `Disconnected`.
pub async fn next(events: &mut Events) -> Event {
    loop {
        match events.recv().await.expect("the client runs") {
            Event::Connected | Event::Disconnected { .. } => {}
            event => return event,
        }
    }
}

/// Waits for the end of a stream; says why.
pub async fn disconnected(events: &mut Events) -> String {
    loop {
        if let Event::Disconnected { reason } = events.recv().await.expect("the client runs") {
            return reason;
        }
    }
}
