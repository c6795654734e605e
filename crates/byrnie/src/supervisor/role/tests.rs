//! Proxies that never say a word, as real processes: shell scripts in the place of the program. What the process that
//! runs says, the test says for it: the kernel vouches for who sends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::program::Program;
use crate::supervisor::desired::Kind;
use crate::supervisor::home::{Home, Lock};

/// The time for a process to get ready in these tests.
const TAKE_OVER: Duration = Duration::from_millis(300);
/// Nothing in these tests takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

fn key() -> UnitKey {
    UnitKey { kind: Kind::Sidecar, namespace: "shop".into(), name: "web-1".into() }
}

/// A supervisor whose program writes down its process id and then does this.
async fn supervisor(dir: &TempDir, then: &str) -> Rc<Shared> {
    let Ok(Lock::Ours(home)) = Home::open(&dir.path().join("data")).await else { panic!("it is free") };
    std::fs::write(home.path.join("control-plane.json"), r#"{"xds": "127.0.0.1:1"}"#).unwrap();
    let program = dir.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\necho $$ >> {}/pids\n{then}\n", dir.path().display()))
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut shared = Shared::new(home, None, false).unwrap();
    shared.program = Program::at(program);
    shared.take_over = TAKE_OVER;
    Rc::new(shared)
}

fn keeping(shared: &Rc<Shared>) -> Keeping {
    Keeping::new(shared, Role::Proxy { key: key(), captured: None }, watch::channel(false).0)
}

/// A process that runs and is ready, and what it says from now on.
async fn serving(shared: &Shared) -> (Life, mpsc::Sender<Notification>) {
    let (child, pid) = shared.start_silent(byrnie_net::Spawn::new("sleep", ["1000"])).unwrap();
    let (says, messages) = mpsc::channel(8);
    says.send(Notification { ready: true, restart: false, ..restart() }).await.unwrap();
    (Life::new(child, pid, messages), says)
}

fn restart() -> Notification {
    Notification { pid: 0, ready: false, stopping: false, restart: true, status: None, descriptor: None }
}

/// The processes of the program so far.
fn started(dir: &TempDir) -> Vec<u32> {
    let text = std::fs::read_to_string(dir.path().join("pids")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test]
async fn a_successor_that_hangs_is_killed_and_told_and_the_next_order_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let shared = supervisor(&dir, "exec sleep 1000").await;
    let test = async {
        let (life, says) = serving(&shared).await;
        let (old, mut keeping) = (life.pid, keeping(&shared));
        let (stopper, mut stopped) = stop::channel();
        let living = tokio::task::spawn_local(async move { keeping.live(life, &mut stopped).await });
        let mut last = None;
        for round in 1..=2 {
            says.send(restart()).await.unwrap();
            until("another process", || (started(&dir).len() == round).then_some(())).await;
            // One at a time.
            says.send(restart()).await.unwrap();
            let failed = until("whoever ordered it hears", || {
                FailedRestart::read(&shared.home.proxy(&key())).filter(|failed| Some(failed) != last.as_ref())
            });
            let failed = failed.await;
            assert_eq!(failed.process, old);
            assert_eq!(failed.why, "the new process was not ready within 300ms, and was killed");
            assert_eq!(started(&dir).len(), round, "the second order was told, not obeyed");
            assert!(!runs(started(&dir)[round - 1]), "it is gone");
            assert!(runs(old), "the old one goes on");
            last = Some(failed);
        }
        stopper.stop(PATIENCE);
        assert_eq!(living.await.unwrap(), None);
    };
    tokio::time::timeout(PATIENCE, LocalSet::new().run_until(test)).await.unwrap();
}

#[tokio::test]
async fn a_successor_that_ends_or_cannot_start_is_told_at_once() {
    for (then, why) in
        [("exit 3", "the new process ended with exit code 3"), ("kill -9 $$", "was killed by signal 9")]
    {
        let dir = tempfile::tempdir().unwrap();
        let shared = supervisor(&dir, then).await;
        let test = async {
            let (life, says) = serving(&shared).await;
            let mut keeping = keeping(&shared);
            let (stopper, mut stopped) = stop::channel();
            let living = tokio::task::spawn_local(async move { keeping.live(life, &mut stopped).await });
            let state_dir = shared.home.proxy(&key());
            says.send(restart()).await.unwrap();
            let failed = until("it hears", || FailedRestart::read(&state_dir)).await;
            assert!(failed.why.contains(why), "{failed:?}");
            std::fs::remove_file(dir.path().join("program")).unwrap();
            says.send(restart()).await.unwrap();
            until("it hears", || {
                FailedRestart::read(&state_dir).filter(|failed| failed.why.contains("cannot be started: "))
            })
            .await;
            stopper.stop(PATIENCE);
            living.await.unwrap();
        };
        tokio::time::timeout(PATIENCE, LocalSet::new().run_until(test)).await.unwrap();
    }
}

#[tokio::test]
async fn a_hung_successor_of_a_dead_process_is_given_up() {
    // The second one has said a word, which is not yet to be ready.
    for word in [None, Some("waiting for configuration")] {
        let dir = tempfile::tempdir().unwrap();
        let shared = supervisor(&dir, "exec sleep 1000").await;
        let test = async {
            let (mut life, says) = serving(&shared).await;
            let (mut keeping, old) = (keeping(&shared), life.pid);
            if let Some(word) = word {
                life.is_successor = true;
                life.messages.recv().await.unwrap();
                let said = Notification { restart: false, status: Some(word.into()), ..restart() };
                says.send(said).await.unwrap();
            } else {
                says.send(restart()).await.unwrap();
            }
            let (_stopper, mut stopped) = stop::channel();
            let dying = async {
                if word.is_none() {
                    until("another process", || started(&dir).pop()).await;
                    byrnie_net::process::kill(old).unwrap();
                }
            };
            let (ended, ()) = tokio::join!(keeping.live(life, &mut stopped), dying);
            let (pid, how) = ended.unwrap();
            assert_eq!(pid, started(&dir).pop().unwrap_or(old));
            assert_eq!(how, "was not ready within 300ms, and was killed");
            assert!(!runs(pid));
        };
        tokio::time::timeout(PATIENCE, LocalSet::new().run_until(test)).await.unwrap();
    }
}

#[tokio::test]
async fn a_proxy_that_never_says_a_word_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let shared = supervisor(&dir, "exec sleep 1000").await;
    let test = async {
        let kept = start_proxy(&shared, key(), None, None);
        until("a second one", || (started(&dir).len() == 2).then_some(())).await;
        assert!(!runs(started(&dir)[0]), "the first one is gone");
        kept.stop(PATIENCE).await;
    };
    tokio::time::timeout(PATIENCE, LocalSet::new().run_until(test)).await.unwrap();
}
