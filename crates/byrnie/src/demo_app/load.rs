//! `load`: people at the sample application. Looks at the page, votes, listens to the feed; says when something that
//! worked fails, and when it works again.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

use super::catalog::BREADS;
use super::plain::HttpClient;
use super::{any_below, websocket};
use crate::cli::failure::Failure;

/// People who look at the page, and how often each does.
const READERS: usize = 4;
const READ_EVERY: Duration = Duration::from_millis(200);
/// How often somebody votes.
const VOTE_EVERY: Duration = Duration::from_millis(200);
/// How long a listener waits before it connects again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// How long the services may take to open their ports, and how often that is looked at.
const OPENING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The feed speaks each second; longer silence means that it is gone.
const SILENCE: Duration = Duration::from_secs(10);

/// `after`: ports of this machine, separated by commas, that the services listen on. People come when all are open, so
/// that what fails in the numbers is what fails in the application.
pub async fn run(after: &str) -> Result<(), Failure> {
    let web = super::address_of("web")?;
    let feed = super::address_of("feed")?;
    for port in after.split(',').filter_map(|port| port.parse().ok()) {
        open(port).await;
    }
    let mut people = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        people.spawn(repeat("looking at the page", READ_EVERY, HttpClient::new(web, "web"), look));
    }
    people.spawn(repeat("voting", VOTE_EVERY, HttpClient::new(web, "web"), vote_path));
    people.spawn(listen(feed));
    while people.join_next().await.is_some() {}
    Ok(())
}

/// Returns when somebody listens there, at the latest after [`OPENING`].
async fn open(port: u16) {
    let opened = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(OPENING, opened).await.is_err() {
        println!("nobody listens on port {port} yet");
    }
}

fn look() -> (Method, String) {
    (Method::GET, "/".to_owned())
}

fn vote_path() -> (Method, String) {
    (Method::POST, format!("/vote?bread={}", BREADS[any_below(BREADS.len())]))
}

async fn repeat(
    what: &'static str,
    every: Duration,
    mut client: HttpClient,
    request: fn() -> (Method, String),
) {
    let mut mood = Mood::new(what);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (method, path) = request();
        let answer = client.call(method, &path).await;
        mood.say(match answer {
            Ok((status, _)) if status.is_success() => Ok(()),
            Ok((status, body)) => {
                let body = String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_owned();
                Err(format!("{status} {body}"))
            }
            Err(error) => Err(format!("{error:#}")),
        });
    }
}

async fn listen(feed: SocketAddr) {
    let mut mood = Mood::new("listening to the feed");
    loop {
        if let Err(error) = follow(feed, &mut mood).await {
            mood.say(Err(format!("{error:#}")));
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn follow(feed: SocketAddr, mood: &mut Mood) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(feed).await?;
    stream.set_nodelay(true)?;
    let key = websocket::new_key();
    let request = format!(
        "GET /feed HTTP/1.1\r\nHost: feed\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let head = tokio::time::timeout(SILENCE, read_head(&mut stream)).await.context("no answer")??;
    let first = head.lines().next().unwrap_or_default();
    anyhow::ensure!(first.split(' ').nth(1) == Some("101"), "{first}");
    anyhow::ensure!(head.contains(&websocket::accept_key(&key)), "not the answer to this handshake");
    loop {
        let text = tokio::time::timeout(SILENCE, websocket::read_text(&mut stream, true)).await;
        let text = text.context("the feed is silent")??;
        anyhow::ensure!(text.is_some(), "the feed closed the connection");
        mood.say(Ok(()));
    }
}

/// The head of an answer, with the empty line; byte by byte, so that nothing behind it is taken.
async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(head.len() < 8192, "an endless head");
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

/// Says a thing once, not with every request.
#[derive(Debug)]
struct Mood {
    what: &'static str,
    failing: Option<bool>,
}

impl Mood {
    fn new(what: &'static str) -> Self {
        Self { what, failing: None }
    }

    fn say(&mut self, result: Result<(), String>) {
        if self.failing == Some(result.is_err()) {
            return;
        }
        match &result {
            Ok(()) => println!("{} works", self.what),
            Err(why) => println!("{} fails: {why}", self.what),
        }
        self.failing = Some(result.is_err());
    }
}
