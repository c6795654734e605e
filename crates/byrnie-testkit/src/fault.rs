//! Real faults: packets of a workload that never arrive.

use std::io::Write;
use std::process::Stdio;

use byrnie_net::Namespace;

use crate::ground::Ground;

/// Whose packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the workload and its proxy send.
    From,
    /// What is sent to them.
    To,
    /// Both.
    Both,
}

/// A fault that lasts until it is dropped.
#[derive(Debug)]
pub struct Fault(Namespace);

/// A table of its own, before all others.
const TABLE: &str = "table inet byrnie_testkit";

impl Ground {
    /// From now on packets of a captured workload are lost between it and the switch.
    pub fn lose(&self, workload: &str, way: Way) -> Fault {
        let namespace = self.namespace(workload);
        let chain = |hook: &str, interface: &str| {
            format!(
                "chain {hook} {{ type filter hook {hook} priority -400; policy accept; {interface} \"eth0\" drop; }}\n"
            )
        };
        let from = if way == Way::To { String::new() } else { chain("output", "oifname") };
        let to = if way == Way::From { String::new() } else { chain("input", "iifname") };
        nft(&namespace, &format!("{TABLE}\ndelete {TABLE}\n{TABLE} {{\n{from}{to}}}\n"));
        Fault(namespace)
    }

    /// A transaction of `nft` in the namespace of a captured workload, by somebody with every right.
    pub fn nft(&self, workload: &str, script: &str) {
        nft(&self.namespace(workload), script);
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        nft(&self.0, &format!("{TABLE}\ndelete {TABLE}\n"));
    }
}

fn nft(namespace: &Namespace, script: &str) {
    let mut command = namespace.command("nft");
    let mut child = command.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
}
