//! HTTP/1.x as strictly as RFC 9112 has it, judged on the bytes before the codec sees them. Pure.
//!
//! The codec forgives what two parsers read differently: a line that ends with LF alone, a second Content-Length, a
//! Content-Length beside Transfer-Encoding. [`Guard`] follows the framing of one direction of a connection, looks at
//! each line once and at no body, and refuses all of that. What the codec refuses itself (odd names and values, folded
//! lines, spaces before a colon) is left to it; tests hold both to it.

mod target;

use std::fmt;

use memchr::memchr;

use self::target::Target;

/// Which direction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Requests of a client.
    Requests,
    /// Responses of an application.
    Responses,
}

/// What a client's or application's bytes are refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// LF without CR before it, or CR within a line of the chunked framing.
    BareLineEnd = 1,
    /// Empty lines before a message: one is allowed before a request.
    EmptyLines,
    /// `#` in the target.
    Fragment,
    /// Content-Length twice, even with the same number.
    TwoLengths,
    /// Content-Length is not a plain number: digits, none of them a leading zero, within 63 bits.
    BadLength,
    /// Content-Length beside Transfer-Encoding.
    LengthAndCoding,
    /// Transfer-Encoding other than `chunked`, once.
    BadCoding,
    /// Transfer-Encoding in HTTP/1.0.
    CodingIn10,
    /// A chunk's size is not a plain hexadecimal number, or what follows is no extension.
    BadChunkSize,
    /// A chunk goes on where its size says that it ends.
    BadChunkEnd,
    /// A trailer that says something about framing or routing.
    BadTrailer,
    /// A line longer than a whole head may be.
    LongLine,
    /// A response without a request.
    Unasked,
    /// Bytes behind a request to switch protocols that was not granted.
    Premature,
    /// A target whose form the method does not have, or of a scheme that is not HTTP's.
    BadTarget,
    /// A target longer than a whole head may be.
    LongTarget,
}

impl Refusal {
    /// All of them, in the order of their numbers, which begin with 1.
    const ALL: [Self; 16] = [
        Self::BareLineEnd,
        Self::EmptyLines,
        Self::Fragment,
        Self::TwoLengths,
        Self::BadLength,
        Self::LengthAndCoding,
        Self::BadCoding,
        Self::CodingIn10,
        Self::BadChunkSize,
        Self::BadChunkEnd,
        Self::BadTrailer,
        Self::LongLine,
        Self::Unasked,
        Self::Premature,
        Self::BadTarget,
        Self::LongTarget,
    ];

    /// The one with this number; `None` for 0.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareLineEnd => "a line does not end with CR LF",
            Self::EmptyLines => "empty lines before the message",
            Self::Fragment => "a fragment (#) in the target",
            Self::TwoLengths => "more than one Content-Length",
            Self::BadLength => "Content-Length is not a plain number",
            Self::LengthAndCoding => "Content-Length beside Transfer-Encoding",
            Self::BadCoding => "Transfer-Encoding is something other than chunked",
            Self::CodingIn10 => "Transfer-Encoding in HTTP/1.0",
            Self::BadChunkSize => "a chunk's size is not a plain hexadecimal number",
            Self::BadChunkEnd => "a chunk is longer than its size",
            Self::BadTrailer => "a trailer that belongs into the head",
            Self::LongLine => "a line is too long",
            Self::Unasked => "a response without a request",
            Self::Premature => "bytes behind a request to switch protocols that was not granted",
            Self::BadTarget => "a target that does not fit the method",
            Self::LongTarget => "the target is too long",
        })
    }
}

/// Follows one direction of a connection.
pub struct Guard {
    side: Side,
    state: State,
    /// The begin of a line whose end has not come.
    carry: Vec<u8>,
    /// Longest line, in bytes.
    limit: usize,
    head: Head,
}

