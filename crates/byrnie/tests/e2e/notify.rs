//! Under a service manager (systemd's `Type=notify`): it hears of readiness, and which process is the main one after a
//! hot restart.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Mesh, Origin, Sandbox, free_port, get, until};

/// All that waits to be heard.
fn rest(socket: &UnixDatagram) -> String {
    let (mut space, mut text) = ([0; 4096], String::new());
    socket.set_nonblocking(true).unwrap();
    while let Ok(length) = socket.recv(&mut space) {
        text += &format!("{}\n", String::from_utf8_lossy(&space[..length]));
    }
    socket.set_nonblocking(false).unwrap();
    text
}

/// What a service manager is told, one `NAME=value` after the other, until one of this name comes.
fn told(socket: &UnixDatagram, name: &str) -> String {
    let mut space = [0; 4096];
    until(name, || {
        let length = socket.recv(&mut space).ok()?;
        let text = String::from_utf8_lossy(&space[..length]).into_owned();
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    })
}

#[test]
fn the_main_process_is_the_new_one_after_a_hot_restart() {
    let (web, port) = (Origin::start("web"), free_port());
    let (address, to) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", web.port));
    let sandbox = Sandbox::new();
    let path = sandbox.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let token = sandbox.path().join("token").display().to_string();
    let admin = format!("127.0.0.1:{}", free_port());
    let args = ["proxy", "--listen", &address, "--to", &to, "--admin", &admin, "--admin-token", &token];
    let before = format!("export NOTIFY_SOCKET={}", path.display());
    let mut proxy = Mesh::spawn_in_shell(sandbox, &before, &args);
    assert_eq!(told(&socket, "READY"), "1");
    until("it answers", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    let first = proxy.sandbox.processes_by_id()[0].0;
    proxy.signal(Signal::USR2);
    let main: u32 = told(&socket, "MAINPID").parse().unwrap();
    assert_ne!(main, first);
    assert_eq!(proxy.wait_exit().code(), Some(0), "the first process ends by itself");
    // Said by whichever process, this would be about the service.
    let said = rest(&socket);
    assert!(!said.contains("STOPPING"), "{said}");
    let left = proxy.sandbox.processes_by_id();
    assert_eq!(left.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [main]);
    assert_eq!(get(&address, "/", &[]).unwrap().status, 200);
    kill_process(Pid::from_raw(i32::try_from(main).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(told(&socket, "STOPPING"), "1");
    until("it drains and ends", || proxy.sandbox.processes().is_empty().then_some(()));
}
