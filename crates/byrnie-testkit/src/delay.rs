//! Distance: a forwarder that passes bytes on only after a while, since kernels may lack `netem`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Stands before an address and is as far away as it is told.
#[derive(Debug)]
pub struct Delay {
    /// Where to connect to.
    pub address: SocketAddr,
}

impl Delay {
    /// Each byte takes `way` longer, in both directions. It listens until the test's process ends.
    pub fn before(target: SocketAddr, way: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    // A connection takes one way to the server before anything can be said.
                    std::thread::sleep(way);
                    let Ok(server) = TcpStream::connect(target) else { return };
                    let pairs = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                    for (from, to) in pairs {
                        if let (Ok(from), Ok(to)) = (from, to) {
                            pass(from, to, way);
                        }
                    }
                });
            }
        });
        Self { address }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, way: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read) = from.read(&mut buffer) {
            if sender.send((Instant::now() + way, buffer[..read].to_vec())).is_err() || read == 0 {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_later_and_in_order() {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let target = server.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).unwrap();
            stream.write_all(&said).unwrap();
        });
        let way = Duration::from_millis(100);
        let start = Instant::now();
        let mut client = TcpStream::connect(Delay::before(target, way).address).unwrap();
        for part in ["one ", "two ", "three"] {
            client.write_all(part.as_bytes()).unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "one two three");
        assert!(start.elapsed() >= 3 * way, "connection, there, and back");
    }
}
