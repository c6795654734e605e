//! Client and server over real gRPC: loopback TCP, or pipes in memory where time must stand still.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests state what they expect")]

mod hostile;
mod identity;
mod link;
mod plane;
