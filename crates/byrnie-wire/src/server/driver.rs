//! Moves one session's messages over a gRPC stream.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Order, Session, Subscriber};
use crate::error::ProtocolError;
use crate::generated as pb;

/// How long a new stream may stay silent.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

type Outgoing = mpsc::Sender<Result<pb::ServerMessage, Status>>;

/// Serves one stream on a task of its own, until either side ends it. The subscriber is dropped with the
/// stream.
pub fn serve(
    incoming: Streaming<pb::ClientMessage>,
    subscriber: impl Subscriber,
) -> ReceiverStream<Result<pb::ServerMessage, Status>> {
    // One message waits at most: what a slow proxy gets next is made when it can take it.
    let (outgoing, messages) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(status) = speak(incoming, &outgoing, subscriber).await {
            // The proxy may be gone already.
            let _ = outgoing.send(Err(status)).await;
        }
    });
    ReceiverStream::new(messages)
}

async fn speak(
    mut incoming: Streaming<pb::ClientMessage>,
    outgoing: &Outgoing,
    mut subscriber: impl Subscriber,
) -> Result<(), Status> {
    let mut session = Session::new();
    let Ok(hello) = timeout(HELLO_TIMEOUT, incoming.message()).await else {
        return Err(refusal(&ProtocolError::NoHello));
    };
    let Some(hello) = hello? else { return Ok(()) };
    hear(&mut session, &mut subscriber, hello)?;
    loop {
        if outgoing.capacity() > 0 {
            let message = session.poll_send(|key| subscriber.see(key));
            deliver(&mut session, &mut subscriber)?;
            if let Some(message) = message {
                if outgoing.try_send(Ok(message)).is_err() {
                    return Ok(());
                }
                continue;
            }
        }
        tokio::select! {
            () = outgoing.closed() => return Ok(()),
            permit = outgoing.reserve(), if outgoing.capacity() == 0 => {
                if permit.is_err() {
                    return Ok(());
                }
            }
            message = incoming.message() => match message? {
                Some(message) => hear(&mut session, &mut subscriber, message)?,
                None => return Ok(()),
            },
            order = subscriber.next_order() => match order {
                Order::Changed(keys) => session.on_change(&keys),
                Order::TapStart(tap) => session.tap_start(&tap),
                Order::TapStop(id) => session.tap_stop(id),
                Order::Query(id, what) => session.query(id, what),
                Order::Close(reason) => return Err(Status::new(Code::Unavailable, reason)),
            },
        }
    }
}

fn hear(
    session: &mut Session,
    subscriber: &mut impl Subscriber,
    message: pb::ClientMessage,
) -> Result<(), Status> {
    let heard = session.on_message(message);
    deliver(session, subscriber)?;
    heard.map_err(|error| refusal(&error))
}

fn deliver(session: &mut Session, subscriber: &mut impl Subscriber) -> Result<(), Status> {
    while let Some(incoming) = session.poll_incoming() {
        subscriber.on(incoming).map_err(|error| refusal(&error))?;
    }
    Ok(())
}

fn refusal(error: &ProtocolError) -> Status {
    let code = match error {
        ProtocolError::Refused(_) => Code::PermissionDenied,
        ProtocolError::TooManySubscriptions(_) => Code::ResourceExhausted,
        _ => Code::InvalidArgument,
    };
    Status::new(code, error.to_string())
}
