//! HTTP codecs and bodies: how requests enter and leave a worker. Knows nothing of routes or identities.

pub mod body;
pub mod headers;
pub mod server1;
pub mod server2;
