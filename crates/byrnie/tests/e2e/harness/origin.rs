//! An application of the tests: HTTP/1.1, says its name and what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Answers every request with 200 (or 503, when told to) and `NAME METHOD PATH`, then the request's headers, each on
/// a line. `/hang` is never answered, `/wait` once it is told to let go, `/reset` ends the connection with a reset,
/// `/flaky` fails every other time, the first time, too. Ends with the test.
pub struct Origin {
    pub port: u16,
    failing: Arc<AtomicBool>,
    let_go: Arc<AtomicBool>,
}

impl Origin {
    pub fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let failing = Arc::new(AtomicBool::new(false));
        let let_go = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&failing), Arc::clone(&let_go));
        let flaky = Arc::new(AtomicU64::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ((failing, let_go), flaky) = (shared.clone(), Arc::clone(&flaky));
                std::thread::spawn(move || serve(name, stream, &failing, &let_go, &flaky));
            }
        });
        Self { port, failing, let_go }
    }

    /// From now on `/wait` is answered.
    pub fn let_go(&self) {
        self.let_go.store(true, Ordering::Relaxed);
    }

    /// From now on every answer is 503, or 200 again.
    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }
}

/// Requests without bodies, one after the other, until the peer leaves.
fn serve(name: &str, stream: TcpStream, failing: &AtomicBool, let_go: &AtomicBool, flaky: &AtomicU64) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = Vec::new();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            head.push(line.trim_end().to_owned());
            line.clear();
        }
        let Some(first) = head.first() else { return };
        let path = first.split(' ').nth(1);
        match path {
            Some("/hang") => {
                let _ = reader.read_line(&mut line);
                return;
            }
            Some("/wait") => {
                super::until("it is told to let go", || let_go.load(Ordering::Relaxed).then_some(()))
            }
            Some("/reset") => {
                let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO));
                return;
            }
            _ => {}
        }
        let request = first.rsplit_once(' ').map_or(first.as_str(), |(request, _)| request);
        let body = format!("{name} {request}\n{}\n", head[1..].join("\n"));
        let fails = failing.load(Ordering::Relaxed)
            || (path == Some("/flaky") && flaky.fetch_add(1, Ordering::Relaxed).is_multiple_of(2));
        let status = if fails { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
