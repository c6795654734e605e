//! The work whose cost is counted: one unit after the other over one connection, so that nothing is batched by chance.

use std::net::SocketAddr;
use std::time::Duration;

use crate::bench::load;
use crate::bench::origin::Origin;

/// Valgrind makes everything fifty times slower.
const PATIENCE: Duration = Duration::from_secs(30);

/// A path through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// GET over HTTP/1.1, to an HTTP/1.1 origin.
    Http,
    /// Unary gRPC, HTTP/2 on both sides.
    Grpc,
    /// A head and an answer as bytes that nobody looks into.
    Bytes,
}

impl Work {
    /// Every path.
    pub const ALL: [Self; 3] = [Self::Http, Self::Grpc, Self::Bytes];

    /// In the baseline.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Bytes => "bytes",
        }
    }

    /// What `--to` takes.
    pub fn backend(self, origin: &Origin) -> String {
        match self {
            Self::Http => format!("http://{}", origin.http),
            Self::Grpc => format!("h2c://{}", origin.grpc),
            Self::Bytes => format!("tcp://{}", origin.opaque),
        }
    }

    /// Does `units` of it over one connection.
    pub fn run(self, to: SocketAddr, units: u64) -> anyhow::Result<()> {
        match self {
            Self::Http | Self::Bytes => load::gets_in_turn(to, units, PATIENCE),
            Self::Grpc => load::calls_in_turn(to, units),
        }
    }
}
