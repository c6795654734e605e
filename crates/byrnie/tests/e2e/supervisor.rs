//! What `up` and `run` do about processes: start, follow, end, and leave nothing behind. Plain endpoints only; what
//! needs proxies is tested with them.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::harness::{Mesh, Sandbox, until};

/// A Workload without a proxy that says a word and then waits, with a child and a daemon below it.
fn talker(name: &str, word: &str) -> String {
    format!(
        "apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop}}
spec:
  proxy: none
  env: [{{name: WORD, value: {word}}}]
  command: [sh, -c, 'echo I say $WORD in $PWD; (setsid sleep 1000 &); sleep 1000 & wait']
---
"
    )
}

/// Every living process of this sandbox: they all inherit its data directory's name.
fn processes(sandbox: &Sandbox) -> Vec<(u32, String)> {
    let mark = format!("BYRNIE_DATA_DIR={}", sandbox.data_dir().display());
    let all =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let pids = all.filter_map(|name| name.parse::<u32>().ok());
    let ours = pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    ours.map(|pid| (pid, std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()))
        .collect()
}

fn says(mesh: &Mesh, words: &str) {
    until(words, || mesh.log().contains(words).then_some(()));
}

#[test]
fn commands_run_in_the_files_directory_and_follow_their_workload() {
    let sandbox = Sandbox::new();
    sandbox.file("shop/mesh.yaml", &talker("a", "hello"));
    let directory = sandbox.path().canonicalize().unwrap().join("shop");
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "shop/mesh.yaml"]);
    says(&mesh, &format!("a | I say hello in {}\n", directory.display()));
    // Applied from elsewhere the words change, and the directory is that of the file again.
    mesh.sandbox.file("shop/mesh.yaml", &talker("a", "bye"));
    mesh.byrnie(&["apply", "-f", "shop/mesh.yaml"]).ok();
    says(&mesh, &format!("a | I say bye in {}\n", directory.display()));
    let sleeps =
        || processes(&mesh.sandbox).iter().filter(|(_, command)| command.starts_with("sleep")).count();
    until("only the new one runs", || (sleeps() == 2).then_some(()));
    mesh.byrnie(&["delete", "workload", "a"]).ok();
    until("it is gone with all that it started", || (sleeps() == 0).then_some(()));
}

#[test]
fn a_command_that_ends_is_started_again() {
    let sandbox = Sandbox::new();
    let ending = talker("b", "x").replace("wait'", "sleep 0.01; exit 3'");
    sandbox.file("mesh.yaml", &ending);
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    says(&mesh, "b | ended with exit code 3; again in 0.");
    until("twice", || (mesh.log().matches("b | I say x").count() >= 2).then_some(()));
    // Its leftovers went with each life.
    mesh.byrnie(&["delete", "workload", "b"]).ok();
    let left = || processes(&mesh.sandbox).iter().filter(|(_, command)| command.starts_with("sleep")).count();
    until("nothing is left", || (left() == 0).then_some(()));
}

#[test]
fn a_running_mesh_takes_files_and_prunes_what_they_no_longer_name() {
    let sandbox = Sandbox::new();
    sandbox.file("mesh.yaml", &(talker("a", "one") + &talker("b", "two")));
    sandbox.file("other.yaml", &talker("c", "three"));
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    says(&mesh, "b | I say two");
    assert_eq!(mesh.byrnie(&["up", "-f", "other.yaml"]).ok(), "workload/shop/c created\n");
    says(&mesh, "c | I say three");
    mesh.sandbox.file("mesh.yaml", &talker("a", "one"));
    assert_eq!(mesh.byrnie(&["up", "-f", "mesh.yaml"]).ok(), "workload/shop/a unchanged\n");
    assert_eq!(mesh.items(&["get", "workloads", "-o", "json"]).unwrap().len(), 3, "nothing was removed");
    let pruned = mesh.byrnie(&["up", "-f", "mesh.yaml", "--prune"]).ok();
    assert_eq!(pruned, "workload/shop/a unchanged\nworkload/shop/b pruned\n");
    until("b is gone", || {
        let commands = processes(&mesh.sandbox);
        (commands.iter().filter(|(_, command)| command.starts_with("sleep")).count() == 4).then_some(())
    });
}

#[test]
fn ctrl_c_leaves_nothing_running_and_a_new_up_finds_everything() {
    let sandbox = Sandbox::new();
    sandbox.file("mesh.yaml", &talker("a", "hello"));
    let mut mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    says(&mesh, "a | I say hello");
    mesh.signal(Signal::INT);
    assert_eq!(mesh.wait_exit().code(), Some(0));
    assert_eq!(processes(&mesh.sandbox), []);
    mesh.restart(&["up"]);
    until("it says so again", || (mesh.log().matches("a | I say hello").count() == 2).then_some(()));
}

