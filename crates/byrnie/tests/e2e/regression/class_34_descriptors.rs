//! Descriptors that run out (CVE-2020-8663, CVE-2024-47609): the accept loop lives, and takes connections again.

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use super::site::Site;
use crate::harness::{get, until};

#[test]
fn without_descriptors_it_waits_and_goes_on() {
    let site = Site::open();
    let limit = Rlimit { current: Some(96), maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(Some(site.gateway_pid()), Resource::Nofile, limit).unwrap();
    let held: Vec<_> = (0..400).filter_map(|_| TcpStream::connect(&site.gateway).ok()).collect();
    // Some end by a reset, also while they wait to be accepted.
    for stream in held.iter().step_by(3) {
        rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
    }
    drop(held);
    until("new connections are served again", || {
        (get(&site.gateway, "/x", &[]).ok()?.status == 200).then_some(())
    });
    prlimit(Some(site.gateway_pid()), Resource::Nofile, before).unwrap();
    site.holds();
}
