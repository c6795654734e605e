//! The `Discovery` service: one stream for each proxy, over mTLS.
//!
//! What a proxy may see follows from its certificate: its workload's own policy, upstreams and gateway routes, and
//! what every caller may know (Services, endpoints, routes, roots, settings).

use std::future::pending;
use std::sync::Arc;

use byrnie_plan::{Key, ObjectName, WorkloadIdentity};
use byrnie_wire::generated::discovery_server::Discovery;
use byrnie_wire::generated::{ClientMessage, ServerMessage};
use byrnie_wire::server::{Current, Incoming, Order, Rejection, Subscriber, serve};
use byrnie_wire::{MAX_KEYS_PER_MESSAGE, NodeInfo, ProtocolError, Role};
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Request, Response, Status, Streaming};

use crate::nodes::{Node, Rejected};
use crate::state::Control;
use crate::table::ProxyOrder;
use crate::tls::Peer;

/// The service.
pub struct DiscoveryService {
    /// Everything it stands on.
    pub control: Arc<Control>,
    /// Counts the streams, so that nothing holds the store any more when the control plane has stopped.
    pub tasks: TaskTracker,
}

#[tonic::async_trait]
impl Discovery for DiscoveryService {
    type StreamStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let peer = request.extensions().get::<Peer>();
        let Some((peer, until)) = peer.and_then(|peer| Some((peer.proven()?, peer.until))) else {
            self.control.metrics.streams_refused.inc();
            return Err(Status::unauthenticated(
                "BYR0365: a discovery stream needs a certificate of this mesh",
            ));
        };
        self.control.metrics.streams.inc();
        let (control, task) = (Arc::clone(&self.control), self.tasks.token());
        let stream = ProxyStream { control, peer, until, node: None, retiring: None, _task: task };
        Ok(Response::new(serve(request.into_inner(), stream)))
    }
}

/// One proxy's stream.
struct ProxyStream {
    control: Arc<Control>,
    peer: WorkloadIdentity,
    /// When the certificate ends that it came with.
    until: Instant,
    /// Known from the first message on.
    node: Option<Arc<Node>>,
    /// The proxy of this workload was replaced; this process of it only reports what its last connections do.
    retiring: Option<ObjectName>,
    /// Last, so that it is dropped after what it stands for.
    _task: TaskTrackerToken,
}

impl Subscriber for ProxyStream {
    fn on(&mut self, incoming: Incoming) -> Result<(), ProtocolError> {
        let control = &self.control;
        let node = match (incoming, &self.node) {
            (Incoming::Hello(info), _) => return self.hello(info),
            (Incoming::Report(report), None) => {
                let workload = self.retiring.as_ref().ok_or(ProtocolError::NoHello)?;
                control.take_report(workload, report);
                return Ok(());
            }
            (_, None) if self.retiring.is_some() => return Ok(()),
            (incoming, Some(node)) => (incoming, node),
            (_, None) => return Err(ProtocolError::NoHello),
        };
        match node {
            (Incoming::Subscribed(key), node) => {
                if !may_see(&node.info.workload, &key) {
                    return Err(self.refuse(format!("{} may not see {key}", node.info.workload)));
                }
                control.table.subscribe(&key, &node.mailbox);
                node.subscribed(key);
            }
            (Incoming::Unsubscribed(key), node) => {
                control.table.unsubscribe([&key], &node.mailbox);
                // A gateway asks anew when the port that it lacked is there: its refusal is over.
                if node.unsubscribed(&key) && matches!(key, Key::GatewayRoutes(_)) {
                    control.gateway_answered(&node.info.workload);
                }
            }
            (Incoming::Settled { key, stamp, rejected, .. }, node) => {
                self.settled(node, &key, stamp, rejected)
            }
            (Incoming::Status(status), node) => {
                if node.set_status(status) {
                    control.proxy_status_changed(&node.info.workload);
                }
            }
            (Incoming::Report(mut report), node) => {
                node.set_pools(report.interval_ms > 0, std::mem::take(&mut report.pools));
                control.take_report(&node.info.workload, report);
            }
            (Incoming::Tap(event), node) => control.taps.event(node, event, &control.metrics),
            (Incoming::Answer { id, part, last }, node) => {
                control.questions.answered(&node.info.workload, id, &part, last);
            }
            (Incoming::Unreadable(why), node) => {
                tracing::warn!(proxy = %node.info.workload, %why, code = why.code(), "a proxy's report cannot be read");
            }
            (Incoming::Hello(_), _) => {}
        }
        Ok(())
    }