#[test]
fn a_killed_supervisor_leaves_nothing_running() {
    let sandbox = Sandbox::new();
    sandbox.file("mesh.yaml", &(talker("a", "one") + &talker("b", "two")));
    let mut mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    says(&mesh, "a | I say one");
    says(&mesh, "b | I say two");
    mesh.signal(Signal::KILL);
    assert_eq!(mesh.wait_exit().signal(), Some(9));
    until("nothing is left", || processes(&mesh.sandbox).is_empty().then_some(()));
    mesh.restart(&["up"]);
    until("a new one may start at once", || (mesh.log().matches("b | I say two").count() == 2).then_some(()));
}

#[test]
fn a_killed_keeper_takes_its_tree_along_and_the_command_comes_back() {
    let sandbox = Sandbox::new();
    sandbox.file("mesh.yaml", &talker("a", "hello"));
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    says(&mesh, "a | I say hello");
    let sleeps = || {
        let all = processes(&mesh.sandbox).into_iter().filter(|(_, command)| command.starts_with("sleep"));
        all.map(|(pid, _)| pid).collect::<Vec<_>>()
    };
    let before = until("both sleep", || Some(sleeps()).filter(|pids| pids.len() == 2));
    let keeper =
        processes(&mesh.sandbox).into_iter().find(|(_, command)| command.contains("\0keeper\0")).unwrap().0;
    let keeper = rustix::process::Pid::from_raw(keeper.cast_signed()).unwrap();
    rustix::process::kill_process(keeper, Signal::KILL).unwrap();
    until("others sleep now", || {
        let now = sleeps();
        (now.len() == 2 && now.iter().all(|pid| !before.contains(pid))).then_some(())
    });
}

#[test]
fn a_killed_control_plane_comes_back_and_commands_notice_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("mesh.yaml", &talker("a", "hello"));
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    says(&mesh, "a | I say hello");
    let server = || {
        let version = mesh.byrnie(&["version", "-o", "json"]);
        (version.code == Some(0)).then(|| version.json()["server"]["pid"].as_u64()).flatten()
    };
    let first = until("the control plane answers", server);
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    until("another control plane answers", || server().filter(|pid| *pid != first));
    mesh.byrnie(&["delete", "workload", "a"]).ok();
    until("it is followed again", || {
        let all = processes(&mesh.sandbox);
        all.iter().all(|(_, command)| !command.starts_with("sleep")).then_some(())
    });
    let log = mesh.log();
    assert_eq!(log.matches("a | I say hello").count(), 1, "the command ran on: {log}");
    assert!(log.contains("control plane: was killed by signal 9; again in 0.1 s"), "{log}");
}

#[test]
fn what_cannot_begin_says_why_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("bad.yaml", "kind: Workload\napiVersion: [\n");
    let stderr = sandbox.run(&["up", "-f", "bad.yaml"]).refused(1);
    assert!(stderr.contains("bad.yaml:"), "{stderr}");
    assert!(!sandbox.data_dir().exists(), "nothing was begun");
    sandbox.file("data/store.redb", "this is no store");
    let stderr = sandbox.run(&["up"]).refused(1);
    assert!(stderr.contains("error[BYR0490]: the control plane does not start"), "{stderr}");
    assert_eq!(processes(&sandbox), []);
}

#[test]
fn run_becomes_the_command_of_a_workload() {
    let sandbox = Sandbox::new();
    let silent = talker("a", "hello").replace("  command:", "  # command:");
    let twin = silent.replace("namespace: shop", "namespace: other").replace("hello", "twin");
    sandbox.file("mesh.yaml", &(silent + &twin));
    let mesh = Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"]);
    until("both are there", || {
        mesh.items(&["get", "workloads", "-o", "json"]).filter(|workloads| workloads.len() == 2)
    });
    let run = |workload: &[&str]| {
        let mut arguments = vec!["run"];
        arguments.extend(workload);
        arguments.extend(["--", "sh", "-c", "echo $WORD; exit 5"]);
        mesh.byrnie(&arguments)
    };
    for (workload, word) in
        [(&["--workload", "shop/a"][..], "hello\n"), (&["--workload", "a", "-n", "other"], "twin\n")]
    {
        let ended = run(workload);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(5), word), "{ended:?}");
    }
    for (workload, words) in [
        (&["--workload", "a"][..], "error[BYR0492]: Workload a is in the namespaces other, shop"),
        (&["--workload", "nobody"], "error[BYR0492]: there is no Workload nobody"),
    ] {
        let stderr = run(workload).refused(1);
        assert!(stderr.starts_with(words), "{stderr}");
    }
}

#[test]
fn two_meshes_on_one_machine_do_not_meet() {
    let mesh = |word: &str| {
        let sandbox = Sandbox::new();
        sandbox.file("mesh.yaml", &talker("a", word));
        Mesh::spawn(sandbox, &["up", "-f", "mesh.yaml"])
    };
    let (one, two) = (mesh("one"), mesh("two"));
    says(&one, "a | I say one");
    says(&two, "a | I say two");
    one.byrnie(&["delete", "workload", "a"]).ok();
    let workloads = |mesh: &Mesh| mesh.items(&["get", "workloads", "-o", "json"]).unwrap().len();
    assert_eq!((workloads(&one), workloads(&two)), (0, 1));
    let (status, _) = one.stop();
    assert_eq!(status.code(), Some(0));
    two.wait_running();
}
