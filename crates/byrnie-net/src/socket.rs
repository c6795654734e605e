//! TCP sockets as a proxy wants them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that may wait to be accepted, when nothing else is said. The kernel cuts it to `net.core.somaxconn`.
pub const DEFAULT_BACKLOG: u32 = 1024;

/// How long sent data may stay unacknowledged before the connection counts as dead.
pub const DEFAULT_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle time before the first keepalive probe, and the time between probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

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

/// An inherited descriptor as a UDP socket, non-blocking. Refuses what is none.
pub fn udp_from(descriptor: OwnedFd) -> io::Result<UdpSocket> {
    let socket = Socket::from(descriptor);
    if socket.r#type()? != Type::DGRAM || !matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the descriptor is not a UDP socket"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Sets up a connection of either side: no Nagle delay, keepalive (a vanished idle peer is noticed within 30 s),
/// and `user_timeout` for one that vanishes while data is on its way. Costs four system calls.
pub fn tune(stream: &impl AsFd, user_timeout: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(user_timeout))
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
        tune(&accepted, DEFAULT_USER_TIMEOUT).unwrap();
        assert!(accepted.nodelay().unwrap());
        assert_eq!(SockRef::from(&accepted).tcp_user_timeout().unwrap(), Some(DEFAULT_USER_TIMEOUT));
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
}
