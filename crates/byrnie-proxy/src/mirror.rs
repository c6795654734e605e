//! Copies of requests whose answers are discarded. A copy never slows, fails or changes the request itself: it takes
//! what the request's body reads, and is given up when it cannot keep up. It has connections, limits and metrics of its
//! own, and is sent once.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Version, request};
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;

use crate::balance::{self, Wish};
use crate::budget::{Budget, Held};
use crate::config::MirrorTo;
use crate::front::Front;
use crate::hop::{self, Outgoing};
use crate::http::body::{Body, BodyError};
use crate::http::{Message, copy_head};
use crate::worker::Worker;

/// Frames of the body that a copy may be behind.
const BEHIND: usize = 64;
/// Bytes of the body that a copy may be behind: 256 KiB, an HTTP/2 stream's window.
const BEHIND_BYTES: usize = 256 * 1024;
/// Time for a copy to be answered.
const LIMIT: Duration = Duration::from_secs(10);
/// Copies on their way at a time, for the process: with [`BEHIND_BYTES`] they hold at most 64 MiB.
pub const COPIES: usize = 256;

/// Sends a copy to where the filter says, for its share of requests. What is read of the body the copy hears, too.
pub fn send_copy(worker: &Rc<Worker>, front: &Rc<Front>, to: &MirrorTo, message: &mut Message) {
    let Ok(cluster) = &to.cluster else { return };
    let drawn = (u128::from(worker.random()) * u128::from(to.denominator)) >> 64;
    if drawn >= u128::from(to.numerator) {
        return;
    }
    let Some(place) = Place::take(worker) else { return };
    let (copy, version) = (copy_head(&message.head), message.head.version);
    let heard = match message.body.is_finished() {
        true => Body::Empty,
        false => {
            let (sender, receiver) = mpsc::channel(BEHIND);
            let (behind, budget) = (Rc::new(Cell::new(0)), Arc::clone(&worker.process.budget));
            let hearing = Hearing { receiver, behind: Rc::clone(&behind) };
            let inner = std::mem::replace(&mut message.body, Body::Empty);
            message.body = Body::Overheard(Box::new(Overheard { inner, to: Some(sender), behind, budget }));
            Body::Copy(Box::new(hearing))
        }
    };
    let (worker, front, cluster) = (Rc::clone(worker), Rc::clone(front), Arc::clone(cluster));
    tokio::task::spawn_local(async move {
        let sending = send(&worker, &front, &cluster, version, copy, heard);
        let counters = &worker.process.counters;
        match tokio::time::timeout(LIMIT, sending).await {
            Ok(true) => counters.mirrored_answered.inc(),
            Ok(false) => counters.mirrored_failed.inc(),
            Err(_) => counters.mirrored_given_up.inc(),
        }
        drop(place);
    });
}

/// One of [`COPIES`].
struct Place(Rc<Worker>);

impl Place {
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let process = &worker.process;
        if process.copies.fetch_add(1, Relaxed) >= COPIES {
            process.copies.fetch_sub(1, Relaxed);
            process.counters.limit_mirror.inc();
            process.counters.mirrored_given_up.inc();
            return None;
        }
        Some(Self(Rc::clone(worker)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.process.copies.fetch_sub(1, Relaxed);
    }
}

/// Whether it was answered, to the end.
async fn send(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    cluster: &Arc<crate::config::Cluster>,
    version: Version,
    head: request::Parts,
    body: Body,
) -> bool {
    let now = worker.time(Instant::now());
    let Ok(flight) = balance::take(worker, cluster, now, &Wish::default()) else { return false };
    let endpoint = Arc::clone(&flight.endpoint);
    let outgoing = Outgoing {
        cluster,
        endpoint: &endpoint,
        rule: None,
        upgrade: None,
        attempt: 0,
        remaining: Some(LIMIT),
        version,
        client: None,
        shown: None,
    };
    let mut message = Message::new(head, body, None);
    let Ok((response, lease)) = hop::send(worker, front, &outgoing, &mut message).await else { return false };
    let mut body = response.into_body();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if frame.is_err() {
            return false;
        }
    }
    lease.give_back(Instant::now());
    true
}

/// A body that tells a copy what is read of it.
pub struct Overheard {
    inner: Body,
    /// `None`: the copy was too slow, or is gone.
    to: Option<mpsc::Sender<Heard>>,
    /// Bytes that the copy has not taken yet.
    behind: Rc<Cell<usize>>,
    budget: Arc<Budget>,
}

/// What a copy hears, as its body.
pub struct Hearing {
    receiver: mpsc::Receiver<Heard>,
    behind: Rc<Cell<usize>>,
}

/// A piece of the body; the sender's end without a last one means that the body broke off.
pub enum Heard {
    /// Bytes, held for the copy.
    Data(Bytes, Held),
    /// The body is complete.
    End,
}

impl Overheard {
    /// Whether the body is at its end.
    pub fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// The next frame, told to the copy as well.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.tell(Heard::Data(data.clone(), self.budget.holder()));
                }
                if self.inner.is_end_stream() {
                    self.tell(Heard::End);
                    self.to = None;
                }
            }
            Poll::Ready(Some(Err(_))) => self.to = None,
            Poll::Ready(None) => {
                self.tell(Heard::End);
                self.to = None;
            }
            Poll::Pending => {}
        }
        polled
    }

    fn tell(&mut self, mut heard: Heard) {
        let behind = self.behind.get() + heard.len();
        let fits = (behind <= BEHIND_BYTES || self.behind.get() == 0) && heard.hold();
        self.behind.set(behind);
        if self.to.as_ref().is_some_and(|to| !fits || to.try_send(heard).is_err()) {
            self.to = None;
        }
    }
}

impl Heard {
    fn len(&self) -> usize {
        match self {
            Self::Data(data, _) => data.len(),
            Self::End => 0,
        }
    }

    /// Whether the process has room for it.
    fn hold(&mut self) -> bool {
        match self {
            Self::Data(data, held) => held.add(data.len()),
            Self::End => true,
        }
    }
}

impl Hearing {
    /// The next piece. Breaks off when the original does, or when the copy was too slow.
    pub fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.receiver.poll_recv(cx).map(|heard| match heard {
            Some(Heard::Data(data, _)) => {
                self.behind.set(self.behind.get().saturating_sub(data.len()));
                Some(Ok(Frame::data(data)))
            }
            Some(Heard::End) => None,
            None => Some(Err(BodyError::CopyEnded)),
        })
    }
}
