//! The port that understands HTTP proxying: which service a request or tunnel is for, by its host.

use std::rc::Rc;
use std::sync::Arc;

use byrnie_decide::normalize_authority;
use byrnie_plan::{ObjectName, ServicePortRef};
use http::header::HOST;
use http::{Request, Response, StatusCode, request};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use crate::config::Destination;
use crate::connection;
use crate::error::{Kind, ProxyError};
use crate::front::{Entrance, Front};
use crate::http::body::Body;
use crate::outbound;
use crate::worker::Worker;

/// The service that a proxied request names.
pub fn destination(worker: &Worker, head: &request::Parts) -> Result<Arc<Destination>, ProxyError> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    find(worker, host, 80)
}

fn find(worker: &Worker, authority: &str, default_port: u16) -> Result<Arc<Destination>, ProxyError> {
    let bad = |error: String| ProxyError::unprocessed(Kind::BadRequest, error);
    let authority = normalize_authority(authority).map_err(|error| bad(error.to_string()))?;
    let port = authority.port.unwrap_or(default_port);
    let own = &worker.process.workload.namespace;
    let service = service_of(&authority.host, own);
    let found = service.and_then(|service| {
        let config = worker.config();
        config.destinations.get(&ServicePortRef { service, port }).cloned()
    });
    found.ok_or_else(|| {
        ProxyError::unprocessed(
            Kind::NoRoute,
            format!(
                "{}:{port} is no upstream of this workload; name it in its spec.upstreams",
                authority.host
            ),
        )
    })
}

/// `web`, `web.shop`, `web.shop.svc`, `web.shop.svc.cluster.local`.
fn service_of(host: &str, own_namespace: &str) -> Option<ObjectName> {
    let mut labels = host.split('.');
    let name = labels.next().filter(|name| !name.is_empty())?;
    let namespace = labels.next().unwrap_or(own_namespace);
    let rest: Vec<&str> = labels.collect();
    matches!(rest.as_slice(), [] | ["svc"] | ["svc", "cluster", "local"])
        .then(|| ObjectName::new(namespace, name))
}

/// CONNECT: whatever is spoken in the tunnel is treated as if it had come to the service's own address.
pub async fn connect(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let named = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let service = match find(worker, &named, 443) {
        Ok(service) => service,
        Err(error) => return outbound::refuse_request(worker, front, &request, &error),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let (worker, remote) = (Rc::clone(worker), front.remote);
    tokio::task::spawn_local(front.tunnels.track_future(async move {
        match upgraded.await {
            Ok(io) => {
                let front = Front::new(Entrance::Upstream((*service.name).clone()), None, remote);
                connection::serve_stream(&worker, &front, TokioIo::new(io)).await;
            }
            Err(error) => tracing::debug!("a client went away while its tunnel was opened: {error}"),
        }
    }));
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::OK;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_four_names() {
        let expected = Some(ObjectName::new("shop", "web"));
        for name in ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"] {
            assert_eq!(service_of(name, "shop"), expected, "{name}");
        }
        for name in ["", "web.shop.example.com", "web.shop.svc.cluster", "127.0.0.1"] {
            assert_ne!(service_of(name, "shop"), expected, "{name}");
        }
    }
}
