//! Addresses that no other test has: each test holds a number as long as it lasts.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Networks of 254 addresses each, all of 10.224.0.0/12.
const COUNT: u16 = 4096;

/// A number, held by a socket with its name: the kernel gives it back, however the test ends.
#[derive(Debug)]
pub struct Range {
    number: u16,
    _held: UnixListener,
}

impl Range {
    pub fn take() -> Self {
        let hold = |number: u16| {
            let name = SocketAddr::from_abstract_name(format!("byrnie-testkit/{number}")).unwrap();
            UnixListener::bind_addr(&name).ok().map(|held| Self { number, _held: held })
        };
        // Not the one that was given back last: the kernel may still be taking its interfaces away.
        let first = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
        (0..COUNT).map(|number| (first + number) % COUNT).find_map(hold).expect("all ranges are taken")
    }

    /// The first two and a half bytes of the network's addresses.
    fn bytes(&self) -> (u16, u16) {
        (224 + self.number / 256, self.number % 256)
    }

    pub fn v4(&self, prefix: u8) -> String {
        let (second, third) = self.bytes();
        format!("10.{second}.{third}.0/{prefix}")
    }

    pub fn v6(&self) -> String {
        format!("fd62:7972:6e69:{:x}::/64", 0x1000 + self.number)
    }
}
