//! TCP sockets as a proxy wants them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait to be accepted, when nothing else is said. The kernel cuts it to `net.core.somaxconn`.
pub const DEFAULT_BACKLOG: u32 = 1024;

/// Within which time a vanished peer is noticed, when nothing else is said.
pub const DEFAULT_PEER_TIMEOUT: Duration = Duration::from_secs(9);

/// The shortest such time: the kernel counts keepalive in seconds.
pub const MIN_PEER_TIMEOUT: Duration = Duration::from_secs(3);

/// A non-blocking listening socket (`SO_REUSEADDR`, close-on-exec), ready for `tokio::net::TcpListener::from_std`.
/// `backlog` is in connections, see [`DEFAULT_BACKLOG`]. An IPv6 address listens for IPv6 only.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// An inherited descriptor as a listener, non-blocking. Refuses what is not a listening TCP socket.
pub fn listener_from(descriptor: OwnedFd) -> io::Result<TcpListener> {
    let socket = Socket::from(descriptor);
    let is_tcp = socket.r#type()? == Type::STREAM && matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6);
    if !is_tcp || !socket.is_listener()? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the descriptor is not a listening TCP socket",
        ));
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Where the program that made this connection wanted to go, before rules of this machine redirected it here; the
/// connection's own address where none did. Fails where nothing tracks connections.
pub fn original_destination(stream: &impl AsFd) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let local = socket.local_addr()?;
    let original = match local.domain() {
        Domain::IPV6 => socket.original_dst_v6(),
        _ => socket.original_dst_v4(),
    };
    match original {
        Ok(original) => original.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into()),
        // Never redirected, so the tracker has nothing to say about it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            local.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
        }
        Err(error) => Err(error),
    }
}

/// A connection's number, to ask about its other end while something else owns the connection.
#[derive(Clone, Copy, Debug)]
pub struct Watched(RawFd);

/// What the other end of a connection did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherEnd {
    /// Nothing that we know of.
    Here,
    /// It will send no more: it waits for what we send, or has gone; that cannot be told before we send something.
    Finished,
    /// It reset the connection.
    Gone,
}

impl Watched {
    /// The number of this connection.
    pub fn new(stream: &impl AsFd) -> Self {
        Self(stream.as_fd().as_raw_fd())
    }

    /// Whether something has come that was not read. To be asked only while the connection's owner lives.
    pub fn has_unread(self) -> bool {
        // SAFETY: as below.
        let socket = unsafe { BorrowedFd::borrow_raw(self.0) };
        rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes > 0)
    }

    /// Looks, without reading. To be asked only while the connection's owner lives.
    pub fn other_end(self) -> OtherEnd {
        // SAFETY: nothing is read, written or closed. The caller keeps the connection; if it did not, the kernel would
        // say that the number is not open or speak of another socket, and no more would come of it.
        let socket = unsafe { BorrowedFd::borrow_raw(self.0) };
        let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !poll(&mut asked, Some(&at_once)).is_ok_and(|ready| ready > 0) {
            return OtherEnd::Here;
        }
        let [said] = asked.map(|asked| asked.revents());
        if said.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            OtherEnd::Gone
        } else {
            OtherEnd::Finished
        }
    }
}

/// Marks what this socket sends, for the rules of this machine. Needs CAP_NET_ADMIN.
pub fn set_mark(socket: &impl AsFd, mark: u32) -> io::Result<()> {
    SockRef::from(socket).set_mark(mark)
}

/// Gives this socket an address that need not be this machine's (`IP_TRANSPARENT`). Where the port is taken, the kernel
/// chooses another one. Needs CAP_NET_ADMIN.
pub fn bind_as(socket: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    let socket = SockRef::from(socket);
    match address {
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    match socket.bind(&address.into()) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            socket.bind(&SocketAddr::new(address.ip(), 0).into())
        }
        bound => bound,
    }
}