    fn see(&self, key: &Key) -> Current {
        let seen = self.control.table.see(key);
        let encoded = seen.published.map(|published| published.encoded.clone());
        self.control.metrics.pushes.inc();
        Current { stamp: seen.seq, encoded }
    }

    async fn next_order(&mut self) -> Order {
        let told = async {
            match &self.node {
                Some(node) => next_order(node).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.control.stop.cancelled() => Order::Close("BYR0452: the control plane is stopping".to_owned()),
            () = sleep_until(self.until) => {
                Order::Close("BYR0332: the certificate of this stream has expired; come back with a renewed one".to_owned())
            }
            order = told => order,
        }
    }
}

async fn next_order(node: &Node) -> Order {
    tokio::select! {
        () = node.close.cancelled() => {
            let why = "BYR0366: this proxy's workload is gone, has another identity, or has another proxy";
            Order::Close(why.to_owned())
        }
        () = node.mailbox.changed() => match node.mailbox.take_order() {
            Some(ProxyOrder::Start(tap)) => Order::TapStart(*tap),
            Some(ProxyOrder::Stop(id)) => Order::TapStop(id),
            Some(ProxyOrder::Ask(id, what)) => Order::Query(id, what),
            None => Order::Changed(node.mailbox.take(MAX_KEYS_PER_MESSAGE)),
        },
    }
}

impl ProxyStream {
    /// The proxy says which workload it is; its certificate must be that workload's.
    fn hello(&mut self, info: NodeInfo) -> Result<(), ProtocolError> {
        let workload = &info.workload;
        match self.control.identity_of(workload) {
            Some(identity) if identity == self.peer => {}
            Some(identity) => {
                return Err(
                    self.refuse(format!("{} is not {identity}, so it is no proxy of {workload}", self.peer))
                );
            }
            None => return Err(self.refuse(format!("there is no meshed workload {workload}"))),
        }
        let is_gateway = self.control.is_gateway(workload);
        if is_gateway != (info.role == Role::Gateway) {
            let kind = if is_gateway { "a Gateway" } else { "a Workload" };
            return Err(self.refuse(format!("{workload} is {kind}, the proxy has the other role")));
        }
        if info.retiring {
            self.retiring = Some(info.workload);
            return Ok(());
        }
        let (version, pid) = (info.version.clone(), info.pid);
        let before = self.control.nodes.get(workload).map(|before| before.info.pid);
        let connected = self.control.nodes.connect(info, self.peer.clone());
        let node = connected.ok_or(ProtocolError::Superseded)?;
        tracing::info!(proxy = %node.info.workload, version, pid, "a proxy connected");
        if before != Some(pid) {
            // A new process has none of the connections that the old one had open.
            self.control.window.lock().forget(&node.info.workload);
        }
        self.control.taps.connected(&node, &self.control.table);
        self.node = Some(node);
        Ok(())
    }

    fn settled(&self, node: &Node, key: &Key, stamp: u64, rejected: Option<Rejection>) {
        let control = &self.control;
        let rejected = rejected.map(|why| Rejected { code: why.code, reason: why.reason });
        match &rejected {
            None => control.metrics.acks.inc(),
            Some(why) => {
                control.metrics.nacks.inc();
                let proxy = &node.info.workload;
                tracing::warn!(%proxy, %key, code = why.code, why.reason, "a proxy refused a resource");
            }
        }
        if node.answered(key, stamp, rejected) && matches!(key, Key::GatewayRoutes(_)) {
            control.gateway_answered(&node.info.workload);
        }
    }

    fn refuse(&self, why: String) -> ProtocolError {
        self.control.metrics.streams_refused.inc();
        tracing::warn!(peer = %self.peer, why, "a discovery stream was refused");
        ProtocolError::Refused(why)
    }
}

impl Drop for ProxyStream {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            node.disconnect(&self.control.table);
        }
    }
}

/// Whether a workload's proxy may subscribe to a key.
fn may_see(workload: &ObjectName, key: &Key) -> bool {
    match key {
        Key::InboundPolicy(name) | Key::Upstreams(name) | Key::GatewayRoutes(name) => name == workload,
        Key::Routes { client_namespace: Some(namespace), .. } => **namespace == *workload.namespace,
        Key::Service(_)
        | Key::Endpoints(_)
        | Key::Routes { .. }
        | Key::Names(_)
        | Key::TrustBundle
        | Key::MeshSettings => true,
    }
}
