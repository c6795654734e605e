//! Commands where no mesh runs.

use std::process::Stdio;
use std::time::Duration;

use crate::harness::Sandbox;

#[test]
fn none_running_is_told_within_a_second_with_the_command_to_start_one() {
    let sandbox = Sandbox::new();
    let data_dir = sandbox.data_dir().display().to_string();
    for args in
        [&["get", "services"][..], &["stat"], &["edges"], &["tap"], &["why", "a", "b"], &["describe", "gtw"]]
    {
        let run = sandbox.run(args);
        assert!(run.took < Duration::from_secs(1), "{args:?} {run:?}");
        let stderr = run.refused(1);
        let expected = format!(
            "error[BYR0440]: no mesh is running in {data_dir}\nhelp: start one: `byrnie --data-dir {data_dir} up -f \
             FILE`, or `byrnie --data-dir {data_dir} demo` for a sample\n"
        );
        assert_eq!(stderr, expected, "{args:?}");
    }
}

#[test]
fn a_socket_that_nobody_listens_on_is_no_mesh() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.data_dir()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(sandbox.data_dir().join("api.sock")).unwrap());
    assert!(sandbox.run(&["get", "svc"]).refused(1).starts_with("error[BYR0440]"));
}

#[test]
fn the_data_directory_comes_from_flag_environment_or_home() {
    let sandbox = Sandbox::new();
    let says = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = sandbox.command(args);
        command.env_remove("BYRNIE_DATA_DIR").env("HOME", "/nowhere").envs(env.iter().copied());
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(says(&["get", "svc"], &[]).contains("in /nowhere/.local/share/byrnie\n"));
    assert!(says(&["get", "svc"], &[("XDG_DATA_HOME", "/xdg")]).contains("in /xdg/byrnie\n"));
    assert!(says(&["get", "svc"], &[("BYRNIE_DATA_DIR", "/env")]).contains("in /env\n"));
    assert!(
        says(&["--data-dir", "/flag", "get", "svc"], &[("BYRNIE_DATA_DIR", "/env")]).contains("in /flag\n")
    );
    assert!(says(&["get", "svc", "--data-dir", "/flag"], &[]).contains("in /flag\n"));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let sandbox = Sandbox::new();
    for args in [&["frobnicate"][..], &["get"], &["apply"], &["get", "svc", "-o", "xml"], &["why", "a"]] {
        assert_eq!(sandbox.run(args).code, Some(2), "{args:?}");
    }
    assert!(sandbox.run(&["aplly"]).refused(2).contains("apply"), "a near miss is named");
}

#[test]
fn a_file_that_is_not_there_or_not_readable_is_named() {
    let sandbox = Sandbox::new();
    let stderr = sandbox.run(&["apply", "-f", "missing.yaml"]).refused(1);
    assert!(stderr.contains("missing.yaml"), "{stderr}");
    sandbox.file("bad.yaml", "kind: Service\n---\nmetadata: {name: a\n");
    let stderr = sandbox.run(&["apply", "-f", "bad.yaml"]).refused(1);
    assert!(stderr.contains("bad.yaml:"), "{stderr}");
    sandbox.file("empty.yaml", "# nothing\n");
    let stderr = sandbox.run(&["apply", "-f", "empty.yaml"]).refused(1);
    assert!(stderr.contains("empty.yaml"), "{stderr}");
}

#[test]
fn files_are_analyzed_without_a_mesh() {
    let sandbox = Sandbox::new();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {app: a}, ports: [{port: 80}]}\n";
    let route = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n  \
                 parentRefs: [{kind: Service, group: \"\", name: a}]\n  rules: [{backendRefs: [{name: b, port: 80}]}]\n";
    sandbox.file("dangling.yaml", &format!("{service}{route}"));
    let run = sandbox.run(&["analyze", "-f", "dangling.yaml"]);
    assert!(run.stdout.contains("[BYR0101]") && run.stdout.contains("--> dangling.yaml:6"), "{run:?}");
    let findings = sandbox.run(&["analyze", "-f", "dangling.yaml", "-o", "json"]);
    let findings: serde_json::Value = serde_json::from_str(&findings.stdout).unwrap();
    assert!(findings["items"].as_array().unwrap().iter().any(|item| item["code"] == "BYR0101"), "{findings}");
    sandbox.file("broken.yaml", &service.replace("spec:", "sepc:"));
    let run = sandbox.run(&["analyze", "-f", "broken.yaml"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("error[BYR0010]") && run.stdout.contains("broken.yaml:4"), "{run:?}");
}

#[test]
fn version_of_the_client_alone() {
    let sandbox = Sandbox::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(sandbox.run(&["version", "--client"]).ok(), format!("Client version: {version}\n"));
    let text = sandbox.run(&["version"]).ok();
    assert_eq!(
        text,
        format!("Client version: {version}\nServer version: unavailable (no mesh is running here)\n")
    );
    assert_eq!(sandbox.run(&["version", "-o", "json"]).json()["server"], serde_json::Value::Null);
    assert_eq!(sandbox.run(&["--version"]).ok(), format!("byrnie {version}\n"));
}

#[test]
fn check_before_anything_runs() {
    let sandbox = Sandbox::new();
    let text = sandbox.run(&["check", "--pre"]).ok();
    assert!(text.starts_with("machine\n-------\n√ "), "{text}");
    assert!(text.ends_with("Status check results are √\n"), "{text}");
    let report = sandbox.run(&["check", "-o", "json"]).json();
    assert_eq!(report["success"], true);
    assert_eq!(report["categories"][1]["categoryName"], "control-plane");
    assert_eq!(report["categories"][1]["checks"][0]["result"], "warning");
}

#[test]
fn check_fails_where_the_data_directory_cannot_be() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("a-file", "");
    let run = sandbox.run(&["check", "--pre", "--data-dir", file.join("data").to_str().unwrap()]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("× the data directory"), "{}", run.stdout);
    assert!(run.stdout.ends_with("Status check results are ×\n"), "{}", run.stdout);
}

#[test]
fn a_closed_pipe_is_quiet() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["man", "--markdown"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
