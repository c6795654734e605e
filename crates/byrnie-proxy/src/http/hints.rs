//! 103 (Early Hints): from an upstream's stream to the client's, where both are HTTP/2.
//!
//! A stream's task polls the upstream within itself, so what is heard while it is polled is for its client: no channel,
//! nothing to allocate, one look at a flag where there are none. HTTP/1's codec can neither write 103 nor, without two
//! allocations for each request, hear of it.

use std::cell::{Cell, RefCell};

use http::{Response, StatusCode};

use super::headers::{strip_hop_by_hop, strip_mesh_headers};

/// Hints that one request passes on at most: what is written and not read yet is held.
pub const MOST: usize = 16;

/// What the task that is running has heard.
#[derive(Default)]
pub struct Hints {
    /// Whether its client can be told.
    wanted: Cell<bool>,
    heard: RefCell<Vec<Response<()>>>,
}

impl Hints {
    /// Polls with open ears.
    pub fn listen<T>(&self, poll: impl FnOnce() -> T) -> T {
        self.wanted.set(true);
        let polled = poll();
        self.wanted.set(false);
        polled
    }

    /// Whether anybody wants to hear.
    pub fn wanted(&self) -> bool {
        self.wanted.get()
    }

    /// An interim response has come. Others than 103 are for one connection.
    pub fn hear(&self, mut interim: Response<()>) {
        let mut heard = self.heard.borrow_mut();
        if interim.status() == StatusCode::EARLY_HINTS && self.wanted.get() && heard.len() < MOST {
            strip_hop_by_hop(interim.headers_mut());
            strip_mesh_headers(interim.headers_mut());
            heard.push(interim);
        }
    }

    /// What was heard.
    pub fn take(&self) -> Vec<Response<()>> {
        if self.heard.borrow().is_empty() { Vec::new() } else { self.heard.take() }
    }
}
