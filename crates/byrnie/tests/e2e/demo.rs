//! `byrnie demo`: live and secured within ten seconds, its three commands typed, and gone without a trace.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Mesh, Sandbox, until};

/// From start to live traffic, as promised. Compiled without optimisation and beside other tests: three times that.
const LIVE: Duration = Duration::from_secs(30);

/// What a proxy of the demo may take for itself, in KiB: the whole promise for a resident proxy.
const LARGEST_PROXY: u64 = 12 * 1024;

/// The item of a list that has this name in this field.
fn item(mesh: &Mesh, args: &[&str], field: &str, value: &str) -> Option<Value> {
    mesh.items(args)?.into_iter().find(|item| item[field] == value)
}

/// Types a line as an operator would, into a shell.
fn typed(sandbox: &Sandbox, line: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(sandbox.path())
        .env_remove("BYRNIE_DATA_DIR")
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_demo_is_live_shows_something_with_each_command_and_stops_clean() {
    let start = Instant::now();
    let mut mesh = Mesh::spawn(Sandbox::new(), &["demo"]);
    mesh.wait_running();
    until("web has secured traffic", || {
        let web = item(&mesh, &["stat", "services", "-o", "json"], "name", "web")?;
        (web["rps"].as_f64()? > 0.0 && web["secured"] == true).then_some(())
    });
    assert!(start.elapsed() < LIVE, "live after {:?}", start.elapsed());

    let log = mesh.log();
    let commands: Vec<&str> =
        log.lines().filter(|line| line.contains(" --data-dir ")).map(str::trim).collect();
    let [split, deny, routes] = commands[..] else { panic!("three commands to try in:\n{log}") };

    typed(&mesh.sandbox, split);
    until("both versions of the catalog have traffic", || {
        let rps =
            |name: &str| item(&mesh, &["stat", "workloads", "-o", "json"], "name", name)?["rps"].as_f64();
        (rps("catalog-v1")? > 0.0 && rps("catalog-v2")? > 0.0).then_some(())
    });
    let answer = typed(&mesh.sandbox, deny);
    assert!(answer.contains("denied") && answer.contains("no-votes-from-load"), "{answer}");
    until("the failing route is told from the others", || {
        typed(&mesh.sandbox, routes);
        let routes = mesh.items(&["routes", "-o", "json"])?;
        let success = |name: &str| routes.iter().find(|route| route["route"] == name)?["success"].as_f64();
        (success("catalog/specials")? < 0.99 && success("catalog/breads")? > 0.99).then_some(())
    });
    let edges = mesh.items(&["edges", "-o", "json"]).unwrap();
    assert!(edges.iter().all(|edge| edge["secured"] == true), "{edges:?}");

    footprint(&mesh);
    mesh.signal(rustix::process::Signal::INT);
    assert!(mesh.wait_exit().success());
    until("nothing is left running", || mesh.sandbox.processes().is_empty().then_some(()));
}

/// Records what the demo and each of its proxies take. Compiled without optimisation a program is several times as
/// large: `cargo xtask bench` measures what is shipped, this only notices what grows without end.
fn footprint(mesh: &Mesh) {
    let kib = |pid: u32, file: &str, field: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    let mut total = 0;
    for (pid, line) in mesh.sandbox.processes_by_id() {
        let (resident, private) = (kib(pid, "status", "VmRSS:"), kib(pid, "status", "RssAnon:"));
        total += kib(pid, "smaps_rollup", "Pss:");
        if line.contains(" proxy ") {
            eprintln!("{resident} KiB resident, {private} KiB of its own: {line}");
            assert!(private < LARGEST_PROXY, "{private} KiB of its own: {line}");
        }
    }
    eprintln!("{total} KiB in all (PSS)");
    assert!(total > 0, "nothing was measured");
}
