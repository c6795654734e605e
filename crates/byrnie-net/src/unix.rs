//! Unix sockets in directories of any depth, and who is at the other end.
//!
//! A socket address holds 107 bytes of path. Longer ones are reached through `/proc/self/fd/<directory>/<name>`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};

/// The longest path that fits into a socket address (108 bytes with the closing zero).
const LONGEST: usize = 107;

/// A path that fits, with the open directory that it goes through, if it had to be shortened.
fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= LONGEST {
        return Ok((path.to_owned(), None));
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = File::open(directory)?;
    let through = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((through, Some(directory)))
}

/// Listens at `path` with this file mode (0o600: this user only). A socket file left by a dead process is replaced,
/// so take the directory's lock first. Blocking; call `set_nonblocking` for tokio.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = bind(Type::STREAM, path, mode)?;
    socket.listen(128)?;
    Ok(socket.into())
}

/// A datagram socket at `path`; as [`listen`].
pub fn datagram(path: &Path, mode: u32) -> io::Result<UnixDatagram> {
    Ok(bind(Type::DGRAM, path, mode)?.into())
}

fn bind(kind: Type, path: &Path, mode: u32) -> io::Result<Socket> {
    let (place, _directory) = short(path)?;
    match std::fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    // Linux gives the file the mode of the socket: there is no moment at which others could connect.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
    socket.bind(&SockAddr::unix(&place)?)?;
    Ok(socket)
}

/// Connects to the listener at `path`. Blocking; call `set_nonblocking` for tokio.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (place, _directory) = short(path)?;
    UnixStream::connect(place)
}

/// Points an unbound datagram socket at the one at `path`.
pub(crate) fn connect_datagram(socket: &UnixDatagram, path: &Path) -> io::Result<()> {
    let (place, _directory) = short(path)?;
    socket.connect(place)
}

/// The user id of the process at the other end, as the kernel recorded it when it connected.
pub fn peer_uid(stream: &impl AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// The user id of this process.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_deep_directory_works_like_a_shallow_one() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        for path in [root.path().join("api.sock"), deep.join("api.sock")] {
            let listener = listen(&path, 0o600).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let client = connect(&path).unwrap();
            let (server, _) = listener.accept().unwrap();
            assert_eq!(peer_uid(&server).unwrap(), own_uid());
            assert_eq!(peer_uid(&client).unwrap(), own_uid());
            drop(listener);
            assert!(connect(&path).is_err());
            listen(&path, 0o600).unwrap();
        }
    }
}
