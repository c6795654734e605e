//! The first file as a user without any privilege.

use std::os::unix::fs::{MetadataExt, chown};

use crate::harness::{Mesh, Origin, Sandbox, free_port, get, until, yaml};

/// The user and group that Debian calls nobody and nogroup.
const NOBODY: u32 = 65534;

#[test]
fn a_user_without_privileges_has_a_whole_mesh() {
    let sandbox =
        if rustix::process::geteuid().is_root() { Sandbox::of_user(NOBODY) } else { Sandbox::new() };
    let (web, port) = (Origin::start("web"), free_port());
    let text = [
        yaml::workload("web-1", "web", web.port, "command: [sh, -c, 'id -u > user; exec sleep 1000']"),
        yaml::service("web", "http"),
        yaml::gateway("front", &[port]),
        yaml::route_to("web", "front"),
    ];
    let path = sandbox.file("mesh.yaml", &text.concat());
    let user = std::fs::metadata(sandbox.path()).unwrap().uid();
    chown(path, Some(user), Some(user)).unwrap();
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    mesh.wait_synced();
    let gateway = format!("127.0.0.1:{port}");
    until("the gateway answers 200", || (get(&gateway, "/", &[]).ok()?.status == 200).then_some(()));
    let edge = until("the edge is seen", || mesh.items(&["edges", "-o", "json"])?.into_iter().next());
    assert_eq!(edge["secured"], true, "{edge}");
    for name in ["front", "web-1"] {
        let pid = mesh.proxy_pid(name).as_raw_nonzero();
        let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
        assert_eq!(owner, user, "the proxy of {name} runs as the user that started it");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let effective = status.lines().find(|line| line.starts_with("CapEff:")).unwrap();
        let all_dropped = effective.ends_with("\t0000000000000000");
        assert!(all_dropped || user == 0, "{effective}");
    }
    let written = mesh.sandbox.path().join("user");
    let said =
        until("the command runs", || std::fs::read_to_string(&written).ok().filter(|text| !text.is_empty()));
    assert_eq!(said.trim(), user.to_string());
    let (status, _) = mesh.stop();
    assert!(status.success());
}
