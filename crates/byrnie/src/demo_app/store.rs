//! `store`: counts in memory, over TCP, one line a request. The server speaks first.
//!
//! `INCR name` → the new count; `ALL` → `name=count name=count …`; anything else → `? …`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::cli::failure::Failure;

/// What the server says when a connection opens.
const BANNER: &str = "* bread store ready";
/// The longest line.
const LONGEST: u64 = 1024;
/// Names that are counted at most.
const MOST_NAMES: usize = 1000;
/// How long a caller waits.
const TIMEOUT: Duration = Duration::from_secs(5);

type Counts = BTreeMap<String, u64>;

pub async fn run(listener: TcpListener) -> Result<(), Failure> {
    let counts = Rc::new(RefCell::new(Counts::new()));
    super::accept(listener, move |stream| {
        let counts = Rc::clone(&counts);
        async move {
            let _ = serve(stream, &counts).await;
        }
    })
    .await
}

async fn serve(stream: TcpStream, counts: &RefCell<Counts>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    write.write_all(format!("{BANNER}\n").as_bytes()).await?;
    let mut line = String::new();
    loop {
        line.clear();
        if (&mut read).take(LONGEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = obey(line.trim_end(), &mut counts.borrow_mut());
        write.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

fn obey(line: &str, counts: &mut Counts) -> String {
    match line.split_once(' ') {
        Some(("INCR", name)) if counts.len() < MOST_NAMES || counts.contains_key(name) => {
            let count = counts.entry(name.to_owned()).or_default();
            *count += 1;
            count.to_string()
        }
        None if line == "ALL" => {
            let all: Vec<String> = counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
            all.join(" ")
        }
        _ => "? INCR name, or ALL".to_owned(),
    }
}

/// Calls the store over one connection, which is opened again when it breaks.
#[derive(Debug)]
pub struct StoreClient {
    server: SocketAddr,
    connection: Option<(BufReader<OwnedReadHalf>, OwnedWriteHalf)>,
}

impl StoreClient {
    /// Connects at the first call.
    pub fn new(server: SocketAddr) -> Self {
        Self { server, connection: None }
    }

    /// Adds one to a name's count and returns it.
    pub async fn increment(&mut self, name: &str) -> anyhow::Result<u64> {
        let answer = self.call(&format!("INCR {name}\n")).await?;
        answer.parse().with_context(|| format!("the store said {answer:?}"))
    }

    /// All counts.
    pub async fn all(&mut self) -> anyhow::Result<Counts> {
        let answer = self.call("ALL\n").await?;
        let pair = |word: &str| {
            word.split_once('=').and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
        };
        Ok(answer.split_whitespace().filter_map(pair).collect())
    }

    async fn call(&mut self, line: &str) -> anyhow::Result<String> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(line)).await;
        let answer = answer.context("the store does not answer").flatten();
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn exchange(&mut self, line: &str) -> anyhow::Result<String> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            let (read, write) = stream.into_split();
            let mut read = BufReader::new(read);
            let banner = read_line(&mut read).await?;
            anyhow::ensure!(banner == BANNER, "the store greets with {banner:?}");
            self.connection = Some((read, write));
        }
        let (read, write) = self.connection.as_mut().context("just connected")?;
        write.write_all(line.as_bytes()).await?;
        read_line(read).await
    }
}

async fn read_line(read: &mut BufReader<OwnedReadHalf>) -> anyhow::Result<String> {
    let mut line = String::new();
    anyhow::ensure!(read.take(1 << 20).read_line(&mut line).await? > 0, "the store closed the connection");
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_as_a_table() {
        let mut counts = Counts::new();
        for (line, want) in [
            ("ALL", ""),
            ("INCR rye", "1"),
            ("INCR rye", "2"),
            ("INCR naan", "1"),
            ("ALL", "naan=1 rye=2"),
            ("DECR rye", "? INCR name, or ALL"),
            ("", "? INCR name, or ALL"),
        ] {
            assert_eq!(obey(line, &mut counts), want, "{line}");
        }
    }
}
