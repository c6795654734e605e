//! Captured connections that came to the workload without mTLS: bytes of a caller without identity.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use byrnie_telemetry::Direction;
use tokio::net::TcpStream;

use super::duplex::Duplex;
use super::inbound::{Opened, to_application};
use super::observe::{Meter, Story};
use super::relay;
use crate::admit::{self, Refusal};
use crate::controls;
use crate::error::ProxyError;
use crate::worker::Worker;

/// Why such a connection is not secured, for metrics and people.
const WHY: &str = "the caller came without mTLS";

/// Serves a connection to a declared port to its end, as far as the policies allow it.
pub async fn serve(worker: &Rc<Worker>, mut client: TcpStream, remote: SocketAddr, port: u16) {
    let mut story = story(worker, remote);
    let mut opened = match open(worker, remote, port, &mut story).await {
        Ok(opened) => opened,
        Err(Refusal { error, policy }) => {
            client.reset();
            return story.refused(&error, &policy);
        }
    };
    let meter = Meter::open(worker, &story.labels, opened.flight.cluster.settings.idle_timeout);
    let ended = relay::sockets(&mut client, &mut opened.application, &meter).await;
    if ended.is_err() {
        client.reset();
        opened.application.reset();
    }
    story.ended(&ended, &meter);
    opened.flight.finish(worker, worker.time(Instant::now()), opened.outcome);
}

async fn open(
    worker: &Rc<Worker>,
    remote: SocketAddr,
    port: u16,
    story: &mut Story,
) -> Result<Box<Opened>, Refusal> {
    let plain = |error| Refusal { error, policy: String::new() };
    let (inbound, port) = admit::declared_port(worker, port).map_err(plain)?;
    story.labels.service = port.services.first().map(|found| found.service.clone());
    admit::authorize(worker, &inbound.authorizer, None, None, port.port)?;
    let service = story.labels.service.as_ref();
    controls::inbound_connection(worker, &inbound, service, None, remote).await?;
    to_application(worker, &port, Some(remote)).await.map_err(plain)
}

/// Says that there is no connection.
pub fn refuse(worker: &Rc<Worker>, mut client: TcpStream, remote: SocketAddr, error: &ProxyError) {
    client.reset();
    story(worker, remote).refused(error, "");
}

fn story(worker: &Rc<Worker>, remote: SocketAddr) -> Box<Story> {
    let mut story = Box::new(Story::new(worker, remote, Direction::Inbound));
    story.labels.destination = Some(worker.process.workload.clone());
    WHY.clone_into(&mut story.labels.why);
    story
}
