//! One line for each request or connection.
//!
//! A worker formats the line into one buffer and hands it to a thread of its own, which writes in batches. When that
//! thread is behind, lines are lost and counted, traffic is not slowed. Nothing that came from outside can begin a new
//! line or hide in a terminal: control characters are escaped.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use byrnie_plan::{ObjectName, RouteName};
use serde::{Serialize, Serializer};

use crate::{Counter, Direction};

/// Lines that wait for the writer at most. At 300 bytes a line this is about 1 MiB.
const QUEUE: usize = 4096;

/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;

/// Longest method, path, header value in a line, in bytes; what is beyond is cut.
const TEXT_LIMIT: usize = 1024;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// `key=value` after the essentials, for people.
    Text,
}

/// What a line says, borrowed. What is empty or `None` is left out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessEntry<'a> {
    /// When the request came.
    pub timestamp: jiff::Timestamp,
    /// Which side writes.
    #[serde(serialize_with = "as_str")]
    pub direction: Direction,
    /// `HTTP/1.1`, `HTTP/2`, `TCP`.
    pub protocol: &'a str,
    /// The caller's SPIFFE ID.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub source_id: &'a str,
    /// The calling workload.
    #[serde(serialize_with = "display", skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a ObjectName>,
    /// The called workload's SPIFFE ID.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub destination_id: &'a str,
    /// The called workload.
    #[serde(serialize_with = "display", skip_serializing_if = "Option::is_none")]
    pub destination: Option<&'a ObjectName>,
    /// The Service.
    #[serde(serialize_with = "display", skip_serializing_if = "Option::is_none")]
    pub service: Option<&'a ObjectName>,
    /// The route that decided.
    #[serde(serialize_with = "display", skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a RouteName>,
    /// The other end of the connection that the request came on.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub peer_address: &'a str,
    /// At the server of a connection of bytes: the client's own address, as its proxy says it.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub client_address: &'a str,
    /// Method.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub method: &'a str,
    /// Host.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub host: &'a str,
    /// Path. The query holds secrets too often: leave it out unless asked for.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub path: &'a str,
    /// HTTP status; 0: none was sent.
    #[serde(skip_serializing_if = "is_zero")]
    pub status: u16,
    /// gRPC status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u16>,
    /// The stable short word for what went wrong (the error's code), empty when all went well.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub flag: &'a str,
    /// The sentence for it.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub detail: &'a str,
    /// The policy that refused.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub policy: &'a str,
    /// Bytes of the request's body, or from the client.
    pub request_bytes: u64,
    /// Bytes of the response's body, or to the client.
    pub response_bytes: u64,
    /// Time from the head of the request to the end of the response.
    #[serde(rename = "durationMs", serialize_with = "as_millis")]
    pub duration: Duration,
    /// Tries in all.
    pub tries: u32,
    /// `x-request-id`.
    #[serde(serialize_with = "clean", skip_serializing_if = "str::is_empty")]
    pub request_id: &'a str,
}

impl<'a> AccessEntry<'a> {
    /// A line that says only when, which side and what protocol.
    pub fn new(timestamp: jiff::Timestamp, direction: Direction, protocol: &'a str) -> Self {
        Self {
            timestamp,
            direction,
            protocol,
            source_id: "",
            source: None,
            destination_id: "",
            destination: None,
            service: None,
            route: None,
            peer_address: "",
            client_address: "",
            method: "",
            host: "",
            path: "",
            status: 0,
            grpc_status: None,
            flag: "",
            detail: "",
            policy: "",
            request_bytes: 0,
            response_bytes: 0,
            duration: Duration::ZERO,
            tries: 1,
            request_id: "",
        }
    }

    /// The line, with its newline.
    pub fn format(&self, format: LogFormat) -> Vec<u8> {
        let mut line = Vec::with_capacity(512);
        let written = match format {
            LogFormat::Json => serde_json::to_writer(&mut line, self).map_err(io::Error::from),
            LogFormat::Text => self.write_text(&mut line),
        };
        if written.is_err() {
            // A Vec refuses no write; an empty line would only confuse.
            line.clear();
        }
        line.push(b'\n');
        line
    }

