//! Moves the session's messages over a gRPC stream, for as long as the client lives.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::{Backoff, Connector, Event, Shared};
use crate::generated as pb;
use crate::generated::discovery_client::DiscoveryClient;
use crate::limits::{MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE};

/// Time to a stream, TLS and the first answer included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 pings (ztunnel's).
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long a ping may stay unanswered (ztunnel's).
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait for the reason of an end.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// The client's task.
pub struct Driver {
    shared: Arc<Shared>,
    connector: Connector,
    backoff: Backoff,
    events: mpsc::Sender<Event>,
}

/// One stream.
struct Link {
    outgoing: mpsc::Sender<pb::ClientMessage>,
    incoming: Streaming<pb::ServerMessage>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        connector: Connector,
        backoff: Backoff,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { shared, connector, backoff, events }
    }

    /// Connects, speaks, and connects again, until [`super::Handle::close`] or until nobody receives events.
    pub async fn run(mut self) {
        while !self.ended() {
            match self.while_open(timeout(CONNECT_TIMEOUT, connect(&self.connector))).await {
                None => return,
                Some(Ok(Ok(link))) => {
                    let began = Instant::now();
                    let reason = self.speak(link).await;
                    self.backoff.ended_after(began.elapsed());
                    self.shared.session.lock().on_disconnected(reason);
                }
                Some(Ok(Err(reason))) => self.shared.session.lock().on_disconnected(reason),
                Some(Err(_)) => {
                    let reason = "BYR0369: no answer from the control plane within 10 s".to_owned();
                    self.shared.session.lock().on_disconnected(reason);
                }
            }
            if self.ended() {
                return;
            }
            let pause = self.backoff.next_pause();
            if self.while_open(self.drain_events()).await.is_none()
                || self.while_open(sleep(pause)).await.is_none()
            {
                return;
            }
        }
    }

    fn ended(&self) -> bool {
        self.events.is_closed() || self.shared.session.lock().is_closed()
    }

    /// The future's output, or `None` when the client is to end.
    async fn while_open<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                out = &mut work => return Some(out),
                () = self.events.closed() => return None,
                () = self.shared.wake.notified() => {
                    if self.ended() {
                        return None;
                    }
                }
            }
        }
    }

    async fn drain_events(&self) {
        while let Ok(permit) = self.events.reserve().await {
            match self.shared.session.lock().poll_event() {
                Some(event) => permit.send(event),
                None => return,
            }
        }
    }

    /// Speaks until the stream ends; says why.
    async fn speak(&self, mut link: Link) -> String {
        self.shared.session.lock().on_connected();
        loop {
            let (is_over, has_event) = {
                let session = self.shared.session.lock();
                (session.is_closed() && session.is_flushed(), session.has_event())
            };
            if is_over {
                link.farewell().await;
                return "closed".to_owned();
            }
            // A message is made when the stream can take it, so that it tells the latest state.
            let ready = link.outgoing.capacity() > 0;
            let message = if ready { self.shared.session.lock().poll_send() } else { None };
            if let Some(message) = message {
                if link.outgoing.try_send(message).is_err() {
                    return link.last_words().await;
                }
                continue;
            }
            let mut can_send = true;
            tokio::select! {
                biased;
                () = self.events.closed() => return "closed".to_owned(),
                permit = self.events.reserve(), if has_event => {
                    if let (Ok(permit), Some(event)) = (permit, self.shared.session.lock().poll_event()) {
                        permit.send(event);
                    }
                }
                permit = link.outgoing.reserve(), if !ready => can_send = permit.is_ok(),
                message = link.incoming.message(), if !has_event => match message {
                    Ok(Some(message)) => {
                        if let Err(error) = self.shared.session.lock().on_message(message) {
                            return error.to_string();
                        }
                    }
                    Ok(None) => return "BYR0368: the control plane ended the stream".to_owned(),
                    Err(status) => return explain(&status),
                },
                () = self.shared.wake.notified() => {}
            }
            if !can_send {
                return link.last_words().await;
            }
        }
    }
}

impl Link {
    /// Ends the stream from this side, so that what was sent arrives: a stream that is dropped is reset.
    async fn farewell(self) {
        let Self { outgoing, mut incoming } = self;
        drop(outgoing);
        let end = async { while incoming.message().await.is_ok_and(|message| message.is_some()) {} };
        let _ = timeout(LAST_WORDS_TIMEOUT, end).await;
    }

    /// Nothing can be sent any more: the control plane has said why, or the connection is gone.
    async fn last_words(&mut self) -> String {
        let ended = || "BYR0368: the stream ended".to_owned();
        let words = async {
            loop {
                match self.incoming.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return ended(),
                    Err(status) => return explain(&status),
                }
            }
        };
        timeout(LAST_WORDS_TIMEOUT, words).await.unwrap_or_else(|_| ended())
    }
}

async fn connect(connector: &Connector) -> Result<Link, String> {
    let mut client = DiscoveryClient::new(channel(connector).await?)
        .max_decoding_message_size(MAX_SERVER_MESSAGE)
        .max_encoding_message_size(MAX_CLIENT_MESSAGE);
    let (outgoing, messages) = mpsc::channel(1);
    let response = client.stream(ReceiverStream::new(messages)).await.map_err(|status| explain(&status))?;
    Ok(Link { outgoing, incoming: response.into_inner() })
}

/// A connection to the control plane.
pub(crate) async fn channel(connector: &Connector) -> Result<Channel, String> {
    let connector = connector.clone();
    let service = tower::service_fn(move |_: tonic::transport::Uri| {
        let connecting = connector();
        async move { connecting.await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://control-plane.byrnie")
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector(service)
        .await
        .map_err(|error| format!("BYR0367: cannot reach the control plane: {}", chain(&error)))
}

/// What ended a call, for people; the control plane's own words where it gives a code.
pub(crate) fn explain(status: &tonic::Status) -> String {
    let message = status.message();
    if message.starts_with("BYR") {
        return message.to_owned();
    }
    let cause = std::error::Error::source(status).map(chain).unwrap_or_default();
    format!("BYR0368: the control plane ended the call: {:?} {message} {cause}", status.code())
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
