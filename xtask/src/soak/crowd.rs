//! Many clients of one proxy: in turn, all at once, and at a rate whatever becomes of it. And the application behind.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Connections that wait for an answer at a time.
const WAITING: usize = 2_000;
/// For an answer under load.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections that are opened at a time, of those that are held.
const OPENING: usize = 64;
/// Between two groups of requests of the open loop.
const TICK: Duration = Duration::from_millis(2);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n";

/// What became of requests.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Answered with 200.
    pub good: u64,
    /// Answered with something else.
    pub refused: u64,
    /// Closed without an answer.
    pub closed: u64,
    /// Not answered in time.
    pub late: u64,
    /// Not begun: too many waited.
    pub unbegun: u64,
}

/// Connections that were accepted and answered once.
pub struct Held {
    /// They themselves.
    pub streams: Vec<TcpStream>,
    /// How many.
    pub count: usize,
}

/// Clients of one address.
pub struct Crowd(SocketAddr);

/// An answer's status, and whether the connection may be used again.
type Answer = io::Result<(bool, bool)>;

impl Crowd {
    /// Nobody yet.
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// So many clients, each with one request at a time: good answers per second.
    pub async fn in_turn(&self, clients: usize, length: Duration) -> f64 {
        let (address, end, good) = (self.0, Instant::now() + length, Rc::new(Cell::new(0_u64)));
        let all = LocalSet::new();
        for _ in 0..clients {
            let good = Rc::clone(&good);
            all.spawn_local(async move {
                let mut kept = None;
                while Instant::now() < end {
                    match patiently(one(address, &mut kept)).await {
                        Ok((true, _)) => good.set(good.get() + 1),
                        // Not to spin where nothing is answered.
                        _ => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            });
        }
        all.await;
        good.get() as f64 / length.as_secs_f64()
    }

    /// Opens so many connections, each for one answer, and keeps those that got it.
    pub async fn hold(&self, count: usize) -> Held {
        let (address, streams) = (self.0, Rc::new(RefCell::new(Vec::new())));
        let left = Rc::new(Cell::new(count));
        let all = LocalSet::new();
        for _ in 0..OPENING {
            let (streams, left) = (Rc::clone(&streams), Rc::clone(&left));
            all.spawn_local(async move {
                while let Some(less) = left.get().checked_sub(1) {
                    left.set(less);
                    let mut kept = None;
                    let _ = patiently(one(address, &mut kept)).await;
                    streams.borrow_mut().extend(kept);
                }
            });
        }
        all.await;
        let streams = streams.take();
        let count = streams.len();
        Held { streams, count }
    }

    /// Begins `rate` requests per second, whatever became of those before.
    pub async fn open_loop(&self, rate: f64, length: Duration) -> Counts {
        let all = LocalSet::new();
        all.run_until(self.begin_at(rate, length)).await
    }

    async fn begin_at(&self, rate: f64, length: Duration) -> Counts {
        let (address, began) = (self.0, Instant::now());
        let (counts, waiting) = (Rc::new(Cell::new(Counts::default())), Rc::new(Cell::new(0_usize)));
        let idle: Rc<RefCell<Vec<TcpStream>>> = Rc::default();
        let mut begun = 0_u64;
        while began.elapsed() < length {
            let due = (began.elapsed().as_secs_f64() * rate) as u64;
            for _ in begun..due {
                if waiting.get() >= WAITING {
                    count(&counts, |counts| counts.unbegun += 1);
                    continue;
                }
                waiting.set(waiting.get() + 1);
                let (counts, waiting, idle) = (Rc::clone(&counts), Rc::clone(&waiting), Rc::clone(&idle));
                tokio::task::spawn_local(async move {
                    let mut kept = idle.borrow_mut().pop();
                    let answer = patiently(one(address, &mut kept)).await;
                    idle.borrow_mut().extend(kept);
                    waiting.set(waiting.get() - 1);
                    count(&counts, |counts| match answer {
                        Ok((true, _)) => counts.good += 1,
                        Ok((false, _)) => counts.refused += 1,
                        Err(error) if error.kind() == io::ErrorKind::TimedOut => counts.late += 1,
                        Err(_) => counts.closed += 1,
                    });
                });
            }
            begun = due;
            tokio::time::sleep(TICK).await;
        }
        counts.get()
    }

    /// How long it takes until a hundred requests in a row are answered well; `None`: longer than that.
    pub async fn recovered(&self, limit: Duration) -> Option<Duration> {
        let (began, mut row) = (Instant::now(), 0);
        let mut kept = None;
        while row < 100 {
            if began.elapsed() > limit {
                return None;
            }
            row = match patiently(one(self.0, &mut kept)).await {
                Ok((true, _)) => row + 1,
                _ => 0,
            };
        }
        Some(began.elapsed())
    }
}

fn count(counts: &Cell<Counts>, change: impl FnOnce(&mut Counts)) {
    let mut now = counts.get();
    change(&mut now);
    counts.set(now);
}

async fn patiently(asking: impl Future<Output = Answer>) -> Answer {
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// One request, on the kept connection or a new one; whether it was answered with 200. Keeps the connection where that
/// is allowed.
async fn one(address: SocketAddr, kept: &mut Option<TcpStream>) -> Answer {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    stream.write_all(REQUEST).await?;
    let (mut space, mut filled) = ([0; 2048], 0);
    loop {
        let Some(free) = space.get_mut(filled..).filter(|free| !free.is_empty()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match stream.read(free).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        let text = String::from_utf8_lossy(space.get(..filled).unwrap_or_default()).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let (good, closes) = (head.starts_with("http/1.1 200"), head.contains("connection: close"));
        if !closes {
            *kept = Some(stream);
        }
        return Ok((good, !closes));
    }
}

/// An application on a thread of its own that answers at once.
pub fn origin() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut space, mut filled) = (vec![0; 4096], 0);
    loop {
        let read = stream.read(space.get_mut(filled..)?).await.ok().filter(|read| *read > 0)?;
        filled += read;
        if space.get(..filled)?.ends_with(b"\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsoak\n").await.ok()?;
            filled = 0;
        }
    }
}
