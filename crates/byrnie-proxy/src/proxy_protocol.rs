//! The PROXY protocol (haproxy.org, proxy-protocol.txt): who the client is, said once at the begin of a connection.
//! Headers are read and written by the crate `ppp`, and only here; what is to be believed is decided by the settings.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use byrnie_plan::ProxyHeader;
use ppp::{v1, v2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest header, in bytes. Version 1 ends after 107; version 2 may add what we do not read.
const LONGEST: usize = 4096;
/// Bytes that are looked at at once.
const CHUNK: usize = 512;

/// Why a connection is not served.
#[derive(Debug)]
pub enum Refusal {
    /// It does not begin with a header.
    Malformed(String),
    /// The header is longer than any that is needed.
    TooLong,
    /// It was not there in time.
    Late(Duration),
    /// The connection ended before.
    Gone(io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "no header of the PROXY protocol: {why}"),
            Self::TooLong => write!(f, "a header of the PROXY protocol of more than {LONGEST} bytes"),
            Self::Late(limit) => write!(f, "no header of the PROXY protocol within {limit:?}"),
            Self::Gone(error) => write!(f, "the client went away before its PROXY header: {error}"),
        }
    }
}

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// All of them belong to a header that goes on.
    More,
    /// A header of so many bytes, and the client that it names. `None`: it speaks for nobody (`LOCAL`, `UNKNOWN`), or
    /// for one without IP address.
    Whole(usize, Option<SocketAddr>),
    /// No header.
    Malformed(String),
    /// Too long a header.
    TooLong,
}

/// Looks at what a connection begins with.
pub fn look(bytes: &[u8]) -> Look {
    match bytes.first() {
        None => Look::More,
        Some(b'P') => look1(bytes),
        Some(_) => look2(bytes),
    }
}

fn look1(bytes: &[u8]) -> Look {
    let malformed = |why: &dyn fmt::Display| Look::Malformed(format!("version 1: {why}"));
    let is_begin = b"PROXY ".starts_with(bytes.get(..bytes.len().min(6)).unwrap_or_default());
    if !is_begin {
        return malformed(&"it does not begin with PROXY");
    }
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() < 107 { Look::More } else { malformed(&"its line does not end") };
    };
    let line = bytes.get(..=end).unwrap_or_default();
    // What Rust reads as a number, and other programs do not.
    if line.contains(&b'+') {
        return malformed(&"a signed port");
    }
    match v1::Header::try_from(line) {
        // It may end where this one does, and nowhere before.
        Ok(header) if header.header.len() == line.len() => Look::Whole(line.len(), client1(&header)),
        Ok(_) => malformed(&"CR within its line"),
        Err(error) => malformed(&error),
    }
}

fn client1(header: &v1::Header<'_>) -> Option<SocketAddr> {
    match header.addresses {
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some(canonical(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Unknown => None,
    }
}

fn look2(bytes: &[u8]) -> Look {
    if bytes.starts_with(v2::PROTOCOL_PREFIX)
        && let Some([high, low]) = bytes.get(14..16)
        && usize::from(u16::from_be_bytes([*high, *low])) + 16 > LONGEST
    {
        return Look::TooLong;
    }
    match v2::Header::try_from(bytes) {
        Ok(header) if header.protocol == v2::Protocol::Datagram => {
            Look::Malformed("version 2: for datagrams".to_owned())
        }
        Ok(header) => Look::Whole(header.len(), client2(&header)),
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => Look::More,
        Err(error) => Look::Malformed(format!("version 2: {error}")),
    }
}

fn client2(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
            Some(canonical(ip.source_address.into(), ip.source_port))
        }
        _ => None,
    }
}

fn canonical(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

/// Reads the header that a connection must begin with, and nothing behind it.
pub async fn read(stream: &mut TcpStream, limit: Duration) -> Result<Option<SocketAddr>, Refusal> {
    match tokio::time::timeout(limit, header(stream)).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::Late(limit)),
    }
}

async fn header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Refusal> {
    let mut held = Vec::new();
    loop {
        let before = held.len();
        held.resize(before + CHUNK, 0);
        let seen = stream.peek(held.get_mut(before..).unwrap_or_default()).await.map_err(Refusal::Gone)?;
        if seen == 0 {
            return Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        held.truncate(before + seen);
        let (length, client) = match look(&held) {
            // All of it is the header's, so that it can be taken off, and the next look waits for more.
            Look::More => (held.len(), None),
            Look::Whole(length, client) => (length, Some(client)),
            Look::Malformed(why) => return Err(Refusal::Malformed(why)),
            Look::TooLong => return Err(Refusal::TooLong),
        };
        let part = held.get_mut(before..length).unwrap_or_default();
        stream.read_exact(part).await.map_err(Refusal::Gone)?;
        if let Some(client) = client {
            return Ok(client);
        }
    }
}

/// What a connection to an application begins with: client and the address that it called, or that it speaks for
/// nobody in particular.
pub fn written(version: ProxyHeader, ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let ends = ends.map(|(from, to)| alike(from, to));
    match (version, ends) {
        (ProxyHeader::Off, _) => Vec::new(),
        (ProxyHeader::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (ProxyHeader::V1, Some(ends)) => v1::Addresses::from(ends).to_string().into_bytes(),
        (ProxyHeader::V2, None) => {
            built(v2::Builder::new(v2::Version::Two | v2::Command::Local, UNSPECIFIED))
        }
        (ProxyHeader::V2, Some(ends)) => built(v2::Builder::with_addresses(
            v2::Version::Two | v2::Command::Proxy,
            v2::Protocol::Stream,
            ends,
        )),
    }
}

/// AF_UNSPEC, UNSPEC.
const UNSPECIFIED: u8 = 0;

/// Building fails for longer payloads only.
fn built(builder: v2::Builder) -> Vec<u8> {
    builder.build().unwrap_or_default()
}

/// Both of one family: of two IPv4 addresses none is mapped, of two different ones both are.
fn alike(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (from, to) = (canonical(from.ip(), from.port()), canonical(to.ip(), to.port()));
    if from.is_ipv4() == to.is_ipv4() {
        return (from, to);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(from), mapped(to))
}

/// Begins a connection to an application.
pub async fn write(
    stream: &mut TcpStream,
    version: ProxyHeader,
    client: Option<SocketAddr>,
) -> io::Result<()> {
    if version == ProxyHeader::Off {
        return Ok(());
    }
    let to = stream.peer_addr()?;
    stream.write_all(&written(version, client.map(|client| (client, to)))).await
}

#[cfg(test)]
mod tests;