/// What a response belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To nothing.
    Nothing,
    /// To a request.
    Request,
    /// To a HEAD, whose response has no body.
    Head,
    /// To a CONNECT, whose success is followed by no HTTP.
    Connect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first line of a message; `true`: after an empty one.
    First(bool),
    /// A line of the head.
    Header,
    /// Body of known length, or a chunk's data: so many bytes more.
    Data { left: u64, chunked: bool },
    /// The line with a chunk's size.
    ChunkSize,
    /// The end of a chunk's data.
    ChunkEnd,
    /// A line behind the last chunk.
    Trailer,
    /// Behind a request to switch protocols, until it is decided.
    Held,
    /// Bytes that are no HTTP/1, or a body that ends with the connection.
    Free,
    /// Refused, in a head or behind one.
    Dead { why: Refusal, in_head: bool },
}

#[derive(Clone, Copy, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
    version10: bool,
    switch: bool,
    about_server: bool,
    status: u16,
}

impl Guard {
    /// At the begin of a connection. `limit` bounds a line, in bytes.
    pub fn new(side: Side, limit: usize) -> Self {
        Self { side, state: State::First(false), carry: Vec::new(), limit, head: Head::default() }
    }

    /// How many of the bytes may be handed on; when it is fewer than all, the rest is refused ([`Guard::refused`]),
    /// waits for a decision ([`Guard::is_held`]), or is of the next request ([`Guard::is_at_start`]), to be taken by
    /// itself. `asked` is called for each response that begins, and says what it belongs to; `answered` when a final
    /// one has begun.
    pub fn take(&mut self, bytes: &[u8], asked: impl Fn() -> Asked, answered: impl Fn()) -> usize {
        let mut at = 0;
        // Where the message began whose head is being read: what is refused of it is handed on not even in part.
        let mut begin = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if at > 0 && self.side == Side::Requests && self.is_at_start() {
                return at;
            }
            match &mut self.state {
                State::Free => return bytes.len(),
                State::Held | State::Dead { .. } => return at,
                State::Data { left, chunked } => {
                    let taken = (*left).min(rest.len() as u64);
                    *left -= taken;
                    at += usize::try_from(taken).unwrap_or(rest.len());
                    if *left == 0 {
                        self.state = if *chunked { State::ChunkEnd } else { State::First(false) };
                    }
                }
                state => {
                    let in_head = matches!(state, State::First(_) | State::Header);
                    if matches!(state, State::First(_)) && self.carry.is_empty() {
                        begin = at;
                        if self.side == Side::Responses && asked() == Asked::Nothing {
                            self.state = State::Dead { why: Refusal::Unasked, in_head };
                            return at;
                        }
                    }
                    match self.take_line(rest, &asked, &answered) {
                        Ok(taken) => at += taken,
                        Err(why) => {
                            let is_long = matches!(why, Refusal::LongLine | Refusal::LongTarget);
                            self.state = State::Dead { why, in_head };
                            return match (in_head, self.side) {
                                // The codec has a word of its own for a head that is too large, once it has it.
                                (true, Side::Requests) if is_long => at + line_in(rest).len(),
                                (true, _) => begin,
                                (false, _) => at,
                            };
                        }
                    }
                }
            }
        }
        bytes.len()
    }

    /// The same for all messages that these bytes have.
    #[cfg(test)]
    pub fn take_all(&mut self, bytes: &[u8], asked: impl Fn() -> Asked, answered: impl Fn()) -> usize {
        let mut at = 0;
        loop {
            at += self.take(&bytes[at..], &asked, &answered);
            if at == bytes.len() || !self.is_at_start() {
                return at;
            }
        }
    }

    /// Why the rest is refused, and whether that is within a message's head.
    pub fn refused(&self) -> Option<(Refusal, bool)> {
        match self.state {
            State::Dead { why, in_head } => Some((why, in_head)),
            _ => None,
        }
    }

    /// Whether bytes wait until it is decided about a switch of protocols.
    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// Whether nothing is looked at any more.
    pub fn is_free(&self) -> bool {
        self.state == State::Free
    }

    /// Whether the other side may still have something to say of its message.
    pub fn is_within_message(&self) -> bool {
        !matches!(self.state, State::First(_) | State::Free) || !self.carry.is_empty()
    }

    /// Whether nothing of a message has come, not even what may stand before one.
    pub fn is_at_start(&self) -> bool {
        matches!(self.state, State::First(false)) && self.carry.is_empty()
    }

    /// Whether a head has begun and is not complete.
    pub fn is_within_head(&self) -> bool {
        match self.state {
            State::Header => true,
            State::First(_) => !self.carry.is_empty(),
            _ => false,
        }
    }

    /// Whether the last head is about the host that its URI names, and no path of it: `OPTIONS http://host`.
    pub fn is_about_server(&self) -> bool {
        self.head.about_server
    }

    /// The protocol was switched: what follows is no HTTP.
    pub fn release(&mut self) {
        self.state = State::Free;
    }

    /// The protocol was not switched, and nothing has come since: the next message may.
    pub fn go_on(&mut self) {
        self.state = State::First(false);
    }

    /// The protocol was not switched, but its bytes have come: whatever they are, they are no request.
    pub fn refuse_premature(&mut self) {
        self.state = State::Dead { why: Refusal::Premature, in_head: false };
    }

    /// Takes a line or the begin of one: so many bytes of it are in `rest`.
    fn take_line(
        &mut self,
        rest: &[u8],
        asked: &impl Fn() -> Asked,
        answered: &impl Fn(),
    ) -> Result<usize, Refusal> {
        let part = line_in(rest);
        let is_whole = part.ends_with(b"\n");
        // One that is as long as it may be and has no end will be longer.
        if self.carry.len() + part.len() + usize::from(!is_whole) > self.limit {
            return Err(self.too_long(part));
        }
        if !is_whole {
            self.carry.extend_from_slice(part);
        } else if self.carry.is_empty() {
            self.line(part, asked, answered)?;
        } else {
            let mut line = std::mem::take(&mut self.carry);
            line.extend_from_slice(part);
            self.line(&line, asked, answered)?;
        }
        Ok(part.len())
    }

    /// What a line is refused for that is too long and ends with this.
    fn too_long(&self, part: &[u8]) -> Refusal {
        // Not further than what would be looked at if it came byte by byte.
        let part = part.get(..self.limit.saturating_sub(self.carry.len())).unwrap_or(part);
        let has_target = || memchr(b' ', &self.carry).is_some() || memchr(b' ', part).is_some();
        match (self.side, self.state) {
            (Side::Requests, State::First(_)) if has_target() => Refusal::LongTarget,
            _ => Refusal::LongLine,
        }
    }

    fn line(&mut self, line: &[u8], asked: &impl Fn() -> Asked, answered: &impl Fn()) -> Result<(), Refusal> {
        let [text @ .., b'\r', b'\n'] = line else { return Err(Refusal::BareLineEnd) };
        match self.state {
            State::Header if text.is_empty() => self.end_of_head(asked, answered)?,
            State::Header => self.header(text)?,
            State::First(seen) if text.is_empty() => {
                if seen || self.side == Side::Responses {
                    return Err(Refusal::EmptyLines);
                }
                self.state = State::First(true);
            }
            State::First(_) => self.first_line(text)?,
            State::ChunkSize => {
                self.state = match chunk_size(text)? {
                    0 => State::Trailer,
                    left => State::Data { left, chunked: true },
                };
            }
            State::ChunkEnd if text.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(Refusal::BadChunkEnd),
            State::Trailer if text.is_empty() => self.state = State::First(false),
            State::Trailer if belongs_into_head(text) => return Err(Refusal::BadTrailer),
            _ => {}
        }
        Ok(())
    }

    fn first_line(&mut self, text: &[u8]) -> Result<(), Refusal> {
        self.head = Head::default();
        self.state = State::Header;
        match self.side {
            Side::Requests => {
                self.head.version10 = text.ends_with(b"/1.0");
                self.head.switch = text.starts_with(b"CONNECT ");
                let end = memchr(b' ', text).unwrap_or(text.len());
                let (method, rest) =
                    (text.get(..end).unwrap_or(text), text.get(end + 1..).unwrap_or_default());
                // A method may hold one, a target not.
                if memchr(b'#', rest).is_some() {
                    return Err(Refusal::Fragment);
                }
                let target = target::judge(method, rest);
                self.head.about_server = target == Target::Server;
                if target == Target::Misfit { Err(Refusal::BadTarget) } else { Ok(()) }
            }
            Side::Responses => {
                self.head.version10 = text.starts_with(b"HTTP/1.0");
                let status =
                    text.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                self.head.status = status.unwrap_or_default();
                Ok(())
            }
        }
    }

    /// Of all headers only those that say where the message ends matter here.
    fn header(&mut self, text: &[u8]) -> Result<(), Refusal> {
        if let Some(value) = value_of(text, b"content-length:") {
            if self.head.length.is_some() {
                return Err(Refusal::TwoLengths);
            }
            self.head.length = Some(content_length(value).ok_or(Refusal::BadLength)?);
        } else if let Some(value) = value_of(text, b"transfer-encoding:") {
            if self.head.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::BadCoding);
            }
            self.head.chunked = true;
        } else if self.side == Side::Requests && value_of(text, b"upgrade:").is_some() {
            self.head.switch = true;
        }
        Ok(())
    }

    fn end_of_head(&mut self, asked: &impl Fn() -> Asked, answered: &impl Fn()) -> Result<(), Refusal> {
        let Head { length, chunked, version10, switch, status, .. } = self.head;
        match (chunked, length, version10) {
            (true, Some(_), _) => return Err(Refusal::LengthAndCoding),
            (true, _, true) => return Err(Refusal::CodingIn10),
            _ => {}
        }
        let by_framing = match (chunked, length) {
            (true, _) => Some(State::ChunkSize),
            (false, Some(0)) => Some(State::First(false)),
            (false, Some(left)) => Some(State::Data { left, chunked: false }),
            (false, None) => None,
        };
        self.state = match self.side {
            Side::Requests if switch && matches!(by_framing, None | Some(State::First(_))) => State::Held,
            Side::Requests => by_framing.unwrap_or(State::First(false)),
            Side::Responses if status == 101 => State::Free,
            Side::Responses if (100..200).contains(&status) => State::First(false),
            Side::Responses if (200..300).contains(&status) && asked() == Asked::Connect => {
                answered();
                State::Free
            }
            Side::Responses => {
                let empty = asked() == Asked::Head || matches!(status, 204 | 304);
                answered();
                if empty { State::First(false) } else { by_framing.unwrap_or(State::Free) }
            }
        };
        Ok(())
    }
}