/// An inherited descriptor as a UDP socket, non-blocking. Refuses what is none.
pub fn udp_from(descriptor: OwnedFd) -> io::Result<UdpSocket> {
    let socket = Socket::from(descriptor);
    if socket.r#type()? != Type::DGRAM || !matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the descriptor is not a UDP socket"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Sets up a connection of either side: no Nagle delay, and a peer that has vanished (its host, or the way to it) is
/// noticed within `peer_timeout`, whether data is on its way or nothing moves. Costs six system calls; connections
/// inherit all of it from a listening socket that was set up before they were established.
pub fn tune(socket: &impl AsFd, peer_timeout: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    // Probes at idle, idle + interval, …. The first one after the user timeout without an answer ends the connection
    // (tcp(7)): one interval before the time is over at the latest.
    let seconds = peer_timeout.max(MIN_PEER_TIMEOUT).as_secs();
    let (idle, interval) = ((seconds / 3).max(1), (seconds / 4).max(1));
    let user_timeout = seconds - interval;
    let probes = u32::try_from(user_timeout / interval + 1).unwrap_or(u32::MAX);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(idle))
        .with_interval(Duration::from_secs(interval))
        .with_retries(probes.min(127));
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(user_timeout)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_listener_goes_through_a_descriptor_and_still_accepts() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), DEFAULT_BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let again = listener_from(OwnedFd::from(listener)).unwrap();
        assert_eq!(again.local_addr().unwrap(), address);
        let (accepted, peer) = again.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        for (timeout, idle, interval, user) in [(9, 3, 2, 7), (3, 1, 1, 2), (0, 1, 1, 2), (60, 20, 15, 45)] {
            tune(&accepted, Duration::from_secs(timeout)).unwrap();
            let socket = SockRef::from(&accepted);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(idle), "{timeout}");
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(interval), "{timeout}");
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(user)), "{timeout}");
        }
        tune(&accepted, Duration::from_secs(86_400)).unwrap();
    }

    /// Linux does it; it is nowhere promised.
    #[test]
    fn connections_inherit_all_that_their_listening_socket_was_told() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = listen(address.parse().unwrap(), DEFAULT_BACKLOG) else { continue };
            let accepted = || {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (stream, _) = listener.accept().unwrap();
                let socket = SockRef::from(&stream);
                let times = (socket.tcp_keepalive_time(), socket.tcp_keepalive_interval());
                let said = (
                    socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap(),
                    (times.0.unwrap().as_secs(), times.1.unwrap().as_secs()),
                    socket.tcp_keepalive_retries().unwrap(),
                    socket.tcp_user_timeout().unwrap().map(|timeout| timeout.as_secs()),
                );
                drop(client);
                said
            };
            assert!(!accepted().0);
            for (timeout, said) in [(9, (true, (3, 2), 4, Some(7))), (60, (true, (20, 15), 4, Some(45)))] {
                tune(&listener, Duration::from_secs(timeout)).unwrap();
                assert_eq!(accepted(), said, "{address}");
            }
        }
    }

    #[test]
    fn only_a_listening_tcp_socket_is_taken() {
        let (left, _right) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(listener_from(left.into()).is_err());
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(listener_from(udp.into()).is_err());
        let listener = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener_from(client.into()).is_err());
        assert!(listener_from(std::fs::File::open("/dev/null").unwrap().into()).is_err());
    }

    #[test]
    fn only_a_udp_socket_is_taken_for_one() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        assert_eq!(udp_from(udp.into()).unwrap().local_addr().unwrap(), address);
        assert!(udp_from(TcpListener::bind("127.0.0.1:0").unwrap().into()).is_err());
        assert!(udp_from(std::os::unix::net::UnixDatagram::unbound().unwrap().into()).is_err());
    }

    #[test]
    fn a_used_port_is_refused() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let error = listen(first.local_addr().unwrap(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn as_many_connections_wait_to_be_accepted_as_the_backlog_says() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), DEFAULT_BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        let most: u32 =
            std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
        // What a client closes waits all the same, and takes no descriptor here. One more than the number fits.
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(2));
        for number in 0..=DEFAULT_BACKLOG.min(most) {
            connect().unwrap_or_else(|error| panic!("{number}: {error}"));
        }
        assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::TimedOut);
        listener.accept().unwrap();
        connect().unwrap();
    }
}