    fn write_text(&self, out: &mut Vec<u8>) -> io::Result<()> {
        write!(out, "{:.3} {} {}", self.timestamp, self.direction.as_str(), self.protocol)?;
        write!(out, " {} -> {}", OrDash(self.source), OrDash(self.destination))?;
        if !self.method.is_empty() {
            write!(out, " \"{} {}{}\"", Escaped(self.method), Escaped(self.host), Escaped(self.path))?;
        }
        write!(out, " {} {:.3}ms", self.status, self.duration.as_secs_f64() * 1e3)?;
        write!(out, " in={} out={} tries={}", self.request_bytes, self.response_bytes, self.tries)?;
        if let Some(status) = self.grpc_status {
            write!(out, " grpc={status}")?;
        }
        if let Some(service) = self.service {
            write!(out, " service={service}")?;
        }
        if let Some(route) = self.route {
            write!(out, " route={}", Escaped(&route.to_string()))?;
        }
        for (key, value) in [
            ("flag", self.flag),
            ("policy", self.policy),
            ("src-id", self.source_id),
            ("dst-id", self.destination_id),
            ("peer", self.peer_address),
            ("client", self.client_address),
            ("request-id", self.request_id),
        ] {
            if !value.is_empty() {
                write!(out, " {key}={}", Escaped(value))?;
            }
        }
        match self.detail {
            "" => Ok(()),
            detail => write!(out, " detail=\"{}\"", Escaped(detail)),
        }
    }
}

struct OrDash<'a>(Option<&'a ObjectName>);

impl std::fmt::Display for OrDash<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Text with control characters, quotes and backslashes escaped, cut at [`TEXT_LIMIT`].
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        for character in cut(self.0).chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                _ if is_unsafe(character) => write!(f, "{}", character.escape_unicode())?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Control characters, and what turns the direction of text or breaks lines in some readers.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_LIMIT)).unwrap_or(text)
}

/// serde_json escapes what JSON demands; the rest of what is unsafe is replaced.
fn clean<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let text = cut(text);
    match text.chars().any(|c| is_unsafe(c) && !c.is_ascii_control() || c == '\u{7f}') {
        false => serializer.serialize_str(text),
        true => {
            let replace = |c: char| {
                if is_unsafe(c) && (c as u32) >= 0x7f { '\u{fffd}' } else { c }
            };
            serializer.serialize_str(&text.chars().map(replace).collect::<String>())
        }
    }
}

fn display<T: std::fmt::Display, S: Serializer>(
    value: &Option<&T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn as_str<S: Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction.as_str())
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1e3)
}

fn is_zero(status: &u16) -> bool {
    *status == 0
}

/// The thread that writes the lines. Dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct AccessLogWriter {
    lines: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    dropped: Arc<Counter>,
}

impl AccessLogWriter {
    /// Starts the thread; `dropped` counts lost lines (`names::ACCESS_LOG_DROPPED`).
    pub fn start(writer: impl Write + Send + 'static, dropped: Arc<Counter>) -> io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        let lost = Arc::clone(&dropped);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&queue, writer, &lost))?;
        Ok(Self { lines: Some(lines), thread: Some(thread), dropped })
    }

    /// Hands a line over. Never waits; a line that finds no room is counted as lost.
    pub fn log(&self, entry: &AccessEntry<'_>, format: LogFormat) {
        let Some(lines) = &self.lines else { return };
        match lines.try_send(entry.format(format)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.inc(),
        }
    }

    /// Lines that were lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}

impl Drop for AccessLogWriter {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has nothing to say to whoever drops this.
            let _ = thread.join();
        }
    }
}

/// Waits for a line, takes what else is there, writes it at once.
fn write_all(queue: &Receiver<Vec<u8>>, mut writer: impl Write, dropped: &Counter) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(line) = queue.recv() {
        batch.extend_from_slice(&line);
        let mut lines = 1;
        while batch.len() < BATCH
            && let Ok(line) = queue.try_recv()
        {
            batch.extend_from_slice(&line);
            lines += 1;
        }
        // A full disk or a closed pipe loses these lines, not the ones after.
        if writer.write_all(&batch).and_then(|()| writer.flush()).is_err() {
            dropped.add(lines);
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests;
