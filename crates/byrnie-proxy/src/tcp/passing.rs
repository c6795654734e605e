//! Captured connections to what the mesh does not know: passed on as they are, counted and told like all others.

use std::net::SocketAddr;
use std::rc::Rc;

use byrnie_telemetry::Direction;
use tokio::net::TcpStream;

use super::duplex::Duplex;
use super::observe::{Meter, Story};
use super::relay;
use crate::error::ProxyError;
use crate::worker::Worker;

/// Why such a connection is not secured, for metrics and people.
const WHY: &str = "not a service of the mesh";

/// Moves bytes until both sides are done, or one fails.
pub async fn pass(
    worker: &Rc<Worker>,
    mut client: TcpStream,
    remote: SocketAddr,
    mut server: TcpStream,
    to: SocketAddr,
) {
    let mut story = story(worker, remote);
    story.note = to.to_string();
    let meter = Meter::open(worker, &story.labels, None);
    if byrnie_net::socket::tune(&server, worker.config().settings.peer_timeout).is_err() {
        tracing::debug!("{to} is gone already");
    }
    let ended = relay::sockets(&mut client, &mut server, &meter).await;
    if ended.is_err() {
        client.reset();
        server.reset();
    }
    story.ended(&ended, &meter);
}

/// Says that there is no connection.
pub fn refuse(worker: &Rc<Worker>, mut client: TcpStream, remote: SocketAddr, error: &ProxyError) {
    client.reset();
    story(worker, remote).refused(error, "");
}

fn story(worker: &Rc<Worker>, remote: SocketAddr) -> Box<Story> {
    let mut story = Box::new(Story::new(worker, remote, Direction::Outbound));
    story.goes_to(None);
    WHY.clone_into(&mut story.labels.why);
    story
}
