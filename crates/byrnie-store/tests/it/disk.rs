//! A disk that takes no more.

use std::path::Path;
use std::process::Command;

use byrnie_store::{EmbeddedOptions, EmbeddedStore, Precondition, Store};
use serde_json::json;

use crate::{key, scratch};

const PATH: &str = "BYRNIE_STORE_DISK_PATH";

/// Not a test of its own: what `a_file_that_fails_says_so_once_and_for_all` starts under a limit of file sizes.
#[tokio::test]
async fn child() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = EmbeddedStore::open(Path::new(&path), EmbeddedOptions::default()).unwrap();
    let mut error = None;
    for round in 0..100 {
        let text = round.to_string().repeat(400_000);
        let big = json!({"apiVersion": "v1", "kind": "Service", "spec": {"text": text}});
        if let Err(failed) = store.update(&key(&format!("web-{round}")), big, Precondition::None).await {
            error = Some(failed);
            break;
        }
    }
    let error = error.expect("the limit was never reached");
    assert_eq!(error.code(), "BYR0472", "{error}");
    let failed = store.failed().await;
    assert_eq!(failed.code(), "BYR0472");
    println!("said: {failed}");
}

#[tokio::test]
async fn a_file_that_fails_says_so_once_and_for_all() {
    let (_dir, path) = scratch();
    // Written before the limit holds, so that opening succeeds. Closed, not dropped: that waits until it let go.
    EmbeddedStore::open(&path, EmbeddedOptions::default()).unwrap().close().await;
    // In blocks of 512 bytes (1,024 in bash): 4 MiB or 8; without the signal a write that is too long is an error.
    let limited = r#"trap '' XFSZ; ulimit -f 8192; exec "$0" "$@""#;
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::child", "--nocapture"])
        .env(PATH, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("said: BYR0472: the store's file cannot be read or written: "), "{said}");
    let store = EmbeddedStore::open(&path, EmbeddedOptions::default());
    assert!(store.is_ok(), "with room on the disk it opens again: {store:?}");
}
