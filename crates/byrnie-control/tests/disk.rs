//! A disk that takes no more ends the control plane, in words.
//!
//! By itself, not among the others: a process that is being started holds the files of its parent for a moment, the
//! stores of other tests among them.

// A test file is all test code, helpers included; clippy.toml allows these in #[test] functions only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::time::Duration;

use byrnie_control::api::ApplyRequest;
use byrnie_control::client::Client;
use byrnie_control::{ControlPlane, ControlPlaneOptions};
use serde_json::json;

/// Nothing in here takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
const DIR: &str = "BYRNIE_CONTROL_DISK_DIR";

fn options(dir: &std::path::Path) -> ControlPlaneOptions {
    ControlPlaneOptions {
        data_dir: dir.to_owned(),
        run_id: "run-1".to_owned(),
        xds_listener: None,
        version: "test".to_owned(),
        transparent: false,
    }
}

/// Not a test of its own: what `a_full_disk_ends_the_control_plane` starts under a limit of file sizes.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = std::path::PathBuf::from(dir);
    let client = Client::new(&dir);
    let filler = tokio::spawn(async move {
        for round in 0_u32.. {
            let annotations = json!({ "example.org/text": "x".repeat(200_000) });
            let metadata =
                json!({ "name": format!("web-{round}"), "namespace": "shop", "annotations": annotations });
            let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                                  "spec": { "ports": [{ "port": 80 }] } });
            let request = ApplyRequest { objects: vec![service], ..ApplyRequest::default() };
            match client.apply(&request).await {
                Ok(_) => {}
                // Not there yet, so it is tried again.
                Err(error) if error.code == "BYR0440" => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => return error,
            }
        }
        unreachable!("the disk never fills")
    });
    let ended = tokio::time::timeout(PATIENCE, byrnie_control::run(options(&dir))).await;
    let error = ended.expect("it goes on without a store").expect_err("it ends as if nothing were wrong");
    println!("ended: {error}");
    println!("the caller was told: {}", filler.await.unwrap().code);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_control_plane() {
    let dir = tempfile::tempdir().unwrap();
    // Made before the limit holds.
    ControlPlane::start(options(dir.path())).await.unwrap().stop().await;
    // In blocks of 512 bytes (1,024 in bash); without the signal a write that is too long is an error.
    let limited = r#"trap '' XFSZ; ulimit -f 8192; exec "$0" "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", limited]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(DIR, dir.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("ended: BYR0472: the store's file cannot be read or written: "), "{said}");
    assert!(said.contains("the caller was told: BYR0451"), "{said}");
    // With room on the disk it starts again.
    ControlPlane::start(options(dir.path())).await.unwrap().stop().await;
}
