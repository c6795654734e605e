//! Real sockets: a client, its proxy, the server's proxy and an application, all in one process.

mod bytes;
mod failures;
mod lifecycle;
pub(crate) mod mesh;
mod names;
mod origin;
mod silence;
mod vanished;
