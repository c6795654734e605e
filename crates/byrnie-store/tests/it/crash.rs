//! kill -9 at any moment loses nothing that was confirmed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use byrnie_store::{EmbeddedOptions, EmbeddedStore, Event, ListQuery, Precondition, Store, Version};
use rand::RngExt;

use crate::{caught_up, key, scratch, service};

const PATH: &str = "BYRNIE_STORE_CRASH_PATH";
const ROUNDS: u64 = 25;

/// Not a test of its own: what `nothing_confirmed_is_lost` starts and kills. Writes from three sides at once and
/// says what was confirmed.
#[test]
fn child() {
    let Ok(path) = std::env::var(PATH) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(EmbeddedStore::open(Path::new(&path), EmbeddedOptions::default()).unwrap());
        let writers: Vec<_> =
            (0..3).map(|writer| tokio::spawn(write_for_ever(store.clone(), writer))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write_for_ever(store: Arc<EmbeddedStore>, writer: u64) {
    let key = key(&format!("web-{writer}"));
    let stored = store.get(&key).await.unwrap();
    let mut port = stored.map_or(0, |object| object.value["spec"]["port"].as_u64().unwrap());
    loop {
        port += 1;
        store.update(&key, service(port), Precondition::None).await.unwrap();
        // One write call, so that lines of three writers do not mix. The parent being gone ends us, too.
        let line = format!("confirmed {writer} {port}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

/// Runs a child, kills it after `lines` confirmations, and returns the highest of each writer.
fn run_and_kill(path: &Path, lines: usize) -> BTreeMap<u64, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut confirmed = BTreeMap::new();
    let mut note = |line: String| {
        let mut words = line.split_once("confirmed ").unwrap_or_default().1.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        if let (Some(writer), Some(port)) = (number(), number()) {
            confirmed.insert(writer, port);
        }
    };
    // A first line of the test harness comes before ours.
    output.by_ref().take(lines).for_each(&mut note);
    child.kill().unwrap();
    output.for_each(&mut note);
    child.wait().unwrap();
    confirmed
}

/// Killed while the file is made: the next one opens it, or makes it.
#[test]
fn a_new_file_is_whole_or_not_there() {
    for round in 0..ROUNDS {
        let (_dir, path) = scratch();
        // The harness says two lines or so before the child begins.
        run_and_kill(&path, 1 + round as usize % 3);
        EmbeddedStore::open(&path, EmbeddedOptions::default()).unwrap();
    }
}

#[tokio::test]
async fn nothing_confirmed_is_lost() {
    let (_dir, path) = scratch();
    let mut confirmed: BTreeMap<u64, u64> = BTreeMap::new();
    let mut version: Option<Version> = None;
    for round in 0..ROUNDS {
        let lines = if round == 0 { 0 } else { rand::rng().random_range(0..60) };
        confirmed.extend(run_and_kill(&path, lines));
        let store = EmbeddedStore::open(&path, EmbeddedOptions::default()).unwrap();
        for (writer, port) in &confirmed {
            let object = store.get(&key(&format!("web-{writer}"))).await.unwrap().expect("it was confirmed");
            let stored = object.value["spec"]["port"].as_u64().unwrap();
            assert!(
                stored >= *port,
                "round {round}: writer {writer} had {port} confirmed, {stored} is stored"
            );
        }
        // Objects and event log tell the same story, also over the crash.
        let page = store.list(ListQuery { kind: "Service".into(), ..ListQuery::default() }).await.unwrap();
        if let Some(before) = version.replace(page.version) {
            let mut latest = BTreeMap::new();
            for event in caught_up(&mut store.watch(&[], Some(before)).await.unwrap()).await {
                let Event::Applied(object) = event else { panic!("{event:?}") };
                latest.insert(object.key.clone(), object);
            }
            assert!(latest.values().all(|object| page.items.contains(object)));
        }
        store.close().await;
    }
    assert!(confirmed.values().sum::<u64>() > 100, "the children did write: {confirmed:?}");
}
