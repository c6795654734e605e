//! The examples of `examples/`, run as they stand there, and the effect that each README promises.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::harness::{Load, Mesh, Sandbox, free_port, get, until};

/// The ports that the files name, and that each test gives others for.
const PORTS: [&str; 4] = ["18080", "18091", "18092", "18093"];

fn directory(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example)
}

/// An example whose mesh runs.
struct Example {
    name: &'static str,
    mesh: Mesh,
    ports: Vec<u16>,
    gateway: String,
}

impl Example {
    /// `byrnie up -f examples/NAME/mesh.yaml`; returns when the Gateway gets an answer from everything behind it.
    fn start(name: &'static str) -> Self {
        let ports: Vec<u16> = PORTS.iter().map(|_| free_port()).collect();
        let mesh = Mesh::start(&text(name, "mesh.yaml", &ports));
        let gateway = format!("127.0.0.1:{}", ports[0]);
        for port in &ports[1..] {
            // Commands listen when they are started; the last port is not everybody's.
            let used = text(name, "mesh.yaml", &ports).contains(&port.to_string());
            let address = format!("127.0.0.1:{port}");
            until("the workload listens", || (!used || get(&address, "/", &[]).is_ok()).then_some(()));
        }
        let example = Self { name, mesh, ports, gateway };
        until("the Gateway answers", || example.get(&[]).filter(|(status, _)| *status != 404));
        example
    }

    /// `byrnie apply -f examples/NAME/FILE --wait`.
    fn apply(&self, file: &str) {
        self.mesh.apply(&text(self.name, file, &self.ports));
    }

    /// GET /breads through the Gateway: status and body.
    fn get(&self, headers: &[(&str, &str)]) -> Option<(u16, String)> {
        get(&self.gateway, "/breads", headers).ok().map(|response| (response.status, response.body))
    }

    /// How many of so many requests a version answers.
    fn answered_by(&self, version: &str, requests: usize) -> usize {
        let by = format!("\"version\":\"{version}\"");
        (0..requests).filter(|_| self.get(&[]).is_some_and(|(_, body)| body.contains(&by))).count()
    }

    fn statuses(&self, requests: usize) -> Vec<u16> {
        (0..requests).filter_map(|_| self.get(&[])).map(|(status, _)| status).collect()
    }
}

/// A file of an example with this machine's program and ports.
fn text(example: &str, file: &str, ports: &[u16]) -> String {
    let path = directory(example).join(file);
    let mut text =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (written, port) in PORTS.iter().zip(ports) {
        text = text.replace(written, &port.to_string());
    }
    text.replace("[byrnie,", &format!("[{},", env!("CARGO_BIN_EXE_byrnie")))
}

#[test]
fn every_example_has_its_parts_and_nothing_is_odd_about_it() {
    let sandbox = Sandbox::new();
    let listed = std::fs::read_to_string(directory("README.md")).unwrap();
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory("")).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        let readme = std::fs::read_to_string(entry.path().join("README.md")).unwrap();
        assert!(
            readme.contains("```sh\nbyrnie up -f examples/") && readme.contains("**What to look at:**"),
            "{name}"
        );
        assert!(listed.contains(&format!("[{name}]({name}/README.md)")), "{name} is not listed");
        for file in std::fs::read_dir(entry.path()).unwrap().flatten().map(|file| file.file_name()) {
            let file = file.into_string().unwrap();
            assert!(
                file == "README.md" || readme.contains(&file),
                "{name}/README.md does not say what {file} is for"
            );
        }
        let path = entry.path().join("mesh.yaml");
        let path = path.to_str().unwrap();
        let json = sandbox.run(&["analyze", "-f", path, "-o", "json", "--failure-threshold", "info"]).json();
        assert_eq!(json["items"], serde_json::json!([]), "{name}");
        names.insert(name);
    }
    let source = include_str!("examples.rs");
    for name in names {
        assert!(source.contains(&format!("Example::start(\"{name}\")")), "{name} is not run");
    }
}

#[test]
fn canary() {
    let example = Example::start("canary");
    let v2 = example.answered_by("v2", 300);
    assert!((6..=60).contains(&v2), "{v2} of 300, expected 30");
    example.apply("half.yaml");
    let v2 = example.answered_by("v2", 300);
    assert!((105..=195).contains(&v2), "{v2} of 300, expected 150");
    example.apply("all.yaml");
    assert_eq!(example.answered_by("v2", 50), 50);
}

