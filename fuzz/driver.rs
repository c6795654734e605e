//! Feeds a target with its corpus, and with mutations of it: a fixed number of them in ordinary tests, for as long as
//! `BYRNIE_FUZZ_SECONDS` says under `cargo xtask fuzz`. The same seed gives the same inputs.
//!
//! Part of the tests of each crate that has a target (`#[path]`), because targets are private there. What fails is
//! written to `fuzz/failures`; put it into the corpus with the fix.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mutations in an ordinary test.
const FEW: u64 = 20_000;
/// Longest input, in bytes.
const LONGEST: usize = 4096;
/// What protocols have between their words.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b"/",
    b"#",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"host: a\r\n",
    b"upgrade: x\r\n",
    b"5\r\nabcde\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01",
    b"18446744073709551616",
    b"\xff",
    b"v=1;s=a/b:80;p=80",
];

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = root().join("corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Runs `check`, which panics when something does not hold, on everything.
pub fn drive(target: &str, check: impl Fn(&[u8])) {
    drive_some(target, FEW, check);
}

/// The same with so many mutations in an ordinary test.
pub fn drive_some(target: &str, few: u64, check: impl Fn(&[u8])) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{target} has no corpus");
    corpus.iter().for_each(|input| check(input));
    let seconds = std::env::var("BYRNIE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = if end.is_some() { rand::random() } else { 0x5eed };
    let (mut random, mut count) = (Random(seed | 1), 0);
    while end.map_or(count < few, |end| count % 100 != 0 || Instant::now() < end) {
        let input = mutated(&corpus, &mut random);
        if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
            let path = root().join("failures").join(format!("{target}-{count}"));
            std::fs::create_dir_all(root().join("failures")).unwrap();
            std::fs::write(&path, &input).unwrap();
            panic!("{target} fails with {}: {:?}", path.display(), String::from_utf8_lossy(&input));
        }
        count += 1;
    }
    println!("{target}: {count} inputs in {} s of processor, seed {seed:#x}", processor_seconds());
}

/// Seconds of a processor that this thread had: what a busy machine leaves of an hour.
fn processor_seconds() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0) / 1_000_000_000
}

/// One input of the corpus, changed a little, or two of them joined.
fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 => input.insert(at, random.byte()),
            1 if at < input.len() => drop(input.remove(at)),
            2 if at < input.len() => input[at] = random.byte(),
            3 if at < input.len() => input[at] ^= 1 << random.below(8),
            4 => drop(input.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            5 => input.truncate(at),
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(LONGEST);
    input
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}
