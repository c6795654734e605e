//! The resolver of a workload whose traffic is captured: Services' names lead to their virtual addresses, every other
//! name is asked of the host's resolvers.
//!
//! `decide` is pure: a packet and the table of names give an answer or say that somebody else has it. `message` reads
//! and writes packets, `upstream` asks others, `flight` knows what is on its way, `serve` has the sockets. All of it
//! runs on a thread of its own: whatever is sent to it harms no traffic but itself. The sockets are handed over from
//! the workload's namespace; must never know how they came to be there.

mod decide;
mod flight;
mod message;
mod serve;
#[cfg(test)]
mod tests;
mod upstream;

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use byrnie_net::Inherited;
use byrnie_net::socket::{listener_from, udp_from};
use tokio::runtime::LocalOptions;

use crate::process::Process;
use serve::Resolver;

/// The descriptors under these names and longer ones (`dns:udp6`) are the resolver's.
const UDP: &str = "dns:udp";
const TCP: &str = "dns:tcp";

/// Where questions come in.
#[derive(Default)]
pub struct Sockets {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Sockets {
    /// Those that were handed over.
    pub fn take(inherited: &mut Inherited) -> io::Result<Self> {
        let mut sockets = Self::default();
        let names: Vec<String> = inherited.names().map(str::to_owned).collect();
        for name in names {
            if name.starts_with(UDP) {
                sockets.udp.extend(inherited.remove(&name).map(udp_from).transpose()?);
            } else if name.starts_with(TCP) {
                sockets.tcp.extend(inherited.remove(&name).map(listener_from).transpose()?);
            }
        }
        Ok(sockets)
    }

    fn is_empty(&self) -> bool {
        self.udp.is_empty() && self.tcp.is_empty()
    }
}

/// Answers on these sockets until the process ends, on a thread of its own. Without sockets there is none.
pub fn start(process: &Arc<Process>, sockets: Sockets) -> io::Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    let process = Arc::clone(process);
    std::thread::Builder::new().name("dns".to_owned()).spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "BYR0281: the resolver cannot be started"),
        };
        let closing = process.closing.clone();
        runtime.block_on(async {
            let resolver =
                Resolver::new(process, PathBuf::from(upstream::RESOLV_CONF), upstream::PORT, &sockets);
            tokio::select! {
                () = resolver.serve(sockets) => {}
                () = closing.cancelled() => {}
            }
        });
    })?;
    Ok(())
}
