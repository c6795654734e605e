//! What ways of moving bytes through the kernel cost by themselves, without a proxy around them: pieces joined or
//! gathered, large or small reads, copied or spliced. Decisions on how the proxy reads and writes rest on these.
//!
//! Loopback TCP, blocking sockets, one thread that is measured; the other ends are threads that only read or write.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::bail;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, pipe, splice};

use super::Options;
use super::process::own_cpu;
use super::rounds::median;
use super::table::{number, table};

/// The head of a message whose body is a piece of its own.
const HEAD: usize = 200;
/// Lengths of bodies.
const BODIES: [usize; 5] = [128, 824, 4096, 16 << 10, 64 << 10];
/// What one read asks for: rustls's first size, one TLS record, what a relay reads.
const READS: [usize; 3] = [4096, 16_406, 64 << 10];
/// What is copied out of a larger read, and what a relay writes at once.
const RECORD: usize = 16_406;
const BLOCK: usize = 64 << 10;
const PIPE: usize = 256 << 10;
const MIB: f64 = 1_048_576.0;

/// Measures and returns the report.
pub fn run(options: &Options) -> anyhow::Result<String> {
    let time = options.duration().div_f64(4.0);
    let mut text = format!(
        "CPU of the one thread that is measured, loopback TCP, medians of {} rounds of {:.2} s.\n\n",
        options.rounds,
        time.as_secs_f64()
    );
    let median_of = |measure: &dyn Fn() -> anyhow::Result<f64>| {
        let values = (0..options.rounds).map(|_| measure()).collect::<anyhow::Result<Vec<f64>>>()?;
        anyhow::Ok(number(median(&values)))
    };
    let mut rows = Vec::new();
    for body in BODIES {
        let (joined, gathered) =
            (median_of(&|| send(body, true, time))?, median_of(&|| send(body, false, time))?);
        rows.push(vec![body.to_string(), joined, gathered]);
    }
    text +=
        &table(&["a head of 200 bytes and a body of", "joined, one send, ns", "writev of two, ns"], &rows);
    let mut rows = Vec::new();
    for size in READS {
        rows.push(vec![size.to_string(), median_of(&|| receive(size, false, time))?]);
    }
    let copied = format!("{} and copied out by {RECORD}", READS[2]);
    rows.push(vec![copied, median_of(&|| receive(READS[2], true, time))?]);
    text += &format!("\n{}", table(&["bytes read at once", "µs for each MiB"], &rows));
    let rows = [
        vec!["read and write, 64 KiB".to_owned(), median_of(&|| relay(copy, time))?],
        vec!["splice by a pipe of 256 KiB".to_owned(), median_of(&|| relay(spliced, time))?],
    ];
    text += &format!("\n{}", table(&["socket to socket", "µs for each MiB"], &rows));
    Ok(text)
}

/// Both ends of a connection.
fn connected() -> anyhow::Result<[TcpStream; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    for end in [&client, &server] {
        end.set_nodelay(true)?;
    }
    Ok([client, server])
}

