//! `byrnie demo`: live and secured within ten seconds, its three commands typed, and gone without a trace.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Mesh, Sandbox, until};

/// From start to live traffic, as promised. Compiled without optimisation and beside other tests: three times that.
const LIVE: Duration = Duration::from_secs(30);

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

    mesh.signal(rustix::process::Signal::INT);
    assert!(mesh.wait_exit().success());
    until("nothing is left running", || mesh.sandbox.processes().is_empty().then_some(()));
}
