//! The conformance tests of HTTP/2 (h2spec) against a Gateway's plaintext listener, and against a mesh port through a
//! shim that has a certificate of the mesh.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{Mesh, Origin, free_port, get, skip, until, yaml};
use crate::regression::tls::Member;

/// For so long the shim waits for more to pass on.
const GATHERED: Duration = Duration::from_millis(10);
/// All cases of h2spec 2.2.1, which calls itself 2.6.
const CASES: usize = 145;
/// An invalid preface on a port that also speaks HTTP/1: it is a bad request of HTTP/1, and gets the answer to one.
const ALSO_HTTP1: &str = "2: Sends invalid connection preface";

/// What fails of h2spec at this address.
fn failures(address: &str) -> Vec<String> {
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut command = Command::new("h2spec");
    let output = command.args(["-h", host, "-p", port, "-o", "10"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = text.lines().rev().find(|line| line.contains(" tests, ")).unwrap_or_default();
    let number = |word: &str| {
        let part = summary.split(", ").find(|part| part.ends_with(word)).unwrap_or("0");
        part.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(number("tests"), CASES, "{text}");
    // One that h2spec leaves out by itself unless it is told to be strict.
    assert!(number("skipped") <= 1 && number("passed") + number("failed") >= CASES - 1, "{text}");
    let (_, failed) = text.rsplit_once("Failures:").unwrap_or_default();
    let failed = failed.lines().filter_map(|line| line.trim_start().strip_prefix("× "));
    failed.map(str::to_owned).collect()
}

fn has_h2spec() -> bool {
    let found = Command::new("h2spec").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skip("h2spec is not installed");
    }
    found
}

fn shop(port: u16) -> (Mesh, Origin) {
    let web = Origin::start("web");
    let text = [
        yaml::workload("web-1", "web", web.port, ""),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
    ];
    let mesh = Mesh::start(&text.concat());
    let address = format!("127.0.0.1:{port}");
    until("the application answers", || (get(&address, "/", &[]).ok()?.status == 200).then_some(()));
    (mesh, web)
}

#[test]
fn a_gateways_listener_speaks_http2_as_it_is_written() {
    if !has_h2spec() {
        return;
    }
    let port = free_port();
    let _shop = shop(port);
    let failed = failures(&format!("127.0.0.1:{port}"));
    assert!(failed.iter().all(|case| case == ALSO_HTTP1), "{failed:#?}");
}

#[test]
fn a_mesh_port_speaks_http2_as_it_is_written() {
    if !has_h2spec() {
        return;
    }
    let (mesh, _web) = shop(free_port());
    let shim = shim(Arc::new(Member::of(&mesh, "a")), mesh_port(&mesh));
    assert_eq!(failures(&shim), Vec::<String>::new());
}

fn mesh_port(mesh: &Mesh) -> String {
    let path = mesh.data_dir().join("proxies/shop/web-1/addresses.json");
    let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    addresses["mesh"].as_str().unwrap().to_owned()
}

/// Listens without TLS and passes everything on with a client's certificate.
fn shim(member: Arc<Member>, to: String) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for plain in listener.incoming().flatten() {
            let (member, to) = (Arc::clone(&member), to.clone());
            std::thread::spawn(move || pass_on(&member, &to, plain));
        }
    });
    address
}

/// One thread for each direction; the session between them is held only for as long as there is something to do.
fn pass_on(member: &Member, to: &str, plain: TcpStream) {
    let Ok((session, tls)) = member.connect(to) else { return };
    let session = Arc::new(Mutex::new(session));
    let (up, mut to_tls, mut from_plain) =
        (Arc::clone(&session), tls.try_clone().unwrap(), plain.try_clone().unwrap());
    std::thread::spawn(move || {
        let mut space = [0; 16 * 1024];
        loop {
            let mut read = from_plain.read(&mut space).unwrap_or(0);
            // What belongs together goes on together: a proxy refuses at once what does not come from a proxy, and a
            // case about a stream that is open would find it closed.
            from_plain.set_read_timeout(Some(GATHERED)).unwrap();
            while (1..space.len()).contains(&read) {
                match from_plain.read(&mut space[read..]) {
                    Ok(more @ 1..) => read += more,
                    _ => break,
                }
            }
            from_plain.set_read_timeout(None).unwrap();
            let mut session = up.lock().unwrap();
            if read == 0 {
                session.send_close_notify();
            }
            let _ = session.writer().write_all(&space[..read]);
            while session.wants_write() {
                if session.write_tls(&mut to_tls).is_err() {
                    return;
                }
            }
            if read == 0 {
                let _ = to_tls.shutdown(Shutdown::Write);
                return;
            }
        }
    });
    let (mut from_tls, mut to_plain) = (tls, plain);
    from_tls.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut space = [0; 16 * 1024];
    loop {
        let read = from_tls.read(&mut space).unwrap_or(0);
        let mut session = session.lock().unwrap();
        let mut bytes = &space[..read];
        let mut clear = Vec::new();
        while !bytes.is_empty() {
            if session.read_tls(&mut bytes).is_err() || session.process_new_packets().is_err() {
                let _ = to_plain.shutdown(Shutdown::Both);
                return;
            }
            // Ends with WouldBlock when there is no more for now.
            let _ = session.reader().read_to_end(&mut clear);
        }
        if to_plain.write_all(&clear).is_err() || read == 0 {
            let _ = to_plain.shutdown(Shutdown::Both);
            return;
        }
    }
}
