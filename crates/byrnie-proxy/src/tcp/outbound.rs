//! Connections of clients: of the workload to an upstream's address, or from outside to a Gateway's listener.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use byrnie_decide::Outcome;
use byrnie_telemetry::Direction;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::connect::{self, Connected, Upstream, Way};
use super::duplex::Duplex;
use super::observe::{Meter, Story};
use super::relay::{self, Broken};
use crate::detect::{Prefixed, Spoken};
use crate::error::{Kind, ProxyError};
use crate::front::{Front, Target};
use crate::http;
use crate::worker::Worker;

/// Serves a connection of bytes to its end. A failure is a reset: there is no other way to say it.
pub async fn serve<S: Duplex>(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    mut client: Prefixed<S>,
    target: Target,
) {
    let mut story = Box::new(Story::new(worker, front.remote, Direction::Outbound));
    let sni = match connect::asks_name(&target) {
        true => match server_name(worker, &target, &mut client).await {
            Ok(sni) => sni,
            Err(error) => return refuse(&mut client, &mut story, &error),
        },
        false => None,
    };
    let connected = match choose(&target, sni.as_deref(), &mut story) {
        // Boxed, as all that is needed to connect: it must not be kept for as long as the connection lasts.
        Ok(way) => Box::pin(connect::connect(worker, &way, front.remote, &mut story)).await,
        Err(error) => Err(error),
    };
    drop((sni, target));
    match connected {
        Ok(connected) => run(worker, client, connected, story).await,
        Err(error) => refuse(&mut client, &mut story, &error),
    }
}

/// Serves a client of a port without declared protocol that did not begin with HTTP. One that has said nothing so far
/// ([`Spoken::Silent`]) is dialed for, and whichever side speaks first decides: when the client speaks HTTP after all,
/// before the server has said anything, it is served as such, and the connection that was opened is dropped unused.
/// Where the name in its TLS decides, nobody can be dialed before it has said it.
pub async fn serve_detected<S: Duplex>(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    mut client: Prefixed<S>,
    spoken: Spoken,
    target: Target,
) {
    if spoken != Spoken::Silent || connect::asks_name(&target) {
        return serve(worker, front, client, target).await;
    }
    let mut story = Box::new(Story::new(worker, front.remote, Direction::Outbound));
    let way = choose(&target, None, &mut story);
    match Box::pin(first_word(worker, front.remote, &mut client, &target, way, &mut story)).await {
        FirstWord::Http => Box::pin(http::serve(worker, front, client)).await,
        FirstWord::Bytes(connected) => run(worker, client, connected, story).await,
        FirstWord::Failed(error) => refuse(&mut client, &mut story, &error),
    }
}

/// What came of waiting for the first word.
enum FirstWord {
    Http,
    Bytes(Box<Connected>),
    Failed(ProxyError),
}

async fn first_word<S: Duplex>(
    worker: &Rc<Worker>,
    remote: SocketAddr,
    client: &mut Prefixed<S>,
    target: &Target,
    way: Result<Way, ProxyError>,
    story: &mut Story,
) -> FirstWord {
    let port = target.undeclared(&worker.process);
    let late = tokio::time::Instant::now() + port.limit;
    let mut words = std::pin::pin!(client.first_words(&port));
    let connecting = async {
        match &way {
            Ok(way) => connect::connect(worker, way, remote, story).await,
            Err(error) => Err(ProxyError::unprocessed(error.kind, error.context.clone())),
        }
    };
    let mut connecting = std::pin::pin!(connecting);
    // The client is first: when both have something, HTTP wins, which a server that speaks first never hears.
    let connected = tokio::select! {
        biased;
        spoken = words.as_mut() => return match spoken {
            Ok(spoken) if spoken.is_http() => FirstWord::Http,
            Ok(_) => connecting.await.map_or_else(FirstWord::Failed, FirstWord::Bytes),
            Err(error) => FirstWord::Failed(gone(&error)),
        },
        connected = connecting.as_mut() => connected,
    };
    let mut connected = match connected {
        Ok(connected) => connected,
        // It may be HTTP that is about to come, and get an answer instead of a reset.
        Err(error) => {
            return match tokio::time::timeout_at(late, words).await {
                Ok(Ok(spoken)) if spoken.is_http() => FirstWord::Http,
                _ => FirstWord::Failed(error),
            };
        }
    };
    let mut is_late = false;
    loop {
        tokio::select! {
            biased;
            spoken = words.as_mut() => return match spoken {
                Ok(spoken) if spoken.is_http() => FirstWord::Http,
                Ok(_) => FirstWord::Bytes(connected),
                Err(error) => FirstWord::Failed(gone(&error)),
            },
            () = connected.upstream.speaks() => return FirstWord::Bytes(connected),
            // As long as both are silent, nothing is lost by listening on; that it took so long is worth a count.
            () = sleep_until(late), if !is_late => {
                is_late = true;
                port.count_timeout();
            }
        }
    }
}

