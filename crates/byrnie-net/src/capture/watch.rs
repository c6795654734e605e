//! A watch over a namespace's rules: the kernel tells of every change of any table, and ours are compared.

use std::io;
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with};

use super::rules::{self, Rules};
use super::tool::ToolError;
use crate::netns::Namespace;

/// The multicast group of changes of nftables (`NFNLGRP_NFTABLES`, 7) as a bit of the socket's address.
const CHANGES: u32 = 1 << 6;
/// When the rules cannot be looked at or restored: the next try.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What is heard about the rules.
#[derive(Debug)]
pub enum Seen {
    /// Somebody had changed or removed them. They are in force again.
    Restored,
    /// They are not as they should be, and could not be restored. It is tried again.
    Broken(ToolError),
}

/// A socket that hears of changes.
#[derive(Debug)]
pub struct Watch {
    namespace: Namespace,
    rules: Rules,
    changes: std::os::fd::OwnedFd,
    wanted: String,
}

impl Watch {
    /// Begins to listen, then looks whether the rules are in force, and puts them there if not. True: they were not.
    pub fn begin(namespace: &Namespace, rules: Rules) -> Result<(Self, bool), ToolError> {
        // Listening first: a change between the two is heard.
        let changes = namespace.run(listen)?;
        let before = rules::in_force(namespace)?;
        rules.apply(namespace)?;
        let wanted = rules::in_force(namespace)?.unwrap_or_default();
        let restored = before.as_ref() != Some(&wanted);
        Ok((Self { namespace: namespace.clone(), rules, changes, wanted }, restored))
    }

    /// Waits for changes for ever and restores what is not as it should be. Blocks: call it on a thread of its own.
    /// `told` hears each time; false ends the watch.
    pub fn run(&self, mut told: impl FnMut(Seen) -> bool) {
        loop {
            if let Err(error) = self.wait() {
                tracing::debug!(%error, "changes of the rules were missed");
            }
            loop {
                let seen = match self.restore() {
                    Ok(false) => break,
                    Ok(true) => Seen::Restored,
                    Err(error) => Seen::Broken(error),
                };
                let broken = matches!(seen, Seen::Broken(_));
                if !told(seen) {
                    return;
                }
                if broken {
                    std::thread::sleep(TRY_AGAIN);
                }
            }
        }
    }

    /// The next change, of whatever table. An error: some were lost.
    fn wait(&self) -> io::Result<()> {
        let mut message = [0; 8192];
        recv(&self.changes, &mut message[..], RecvFlags::empty())?;
        // A transaction comes as many messages: one look is enough for all that wait.
        while recv(&self.changes, &mut message[..], RecvFlags::DONTWAIT).is_ok() {}
        Ok(())
    }

    /// Looks, and restores. True: that was needed.
    fn restore(&self) -> Result<bool, ToolError> {
        if rules::in_force(&self.namespace)?.as_ref() == Some(&self.wanted) {
            return Ok(false);
        }
        self.rules.apply(&self.namespace)?;
        Ok(true)
    }
}

fn listen() -> io::Result<std::os::fd::OwnedFd> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))?;
    bind(&socket, &SocketAddrNetlink::new(0, CHANGES))?;
    Ok(socket)
}
