//! HTTP/2 written frame by frame, without a library that would refuse to be rude.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::site::connect;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A client's side of a connection.
pub struct Frames {
    pub stream: TcpStream,
}

impl Frames {
    /// Preface and these settings, and the one that makes every head of an answer literal.
    pub fn open(address: &str, settings: &[(u16, u32)]) -> Self {
        let mut stream = connect(address);
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut frames = Self { stream };
        let payload: Vec<u8> = [(1, 0)]
            .iter()
            .chain(settings)
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frames.send(SETTINGS, 0, 0, &payload).unwrap();
        frames
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(kind, flags, stream, payload))
    }

    /// A request with these fields.
    pub fn request(&mut self, stream: u32, flags: u8, fields: &[(&str, &[u8])]) -> io::Result<()> {
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields))
    }

    /// The next frame; `None`: the connection ended.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], stream, payload })
    }

    /// How the stream was answered: the first frame of headers or its reset, or that the connection ended.
    pub fn fate(&mut self, stream: u32) -> Fate {
        while let Some(frame) = self.next() {
            match frame.kind {
                HEADERS if frame.stream == stream => return Fate::Answered(status(&frame.payload)),
                RESET if frame.stream == stream => return Fate::Reset,
                GOAWAY => return Fate::Closed,
                _ => {}
            }
        }
        Fate::Closed
    }

    /// Whether the other side has closed the connection, once all that it said is read.
    pub fn has_ended(&mut self) -> bool {
        let mut sink = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut sink) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Writes the same bytes until `limit` of them are sent or the other side has had enough; how many went.
    pub fn flood(&mut self, bytes: &[u8], limit: usize) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let (mut sent, mut stuck) = (0, 0);
        let mut sink = [0; 64 * 1024];
        while sent < limit && stuck < 100 {
            match self.stream.write(bytes) {
                Ok(wrote) => (sent, stuck) = (sent + wrote, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stuck += 1;
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                Err(_) => break,
            }
            if wants_to_read(bytes) {
                let _ = self.stream.read(&mut sink);
            }
        }
        self.stream.set_nonblocking(false).unwrap();
        sent
    }
}

/// A flood of acknowledged frames never reads the acknowledgements.
fn wants_to_read(bytes: &[u8]) -> bool {
    !matches!(bytes.get(3), Some(&PING | &SETTINGS))
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Answered(u16),
    Reset,
    Closed,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Literal fields, never indexed, never compressed.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name.as_bytes());
        text(&mut block, value);
    }
    block
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    number(block, 0, 7, text.len());
    block.extend_from_slice(text);
}

/// An integer with a prefix of so many bits (RFC 7541 section 5.1).
pub fn number(block: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        return block.push(first | u8::try_from(number).unwrap());
    }
    block.push(first | u8::try_from(most).unwrap());
    let mut rest = number - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The status at the begin of a block, as h2 writes it: from the static table, or a literal.
fn status(block: &[u8]) -> u16 {
    // The table's new size.
    let block = block.strip_prefix(&[0x20]).unwrap_or(block);
    match block.first() {
        Some(first @ 0x88..=0x8e) => [200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)],
        // A literal with the name of the static table: three digits, compressed or not.
        Some(_) if block.get(1) == Some(&3) => String::from_utf8_lossy(&block[2..5]).parse().unwrap_or(0),
        Some(_) => digits(block.get(2..).unwrap_or_default()),
        None => 0,
    }
}

/// Digits in the code of RFC 7541, appendix B: 0, 1 and 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> =
        bytes.iter().take(3).flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let value =
            |count: usize| bits[at..at + count].iter().fold(0u16, |all, bit| all * 2 + u16::from(*bit));
        let (digit, used) = if value(5) < 3 { (value(5), 5) } else { (value(6) - 0x19 + 3, 6) };
        number = number * 10 + digit;
        at += used;
    }
    number
}

/// The fields of a GET.
pub fn get(path: &str) -> [(&'static str, &[u8]); 4] {
    [(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", path.as_bytes())]
}
