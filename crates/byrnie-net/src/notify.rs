//! systemd's notify protocol, both sides: a child tells that it is ready and gives descriptors into keeping.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::inherit::{escape, unescape};
use crate::store::FdStore;

/// How long a send may wait for a busy supervisor. After that the message is given up, the proxy goes on.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest message taken; longer ones are dropped whole.
const LONGEST_MESSAGE: usize = 4096;
/// Descriptors in one message that are taken, as in systemd; the kernel closes what does not fit.
const MOST_DESCRIPTORS: usize = 64;

/// The child's side. Without `NOTIFY_SOCKET` in the environment every call does nothing and succeeds.
/// Calls block up to 5 s when the supervisor is busy: call from the control thread, not from a data-plane worker.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// Connects to the socket that `NOTIFY_SOCKET` names (a path, or `@name` for an abstract one).
    pub fn from_env() -> io::Result<Self> {
        match std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
            None => Ok(Self { socket: None }),
            Some(name) => Self::connect(Path::new(&name)),
        }
    }

    /// Connects to this socket; see [`Notifier::from_env`].
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        match path.as_os_str().as_bytes().strip_prefix(b"@") {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => crate::unix::connect_datagram(&socket, path)?,
        }
        Ok(Self { socket: Some(socket) })
    }

    /// Whether anybody listens, that is, whether a supervisor started us.
    pub fn is_supervised(&self) -> bool {
        self.socket.is_some()
    }

    /// The child can do its work now.
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1", None)
    }

    /// The child finishes what it has and takes nothing new.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1", None)
    }

    /// Asks for another process in the place of this one, beside which this one goes on until it is told.
    pub fn restart(&self) -> io::Result<()> {
        self.send("BYRNIE_RESTART=1", None)
    }

    /// The main process is another one from now on (systemd follows it).
    pub fn main_pid(&self, pid: u32) -> io::Result<()> {
        self.send(&format!("MAINPID={pid}"), None)
    }

    /// One line for people: what the child is doing, or why it cannot.
    pub fn status(&self, line: &str) -> io::Result<()> {
        self.send(&format!("STATUS={}", line.replace('\n', " ")), None)
    }

    /// Gives a descriptor into keeping; at the next start it is handed back under this name
    /// ([`crate::Inherited::remove`]). Under systemd several may have one name: use [`Notifier::replace`] for those.
    pub fn store(&self, name: &str, descriptor: impl AsFd) -> io::Result<()> {
        self.send(&format!("FDSTORE=1\nFDNAME={}", escape(name)), Some(descriptor.as_fd()))
    }

    /// The supervisor closes the descriptor of this name.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={}", escape(name)), None)
    }

    /// Stores a descriptor in the place of the one that has this name.
    pub fn replace(&self, name: &str, descriptor: impl AsFd) -> io::Result<()> {
        self.remove(name)?;
        self.store(name, descriptor)
    }

    fn send(&self, message: &str, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let text = [IoSlice::new(message.as_bytes())];
        rustix::net::sendmsg(socket, &text, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// One message of a child, and who sent it as the kernel vouches.
#[derive(Debug)]
pub struct Notification {
    /// The sender's process id, from the kernel (`SCM_CREDENTIALS`). The receiver must know this process.
    pub pid: u32,
    /// `READY=1` was said.
    pub ready: bool,
    /// `STOPPING=1` was said.
    pub stopping: bool,
    /// `BYRNIE_RESTART=1` was said: another process is wanted in this one's place.
    pub restart: bool,
    /// The last `STATUS=` line.
    pub status: Option<String>,
    /// What to do with descriptors, if anything.
    pub descriptor: Option<DescriptorChange>,
}

/// A child's wish about the descriptors kept for it.
#[derive(Debug)]
pub enum DescriptorChange {
    /// Keep this one under the name.
    Store(String, OwnedFd),
    /// Close the one of this name.
    Remove(String),
}

impl DescriptorChange {
    /// Does it. `false`: the store is full.
    pub fn apply(self, store: &mut FdStore) -> bool {
        match self {
            Self::Store(name, descriptor) => store.insert(name, descriptor),
            Self::Remove(name) => {
                store.remove(&name);
                true
            }
        }
    }
}

/// The supervisor's side: one datagram socket for all children.
#[derive(Debug)]
pub struct NotifyServer {
    socket: AsyncFd<UnixDatagram>,
}

impl NotifyServer {
    /// Binds the socket at `path`, mode 0600. Needs a tokio runtime.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = crate::unix::datagram(path, 0o600)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        socket.set_nonblocking(true)?;
        // SAFETY: the descriptor stays the same and open until the `UnixDatagram` inside is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(Self { socket })
    }

    /// The next message. Messages without a sender, cut off, or not text are dropped. Cancel-safe.
    pub async fn receive(&self) -> io::Result<Notification> {
        loop {
            let received = self.socket.async_io(Interest::READABLE, receive_one).await?;
            if let Some(notification) = received {
                return Ok(notification);
            }
        }
    }
}

fn receive_one(socket: &UnixDatagram) -> io::Result<Option<Notification>> {
    let mut text = [0_u8; LONGEST_MESSAGE];
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS), ScmCredentials(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)?;
    let mut pid = None;
    let mut descriptors = Vec::new();
    for part in ancillary.drain() {
        match part {
            RecvAncillaryMessage::ScmRights(received) => descriptors.extend(received),
            RecvAncillaryMessage::ScmCredentials(sender) => pid = Some(sender.pid.as_raw_pid()),
            _ => {}
        }
    }
    let cut_off = message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    let pid = pid.and_then(|pid| u32::try_from(pid).ok());
    let (Some(pid), false, Ok(text)) = (pid, cut_off, std::str::from_utf8(&text[..message.bytes])) else {
        return Ok(None);
    };
    Ok(Some(parse(pid, text, descriptors)))
}

fn parse(pid: u32, text: &str, descriptors: Vec<OwnedFd>) -> Notification {
    let mut notification =
        Notification { pid, ready: false, stopping: false, restart: false, status: None, descriptor: None };
    let (mut name, mut store, mut remove) = (String::from("stored"), false, false);
    for line in text.lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => notification.ready = true,
            Some(("STOPPING", "1")) => notification.stopping = true,
            Some(("BYRNIE_RESTART", "1")) => notification.restart = true,
            Some(("STATUS", status)) => notification.status = Some(status.to_owned()),
            Some(("FDSTORE", "1")) => store = true,
            Some(("FDSTOREREMOVE", "1")) => remove = true,
            Some(("FDNAME", value)) => name = unescape(value),
            _ => {}
        }
    }
    notification.descriptor = match (remove, store, descriptors.into_iter().next()) {
        (true, _, _) => Some(DescriptorChange::Remove(name)),
        (false, true, Some(descriptor)) => Some(DescriptorChange::Store(name, descriptor)),
        _ => None,
    };
    notification
}

#[cfg(test)]
mod tests;