fn gone(error: &std::io::Error) -> ProxyError {
    ProxyError::unprocessed(
        Kind::ClientGone,
        format!("the client went away before it said anything: {error}"),
    )
}

/// The name in a client's TLS, which stays unopened.
async fn server_name<S: Duplex>(
    worker: &Worker,
    target: &Target,
    client: &mut Prefixed<S>,
) -> Result<Option<String>, ProxyError> {
    let limit = target.settings().header_timeout;
    match timeout(limit, client.first_words(&target.undeclared(&worker.process))).await {
        Ok(Ok(Spoken::Tls { sni })) => Ok(sni),
        Ok(Ok(_)) => Err(ProxyError::unprocessed(Kind::BadRequest, "the client does not speak TLS")),
        Ok(Err(error)) => Err(gone(&error)),
        Err(_) => {
            Err(ProxyError::unprocessed(Kind::ClientGone, format!("the client said nothing for {limit:?}")))
        }
    }
}

fn choose(target: &Target, sni: Option<&str>, story: &mut Story) -> Result<Way, ProxyError> {
    if let Target::Service(service) = target {
        story.labels.service = Some(service.name.service.clone());
    }
    let way = connect::choose(target, sni)?;
    story.labels.service = Some(way.cluster.service.service.clone());
    story.labels.route.clone_from(&way.route);
    Ok(way)
}

/// Moves bytes until both sides are done, or one fails: then both are reset. A future of its own, so that what lives
/// for days holds nothing that was needed to get there.
fn run<S: Duplex>(
    worker: &Rc<Worker>,
    mut client: Prefixed<S>,
    mut connected: Box<Connected>,
    story: Box<Story>,
) -> Pin<Box<impl Future<Output = ()>>> {
    let idle = connected.flight.cluster.settings.idle_timeout;
    let meter = Meter::open(worker, &story.labels, idle);
    let worker = Rc::clone(worker);
    Box::pin(async move {
        let ended = match &mut connected.upstream {
            Upstream::Socket(socket) => relay::sockets(&mut client, socket, &meter).await,
            Upstream::Tunnel(tunnel) => relay::to_tunnel(&mut client, tunnel, &meter).await,
        };
        if ended.is_err() {
            client.reset();
            connected.upstream.reset();
        }
        story.ended(&ended, &meter);
        let outcome = match (&ended, connected.outcome) {
            (Err(Broken::Server(_)), Outcome::Success(took)) if meter.is_mute() => Outcome::Failure(took),
            (_, outcome) => outcome,
        };
        connected.flight.closed(&worker, worker.time(Instant::now()), outcome);
    })
}

/// Says so of a connection that did not begin as it must.
pub fn refuse_unread(worker: &Rc<Worker>, client: &mut TcpStream, remote: SocketAddr, error: &ProxyError) {
    let mut story = Story::new(worker, remote, Direction::Outbound);
    story.goes_to(None);
    client.reset();
    story.refused(error, "");
}

/// Says that there is no connection.
fn refuse<S: Duplex>(client: &mut Prefixed<S>, story: &mut Story, error: &ProxyError) {
    if story.labels.destination.is_none() {
        story.goes_to(None);
    }
    client.reset();
    story.refused(error, &story.policy);
}
