//! Help, completion scripts and man pages: all from one flag table.

use std::process::{Command, Stdio};

use crate::harness::Sandbox;

/// The words that operators type; a change here is a change of the contract.
const COMMANDS: [&str; 22] = [
    "demo",
    "up",
    "run",
    "apply",
    "get",
    "describe",
    "delete",
    "check",
    "analyze",
    "stat",
    "routes",
    "edges",
    "tap",
    "top",
    "proxy-status",
    "why",
    "version",
    "completion",
    "man",
    "control-plane",
    "proxy",
    "demo-app",
];

#[test]
fn help_lists_every_command_in_the_order_of_its_use() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["--help"]).ok();
    let mut rest = help.as_str();
    for command in COMMANDS {
        let at = rest.find(&format!("\n  {command} ")).unwrap_or_else(|| panic!("{command} in {help}"));
        rest = &rest[at + 1..];
    }
}

#[test]
fn every_command_has_help_and_a_man_page() {
    let sandbox = Sandbox::new();
    let pages = sandbox.path().join("man");
    sandbox.run(&["man", "--dir", "man"]).ok();
    for command in COMMANDS {
        assert!(sandbox.run(&[command, "--help"]).ok().contains("Usage: byrnie "), "{command}");
        let page = std::fs::read_to_string(pages.join(format!("byrnie-{command}.1"))).unwrap();
        assert!(page.contains(".TH"), "{command}");
    }
    assert!(sandbox.run(&["man"]).ok().contains(".TH byrnie 1"));
}

#[test]
fn completion_scripts() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.run(&["completion", shell]).ok();
        for command in ["proxy-status", "apply", "why"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let bash = sandbox.file("byrnie.bash", &sandbox.run(&["completion", "bash"]).ok());
    let status = Command::new("bash").arg("-n").arg(bash).stdin(Stdio::null()).status().unwrap();
    assert!(status.success());
}
