//! A request's body while the codec of an application's connection has it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::body::{Body, BodyError};
use crate::http::noting::Notes;

/// The codec drops it when it has sent all of it, or no more of it: until then the connection cannot be used again,
/// also when the answer is complete, and the notes say so.
pub struct Sending {
    body: Body,
    /// `None`: there was nothing to send.
    notes: Option<Arc<Notes>>,
}

impl Sending {
    /// About to be sent.
    pub fn new(body: Body, notes: &Arc<Notes>) -> Self {
        let is_whole = body.is_end_stream();
        notes.sends.store(!is_whole, Relaxed);
        Self { body, notes: (!is_whole).then(|| Arc::clone(notes)) }
    }

    /// It was not sent after all.
    pub fn take(mut self) -> Body {
        std::mem::replace(&mut self.body, Body::Empty)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(notes) = &self.notes {
            notes.sends.store(false, Relaxed);
        }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
