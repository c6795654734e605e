//! Connections of bytes: an application that sends back what it gets, and a client of it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Sends back what it gets, after a banner, if it has one. To an HTTP request for an upgrade it answers 101 first.
pub struct Echo {
    pub port: u16,
}

impl Echo {
    pub fn start(banner: &'static str) -> Self {
        Self::serving(move |stream| stream.write_all(banner.as_bytes()))
    }

    /// An application of HTTP that agrees to every upgrade.
    pub fn after_upgrade() -> Self {
        Self::serving(|stream| {
            head(stream)?;
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(answer.as_bytes())
        })
    }

    /// An application of HTTP that grants every CONNECT, and nothing else.
    pub fn after_connect() -> Self {
        Self::serving(|stream| match head(stream)?.starts_with(b"CONNECT ") {
            true => stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"),
            false => stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"),
        })
    }

    fn serving(greet: impl Fn(&mut TcpStream) -> io::Result<()> + Copy + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    greet(&mut stream)?;
                    let mut reader = stream.try_clone()?;
                    io::copy(&mut reader, &mut stream)
                });
            }
        });
        Self { port }
    }
}

/// Reads to the end of a head.
fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

/// A client that waits at most ten seconds for anything.
pub struct Bytes(TcpStream);

impl Bytes {
    pub fn open(address: &str) -> Self {
        Self::try_open(address).unwrap()
    }

    pub fn try_open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Asks for a WebSocket and reads the head of the answer.
    pub fn upgrade(address: &str, path: &str) -> Self {
        let mut bytes = Self::open(address);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        bytes.send(&head).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            answer.push_str(&bytes.receive(1).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        bytes
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }

    /// Exactly that many bytes.
    pub fn receive(&mut self, length: usize) -> io::Result<String> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The same, whatever bytes they are.
    pub fn receive_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A line with its end.
    pub fn receive_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        while !line.ends_with('\n') {
            line.push_str(&self.receive(1)?);
        }
        Ok(line)
    }

    /// All until the connection ends, however it ends.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a text and reads it back.
    pub fn echoes(&mut self, text: &str) -> io::Result<()> {
        self.send(text)?;
        let back = self.receive(text.len())?;
        if back == text { Ok(()) } else { Err(io::Error::other(format!("{back:?} instead of {text:?}"))) }
    }
}
