//! Connections that the workload began: to a service's virtual address, to an endpoint, or to what the mesh does not
//! know.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use byrnie_plan::ServicePortRef;
use byrnie_telemetry::Counter;
use tokio::net::TcpStream;

use super::{Captured, Side};
use crate::called;
use crate::config::{Config, Destination, Endpoint};
use crate::connection;
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front};
use crate::tcp;
use crate::worker::Worker;

/// Serves a connection that was to go somewhere else, to its end.
pub async fn serve(worker: &Rc<Worker>, stream: TcpStream, remote: SocketAddr) {
    let Some(captured) = &worker.process.captured else { return };
    let to = match byrnie_net::socket::original_destination(&stream) {
        Ok(to) => SocketAddr::new(to.ip().to_canonical(), to.port()),
        Err(error) => return tracing::warn!("where {remote} wanted to go is not known: {error}"),
    };
    let (counter, entrance) = match find(worker, captured, to).await {
        Ok(Found::Service(name)) => (&captured.counters.service, Entrance::Upstream(name)),
        Ok(Found::Endpoint) => (&captured.counters.endpoint, Entrance::Endpoint(to)),
        Ok(Found::Unknown) => {
            captured.counters.passed.inc();
            return Box::pin(pass(worker, captured, stream, remote, to)).await;
        }
        Err(error) => return refuse(worker, &captured.counters.refused, stream, remote, &error),
    };
    counter.inc();
    connection::serve_stream(worker, &Front::plain(entrance, &stream, remote), stream).await;
}

/// What a destination is.
enum Found {
    Service(ServicePortRef),
    Endpoint,
    Unknown,
}

async fn find(worker: &Worker, captured: &Captured, to: SocketAddr) -> Result<Found, ProxyError> {
    let own = to.ip().is_loopback() || captured.addresses().any(|own| own == to.ip());
    if own {
        // Nothing is redirected from there, so it was dialed itself: passing it on would come back here.
        return Err(ProxyError::unprocessed(Kind::BadRequest, format!("{to} is the proxy's own")));
    }
    let config = worker.config();
    if let Some(entry) = config.names.at(to.ip()) {
        let name = ServicePortRef { service: entry.plan.service.clone(), port: to.port() };
        drop(config);
        return called::destination(worker, &name).await.map(|_| Found::Service(name));
    }
    if captured.is_mesh(to.ip()) && endpoint_at(&config, to).is_some() {
        return Ok(Found::Endpoint);
    }
    if config.settings.refuse_unknown_destinations {
        let what = format!("{to} is no service of the mesh, and the Mesh's spec.egress is deny");
        return Err(ProxyError::unprocessed(Kind::EgressDenied, what));
    }
    Ok(Found::Unknown)
}

/// The service and the endpoint whose application is at this address.
fn endpoint_at(config: &Config, to: SocketAddr) -> Option<(Arc<Destination>, Arc<Endpoint>)> {
    // By name, so that of several services in front of it always the same one is meant.
    let mut names: Vec<&ServicePortRef> = config.destinations.keys().collect();
    names.sort();
    names.into_iter().find_map(|name| {
        let destination = config.destinations.get(name)?;
        let endpoints = destination.cluster.endpoints.load();
        let is_there = |endpoint: &&Arc<Endpoint>| {
            endpoint.plan.address.ip() == to.ip() && endpoint.plan.app_port == to.port()
        };
        let endpoint = endpoints.endpoints.iter().find(is_there)?;
        Some((Arc::clone(destination), Arc::clone(endpoint)))
    })
}

/// One endpoint as a destination: whoever names it means this one and no other, so no route applies.
pub fn destination_at(config: &Config, to: SocketAddr) -> Option<Arc<Destination>> {
    let (service, endpoint) = endpoint_at(config, to)?;
    Some(Arc::new(Destination {
        name: service.name.clone(),
        protocol: service.protocol,
        http: None,
        tcp: Vec::new(),
        cluster: service.cluster.alone(&endpoint),
        overrides: Vec::new(),
        settings: Arc::clone(&service.settings),
    }))
}

/// To where it was to go, as it is.
async fn pass(
    worker: &Rc<Worker>,
    captured: &Captured,
    stream: TcpStream,
    remote: SocketAddr,
    to: SocketAddr,
) {
    let _counted = worker.process.count_upstream();
    match in_time(captured.dial(to, Side::Anywhere, None)).await {
        Ok(server) => tcp::passing::pass(worker, stream, remote, server, to).await,
        Err(error) => {
            let error = ProxyError::unprocessed(Kind::ConnectFailed, format!("{to}: {error}"));
            tcp::passing::refuse(worker, stream, remote, &error);
        }
    }
}

/// How long a connection to what the mesh does not know may take to be made: it may be far away. As Envoy's default
/// for a cluster.
const OUTSIDE: Duration = Duration::from_secs(5);

/// What comes of dialing, or that it takes too long.
async fn in_time<T>(dialing: impl Future<Output = io::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(OUTSIDE, dialing).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no connection within {OUTSIDE:?}")),
    }
}

fn refuse(worker: &Rc<Worker>, counter: &Counter, stream: TcpStream, remote: SocketAddr, error: &ProxyError) {
    counter.inc();
    tcp::passing::refuse(worker, stream, remote, error);
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_answer_is_given_up_in_time() {
        let start = tokio::time::Instant::now();
        let silent = in_time::<()>(future::pending()).await.unwrap_err();
        assert!(silent.contains("no connection within 5s"), "{silent}");
        assert_eq!(start.elapsed(), OUTSIDE);
        let refused = in_time::<()>(future::ready(Err(io::ErrorKind::ConnectionRefused.into()))).await;
        assert_eq!((refused, start.elapsed()), (Err("connection refused".to_owned()), OUTSIDE));
        assert_eq!(in_time(future::ready(Ok(7))).await, Ok(7));
    }
}
