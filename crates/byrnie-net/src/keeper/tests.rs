use std::os::unix::process::ExitStatusExt;

use super::*;
use crate::testing::{helper, mark, marked, role, until};
use crate::{Inherited, Spawn, spawn};

const HELPER: &str = "keeper::tests::helper_process";
const PROGRAM: &str = "BYRNIE_NET_TEST_PROGRAM";
const COMMAND: &str = "BYRNIE_NET_TEST_COMMAND";

/// Starts a shell, a background child, one in a session of its own, and a daemon; none ends by itself.
const TREE: &str = "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000; :' &) ; wait";
/// The shell, two sleeps, the daemon's shell and its sleep.
const TREE_SIZE: usize = 5;

/// What re-executed children do; nothing in an ordinary run.
#[test]
fn helper_process() {
    match role().as_deref() {
        Some("keeper") => {
            let lifeline = Inherited::take().unwrap().remove(LIFELINE).unwrap();
            let program = std::env::var_os(PROGRAM).unwrap();
            let command = ["-c".into(), std::env::var_os(COMMAND).unwrap()];
            std::process::exit(run(lifeline, &program, &command, None).unwrap().into());
        }
        Some("supervisor") => supervisor(),
        _ => {}
    }
}

fn kept(command: &str, mark: &(OsString, OsString)) -> (Spawn, Lifeline) {
    let mut keeper = helper(HELPER, "keeper").env(PROGRAM, "sh").env(COMMAND, command);
    keeper.environment.push(mark.clone());
    keep(keeper).unwrap()
}

/// A supervisor with a plain child and a kept command that has a tree below it, until it is killed.
fn supervisor() {
    let mark = mark_of_parent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (keeper, _lifeline) = kept(TREE, &mark);
        let _keeper = spawn(keeper).unwrap();
        let _plain = spawn(Spawn::new("sleep", ["1000"])).unwrap();
        std::future::pending::<()>().await;
    });
}

fn mark_of_parent() -> (OsString, OsString) {
    let (name, _) = mark("");
    let value = std::env::var_os(&name).unwrap();
    (name, value)
}

#[tokio::test]
async fn nothing_survives_a_killed_supervisor() {
    let mark = mark("killed");
    let mut parent = helper(HELPER, "supervisor");
    parent.environment.push(mark.clone());
    let mut parent = spawn(parent).unwrap();
    // The supervisor, its plain child, the keeper and the command's tree.
    until("the whole tree runs", || marked(&mark).len() == 3 + TREE_SIZE);
    process::kill(parent.id().unwrap()).unwrap();
    assert_eq!(parent.wait().await.unwrap().signal(), Some(9));
    until("nothing is left", || marked(&mark).is_empty());
}

#[tokio::test]
async fn the_exit_code_comes_through_and_what_was_left_behind_ends() {
    let mark = mark("left");
    let (keeper, _lifeline) = kept("setsid sleep 1000 & sleep 1000 & exit 7", &mark);
    assert_eq!(spawn(keeper).unwrap().wait().await.unwrap().code(), Some(7));
    assert!(marked(&mark).is_empty());
}

#[tokio::test]
async fn a_polite_end_reaches_the_command() {
    let mark = mark("polite");
    let (keeper, mut lifeline) = kept("trap 'exit 3' TERM; sleep 1000 & while :; do wait; done", &mark);
    let mut keeper = spawn(keeper).unwrap();
    until("the command runs", || marked(&mark).len() == 3);
    lifeline.terminate().unwrap();
    assert_eq!(keeper.wait().await.unwrap().code(), Some(3));
    assert!(marked(&mark).is_empty());
}

#[tokio::test]
async fn dropping_the_lifeline_ends_a_stubborn_tree() {
    let mark = mark("stubborn");
    let (keeper, lifeline) = kept(&format!("trap '' TERM; {TREE}"), &mark);
    let mut keeper = spawn(keeper).unwrap();
    until("the whole tree runs", || marked(&mark).len() == 1 + TREE_SIZE);
    drop(lifeline);
    assert_eq!(keeper.wait().await.unwrap().code(), Some(128 + 9));
    assert!(marked(&mark).is_empty());
}

#[tokio::test]
async fn a_command_that_is_not_there() {
    let mark = mark("missing");
    let (keeper, _lifeline) = kept("", &mark);
    let keeper = keeper.env(PROGRAM, "/no/such/program");
    let code = spawn(keeper).unwrap().wait().await.unwrap().code();
    assert_eq!(code, Some(EXIT_NOT_STARTED.into()));
}