/// Takes all that comes, until the other side is done.
fn drain(mut from: TcpStream) {
    let mut buffer = vec![0; PIPE];
    while from.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// Gives as much as is taken, until the other side is gone.
fn pour(mut to: TcpStream) {
    let block = vec![b'x'; PIPE];
    while to.write_all(&block).is_ok() {}
}

/// Nanoseconds for one message whose two pieces are joined, or gathered by the kernel.
fn send(body: usize, joined: bool, time: Duration) -> anyhow::Result<f64> {
    let [mut to, from] = connected()?;
    let reader = std::thread::spawn(move || drain(from));
    let (head, body) = (vec![b'h'; HEAD], vec![b'b'; body]);
    let mut room = Vec::with_capacity(HEAD + body.len());
    let (before, start, mut count) = (own_cpu()?, Instant::now(), 0_u32);
    while start.elapsed() < time {
        if joined {
            room.clear();
            room.extend_from_slice(&head);
            room.extend_from_slice(&body);
            to.write_all(&room)?;
        } else {
            gather(&mut to, &head, &body)?;
        }
        count += 1;
    }
    let used = own_cpu()?.saturating_sub(before);
    drop(to);
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    Ok(used.as_secs_f64() * 1e9 / f64::from(count.max(1)))
}

fn gather(to: &mut TcpStream, head: &[u8], body: &[u8]) -> anyhow::Result<()> {
    let written = to.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
    if written < head.len() {
        bail!("{written} bytes of a head");
    }
    Ok(to.write_all(&body[written - head.len()..])?)
}

/// Microseconds for each MiB that is read by so many bytes, and perhaps copied once more.
fn receive(size: usize, copied: bool, time: Duration) -> anyhow::Result<f64> {
    let [mut from, to] = connected()?;
    let writer = std::thread::spawn(move || pour(to));
    let (mut buffer, mut record) = (vec![0; size], vec![0; RECORD]);
    let (before, start, mut count) = (own_cpu()?, Instant::now(), 0);
    while start.elapsed() < time {
        let read = from.read(&mut buffer)?;
        if copied {
            for part in buffer[..read].chunks(RECORD) {
                record[..part.len()].copy_from_slice(part);
            }
            std::hint::black_box(&mut record);
        }
        count += read;
    }
    let used = own_cpu()?.saturating_sub(before);
    drop(from);
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
    Ok(micros_each_mib(used, count))
}

fn micros_each_mib(used: Duration, bytes: usize) -> f64 {
    used.as_secs_f64() * 1e6 / (bytes.max(1) as f64 / MIB)
}

/// Moves bytes from one socket to another until the time is over, or they end; how many.
type Move = fn(&mut TcpStream, &mut TcpStream, Duration) -> anyhow::Result<usize>;

/// Microseconds for each MiB that goes through a relay.
fn relay(through: Move, time: Duration) -> anyhow::Result<f64> {
    let ([mut from, source], [mut to, sink]) = (connected()?, connected()?);
    let ends = [std::thread::spawn(move || pour(source)), std::thread::spawn(move || drain(sink))];
    let before = own_cpu()?;
    let moved = through(&mut from, &mut to, time)?;
    let used = own_cpu()?.saturating_sub(before);
    drop((from, to));
    for end in ends {
        end.join().map_err(|_| anyhow::anyhow!("an end panicked"))?;
    }
    Ok(micros_each_mib(used, moved))
}

fn copy(from: &mut TcpStream, to: &mut TcpStream, time: Duration) -> anyhow::Result<usize> {
    let (mut buffer, start, mut count) = (vec![0; BLOCK], Instant::now(), 0);
    while start.elapsed() < time {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read])?;
        count += read;
    }
    Ok(count)
}

fn spliced(from: &mut TcpStream, to: &mut TcpStream, time: Duration) -> anyhow::Result<usize> {
    let (out, into) = pipe()?;
    // Where it may not be so large, it is as it is.
    let _ = fcntl_setpipe_size(&into, PIPE);
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        let mut held = splice(&*from, None, &into, None, PIPE, SpliceFlags::MOVE)?;
        if held == 0 {
            break;
        }
        count += held;
        while held > 0 {
            match splice(&out, None, &*to, None, held, SpliceFlags::MOVE) {
                Ok(moved) => held -= moved,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_relays_lose_nothing() {
        const LENGTH: usize = 1 << 20;
        for way in [copy as Move, spliced] {
            let ([mut from, mut source], [mut to, mut sink]) = (connected().unwrap(), connected().unwrap());
            let sender = std::thread::spawn(move || source.write_all(&vec![b'x'; LENGTH]).unwrap());
            let receiver = std::thread::spawn(move || sink.read_to_end(&mut Vec::new()).unwrap());
            assert_eq!(way(&mut from, &mut to, Duration::from_secs(60)).unwrap(), LENGTH);
            drop(to);
            sender.join().unwrap();
            assert_eq!(receiver.join().unwrap(), LENGTH);
        }
        assert_eq!(micros_each_mib(Duration::from_micros(30), 3 << 20), 10.0);
    }

    #[test]
    fn gathered_pieces_arrive_in_order() {
        let [mut to, mut from] = connected().unwrap();
        gather(&mut to, b"head", b"body").unwrap();
        drop(to);
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"headbody");
    }
}
