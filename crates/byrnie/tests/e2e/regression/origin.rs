//! The application under attack: reads requests as applications do and notes each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Notes `METHOD PATH` of each request, followed by its body if it has one. Some paths do more, see [`answer`].
pub struct Noted {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Noted {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, heads) = (Arc::default(), Arc::default());
        let noted = Self { port, seen: Arc::clone(&seen), heads: Arc::clone(&heads) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, heads) = (Arc::clone(&seen), Arc::clone(&heads));
                std::thread::spawn(move || serve(stream, &seen, &heads));
            }
        });
        noted
    }

    /// What came since the last look, without the innocent client's.
    pub fn take(&self) -> Vec<String> {
        self.heads.lock().unwrap().clear();
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// The heads as they came since the last look.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<String>>, heads: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            head.push_str(&String::from_utf8_lossy(&line));
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let request = head.split(' ').take(2).collect::<Vec<_>>().join(" ");
        if path != "/innocent" {
            heads.lock().unwrap().push(head.clone());
        }
        if path.starts_with("/early") || path == "/stall" {
            seen.lock().unwrap().push(request);
            if path == "/stall" {
                std::thread::sleep(std::time::Duration::from_secs(5));
                return Ok(());
            }
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nearly")?;
            body(&mut reader, &head)?;
            continue;
        }
        let body = body(&mut reader, &head)?;
        if path != "/innocent" {
            let noted = if body.is_empty() { request.clone() } else { format!("{request} {body}") };
            seen.lock().unwrap().push(noted);
        }
        answer(&mut stream, &path, head.starts_with("HEAD "))?;
    }
}

/// `/big/N`: so many bytes. `/drip/N`: the same in chunks of one. `/hints`: a thousand 103 first. Else `ok`.
fn answer(stream: &mut TcpStream, path: &str, is_head: bool) -> io::Result<()> {
    let number = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.parse::<usize>().ok());
    if is_head {
        return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
    }
    if let Some(size) = number("/big/") {
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")?;
        return io::copy(&mut io::repeat(b'x').take(size as u64), stream).map(drop);
    }
    if let Some(count) = number("/drip/") {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for _ in 0..count / 100 {
            stream.write_all("1\r\nx\r\n".repeat(100).as_bytes())?;
        }
        return stream.write_all(b"0\r\n\r\n");
    }
    if path == "/hints" {
        for _ in 0..1000 {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")?;
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

fn body(reader: &mut impl BufRead, head: &str) -> io::Result<String> {
    let value = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
        Some(line[name.len()..].trim().to_owned())
    };
    let mut bytes = Vec::new();
    if value("transfer-encoding:").is_some() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            if size == 0 {
                while line != "\r\n" {
                    line.clear();
                    if reader.read_line(&mut line)? == 0 {
                        break;
                    }
                }
                break;
            }
            reader.read_exact(&mut chunk)?;
            bytes.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = value("content-length:") {
        bytes = vec![0; length.parse().map_err(io::Error::other)?];
        reader.read_exact(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