#[test]
fn ab() {
    let example = Example::start("ab");
    for (headers, version) in [
        (&[("x-other", "b")][..], "v1"),
        (&[("x-group", "b")], "v2"),
        (&[("x-group", "a")], "v1"),
        (&[("cookie", "group=b")], "v2"),
        (&[("cookie", "lang=en; group=b; x=1")], "v2"),
        (&[("cookie", "group=bb")], "v1"),
        (&[("cookie", "othergroup=b")], "v1"),
    ] {
        for _ in 0..5 {
            let (_, body) = example.get(headers).unwrap();
            assert!(body.contains(&format!("\"version\":\"{version}\"")), "{headers:?}: {body}");
        }
    }
    until("both rules are counted", || {
        let routes = example.mesh.items(&["routes", "-n", "shop", "-o", "json"])?;
        let counted = |rule: &str| routes.iter().any(|route| route["route"] == rule);
        (counted("catalog/group-b") && counted("catalog/everybody-else")).then_some(())
    });
}

#[test]
fn blue_green() {
    let example = Example::start("blue-green");
    assert_eq!(example.answered_by("blue", 20), 20);
    let load = Load::start(&example.gateway, "/breads", 2);
    example.apply("green.yaml");
    assert_eq!(example.answered_by("green", 20), 20);
    load.more(20);
    example.apply("mesh.yaml");
    assert_eq!(example.answered_by("blue", 20), 20);
    load.stop_unharmed();
}

#[test]
fn mirror() {
    let example = Example::start("mirror");
    assert_eq!(example.answered_by("v1", 20), 20, "what the copy is answered is seen by nobody");
    until("the copies are counted where they arrive", || {
        example.get(&[]);
        let items = example.mesh.items(&["stat", "workloads", "-n", "shop", "-o", "json"])?;
        let shadow = items.iter().find(|item| item["name"] == "catalog-v2")?;
        (shadow["rps"].as_f64()? > 0.0).then_some(())
    });
}

#[test]
fn circuit_breaker() {
    let example = Example::start("circuit-breaker");
    let before = example.statuses(40);
    let failed = before.iter().filter(|status| **status == 503).count();
    assert!((10..=30).contains(&failed), "every other one fails: {before:?}");
    example.apply("breaker.yaml");
    // Three in a row of the bad endpoint take it out.
    let after = example.statuses(40);
    let failed = after.iter().filter(|status| **status == 503).count();
    assert!(failed <= 6 && after[20..].iter().all(|status| *status == 200), "{after:?}");
    let described = example.mesh.byrnie(&["describe", "svc", "catalog", "-n", "shop"]).ok();
    let line = described.lines().find(|line| line.contains("outlierEjection.consecutiveFailures")).unwrap();
    assert!(line.contains("TrafficPolicy shop/catalog (Service shop/catalog)"), "{described}");
}

#[test]
fn rate_limit() {
    let example = Example::start("rate-limit");
    for user in ["ann", "bob"] {
        let statuses: Vec<u16> =
            (0..7).filter_map(|_| example.get(&[("x-user", user)])).map(|(s, _)| s).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429], "{user}");
    }
}

#[test]
fn fault() {
    let example = Example::start("fault");
    let statuses: Vec<u16> =
        (0..200).filter_map(|_| example.get(&[("x-experiment", "yes")])).map(|(status, _)| status).collect();
    let failed = statuses.iter().filter(|status| **status == 503).count();
    // Twenty are to be expected: four standard deviations.
    assert!((3..=40).contains(&failed), "{failed} of 200");
    assert_eq!(example.statuses(50), [200; 50], "nobody else is touched");
}

#[test]
fn locality_failover() {
    let example = Example::start("locality-failover");
    until("the near one answers", || (example.answered_by("near", 1) == 1).then_some(()));
    assert_eq!(example.answered_by("near", 30), 30);
    example.mesh.byrnie(&["delete", "workload", "catalog-near", "-n", "shop"]).ok();
    until("the other zone takes over", || (example.answered_by("far", 1) == 1).then_some(()));
    assert_eq!(example.answered_by("far", 30), 30);
    example.apply("mesh.yaml");
    until("the near one is back", || (example.answered_by("near", 10) == 10).then_some(()));
}
