//! Sockets of the host's namespace, for workers that live in the workload's.
//!
//! A thread that stays there makes them when it is asked: a worker that went there and back itself would, for a moment,
//! be in the wrong place with everything else it does.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc;

use byrnie_net::capture::confine::{Powers, keep_only};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

/// Connections that wait for a socket; one takes some microseconds. Beyond, they are refused.
const WAITING: usize = 1024;

/// The thread, as the workers see it. It ends with this.
pub struct Outside(mpsc::SyncSender<Question>);

struct Question {
    v6: bool,
    answer: oneshot::Sender<io::Result<TcpSocket>>,
}

impl Outside {
    /// Starts the thread, in the namespace of the calling one.
    pub fn start() -> io::Result<Self> {
        let (sender, questions) = mpsc::sync_channel::<Question>(WAITING);
        std::thread::Builder::new().name("outside".into()).spawn(move || {
            if let Err(error) = keep_only(Powers::default()) {
                return tracing::error!(%error, "the thread in the host's network namespace keeps too much power");
            }
            for Question { v6, answer } in questions {
                let _ = answer.send(open(v6));
            }
        })?;
        Ok(Self(sender))
    }

    /// A socket for a TCP connection.
    pub async fn socket(&self, v6: bool) -> io::Result<TcpSocket> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the thread in the host's network namespace is gone");
        match self.0.try_send(Question { v6, answer }) {
            Ok(()) => answered.await.map_err(|_| gone())?,
            Err(mpsc::TrySendError::Full(_)) => Err(io::Error::other("too many connections begin at once")),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(gone()),
        }
    }
}

fn open(v6: bool) -> io::Result<TcpSocket> {
    let domain = if v6 { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(TcpSocket::from_std_stream(std::net::TcpStream::from(OwnedFd::from(socket))))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn as_many_as_fit_wait_for_a_socket_and_the_next_one_is_refused() {
        let (sender, questions) = mpsc::sync_channel(WAITING);
        let outside = Outside(sender);
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(outside.socket(false))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        let refused = outside.socket(false).now_or_never().unwrap().unwrap_err();
        assert!(refused.to_string().contains("too many"), "{refused}");
        for Question { v6, answer } in questions.try_iter() {
            answer.send(open(v6)).unwrap();
        }
        for one in waiting {
            one.await.unwrap();
        }
        drop(questions);
        assert!(outside.socket(true).await.is_err(), "the thread is gone");
    }
}
