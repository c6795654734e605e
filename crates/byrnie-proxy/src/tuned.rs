//! What accepted connections inherit from their listening socket, so that no call is made for each of them.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use byrnie_net::socket::{DEFAULT_BACKLOG, tune};

/// Connections that may have been established before their socket was tuned: all that wait to be accepted.
const WAITING: u32 = DEFAULT_BACKLOG + 1;

/// How a listening socket is tuned.
#[derive(Default)]
pub struct Tuned {
    /// `None`: nothing is known of it.
    peer_timeout: Option<Duration>,
    /// Connections to come that may not have inherited it. They come in the order in which they were established.
    without: u32,
}

impl Tuned {
    /// Sees to it that this connection, which was just accepted, is tuned so; and the next ones.
    pub fn see_to(
        &mut self,
        listener: &impl AsFd,
        accepted: &impl AsFd,
        peer_timeout: Duration,
    ) -> io::Result<()> {
        if self.peer_timeout != Some(peer_timeout) {
            tune(listener, peer_timeout)?;
            *self = Self { peer_timeout: Some(peer_timeout), without: WAITING };
        }
        if self.without == 0 {
            return Ok(());
        }
        self.without -= 1;
        tune(accepted, peer_timeout)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_waits_is_tuned_and_what_comes_later_inherits_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accept = || listener.accept().unwrap().0;
        let (timeout, mut tuned) = (Duration::from_secs(9), Tuned::default());
        let is_tuned = |stream: &TcpStream| stream.nodelay().unwrap();
        let (_first, _second) = (connect(), connect());
        let (first, second) = (accept(), accept());
        assert!(!is_tuned(&first) && !is_tuned(&second), "the socket was as the kernel makes it");
        for stream in [&first, &second] {
            tuned.see_to(&listener, stream, timeout).unwrap();
            assert!(is_tuned(stream));
        }
        let _third = connect();
        assert!(is_tuned(&accept()), "inherited");
        // As long as anything may have waited, each is seen to; then none.
        let stream = accept_untuned();
        (2..WAITING).for_each(|_| tuned.see_to(&listener, &stream, timeout).unwrap());
        stream.set_nodelay(false).unwrap();
        tuned.see_to(&listener, &stream, timeout).unwrap();
        assert!(!is_tuned(&stream), "no call was made");
        tuned.see_to(&listener, &stream, timeout * 2).unwrap();
        assert!(is_tuned(&stream), "another time-out holds from now on");
    }

    fn accept_untuned() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }
}
