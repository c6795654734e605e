//! What can be relayed.

use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::detect::Prefixed;

/// A stream of bytes in both directions, either of which ends by itself.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes dropping it a reset instead of an orderly end, where that can be told apart.
    fn reset(&mut self) {}
}

impl Duplex for TcpStream {
    fn reset(&mut self) {
        // Fails only when the connection is gone, and then the other side knows.
        let _ = socket2::SockRef::from(&*self).set_linger(Some(Duration::ZERO));
    }
}

impl<S: Duplex> Duplex for Prefixed<S> {
    fn reset(&mut self) {
        self.get_mut().reset();
    }
}

impl Duplex for TokioIo<Upgraded> {}
