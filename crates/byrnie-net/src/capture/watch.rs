//! A watch over a namespace's rules: the kernel tells of every change of any table, of routing rules and of routes, and
//! ours are compared.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with};

use super::answers;
use super::rules::{self, Rules};
use super::tool::ToolError;
use crate::netns::Namespace;

/// The multicast group of changes of nftables (`NFNLGRP_NFTABLES`, 7) as a bit of the socket's address.
const CHANGES: u32 = 1 << 6;
/// Those of changes of routes and routing rules, of both families (`RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV4_RULE`,
/// `RTMGRP_IPV6_ROUTE`, and `RTNLGRP_IPV6_RULE`, 19).
const ROUTES: u32 = 1 << 6 | 1 << 7 | 1 << 10 | 1 << 18;
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
    changes: [OwnedFd; 2],
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
        let restored = answers::apply(namespace)? || before.as_ref() != Some(&wanted);
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
        let [tables, routes] = &self.changes;
        let mut sockets = [tables, routes].map(|socket| PollFd::new(socket, PollFlags::IN));
        poll(&mut sockets, None)?;
        let mut message = [0; 8192];
        for socket in &self.changes {
            // A transaction comes as many messages: one look is enough for all that wait.
            loop {
                match recv(socket, &mut message[..], RecvFlags::DONTWAIT) {
                    Ok(_) => {}
                    Err(Errno::AGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Looks, and restores. True: that was needed.
    fn restore(&self) -> Result<bool, ToolError> {
        let routes = answers::apply(&self.namespace)?;
        if rules::in_force(&self.namespace)?.as_ref() == Some(&self.wanted) {
            return Ok(routes);
        }
        self.rules.apply(&self.namespace)?;
        Ok(true)
    }
}

/// One socket for nftables, one for routing (the protocol of number 0).
fn listen() -> io::Result<[OwnedFd; 2]> {
    let hear = |protocol, groups| {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok::<_, io::Error>(socket)
    };
    Ok([hear(Some(netlink::NETFILTER), CHANGES)?, hear(None, ROUTES)?])
}
