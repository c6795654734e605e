//! What passes a workload's link, packet by packet.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::ground::Ground;

/// `tcpdump` on the link between a workload and the switch.
pub struct Sniff {
    child: Child,
    file: PathBuf,
}

impl Ground {
    /// Listens to a captured workload's link from now on.
    pub fn sniff(&self, workload: &str) -> Sniff {
        let file = self.path().join(format!("{workload}.pcap"));
        let mut command = self.namespace(workload).command("tcpdump");
        command.args(["-i", "eth0", "-U", "--immediate-mode", "-Z", "root", "-s", "0", "-w"]).arg(&file);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended");
        }
        // What it says at its end has nowhere to go otherwise.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Sniff { child, file }
    }
}

impl Sniff {
    /// Everything that passed, as it was captured.
    pub fn stop(mut self) -> Vec<u8> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.wait().unwrap();
        std::fs::read(&self.file).unwrap()
    }
}

impl Drop for Sniff {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