/// The first line of this with its end, or its begin.
fn line_in(rest: &[u8]) -> &[u8] {
    memchr(b'\n', rest).and_then(|lf| rest.get(..=lf)).unwrap_or(rest)
}

/// The value behind this name and its colon (`name` is in lower case and ends with it), without spaces around it.
fn value_of<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = text.split_at_checked(name.len())?;
    (start.last() == Some(&b':') && start.eq_ignore_ascii_case(name)).then(|| trim(value))
}

/// Without optional whitespace, which is spaces and tabs only.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A length that everybody reads in the same way.
pub fn content_length(value: &[u8]) -> Option<u64> {
    match value {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if value.len() <= 18 && value.iter().all(u8::is_ascii_digit) => {
            Some(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
        }
        _ => None,
    }
}

/// `size [ ; extension ]`.
fn chunk_size(text: &[u8]) -> Result<u64, Refusal> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = text.split_at_checked(digits).ok_or(Refusal::BadChunkSize)?;
    let is_clear = match extension {
        [] => true,
        [b';', rest @ ..] => rest.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)),
        _ => false,
    };
    if !is_clear || !(1..=15).contains(&digits) {
        return Err(Refusal::BadChunkSize);
    }
    let digit = |byte: &u8| u64::from(char::from(*byte).to_digit(16).unwrap_or_default());
    Ok(size.iter().fold(0, |number, byte| number * 16 + digit(byte)))
}

/// What no trailer may say (RFC 9110 section 6.5.1).
fn belongs_into_head(text: &[u8]) -> bool {
    [&b"content-length:"[..], b"transfer-encoding:", b"host:"]
        .iter()
        .any(|name| value_of(text, name).is_some())
}

#[cfg(test)]
mod tests;
