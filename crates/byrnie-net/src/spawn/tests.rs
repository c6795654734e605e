use std::fs::File;
use std::io::{Read, Write};

use super::*;
use crate::testing::{helper, role};
use crate::{Inherited, process};

const HELPER: &str = "spawn::tests::helper_process";

/// What re-executed children do; nothing in an ordinary run.
#[test]
fn helper_process() {
    match role().as_deref() {
        Some("copy") => copy(),
        Some("orphans") => orphans(),
        Some("limits") => limits(),
        _ => {}
    }
}

/// Copies from the inherited `in` descriptors to `out`, naming all that is there.
fn copy() {
    let mut inherited = Inherited::take().unwrap();
    let names: Vec<String> = inherited.names().map(str::to_owned).collect();
    let mut out = File::from(inherited.remove("out").unwrap());
    for name in names.iter().filter(|name| *name != "out") {
        let mut text = String::new();
        File::from(inherited.remove(name).unwrap()).read_to_string(&mut text).unwrap();
        write!(out, "{name}={text};").unwrap();
    }
    assert_eq!(Inherited::take().unwrap().names().count(), 0, "taken once");
}

#[tokio::test]
async fn descriptors_land_by_name_whatever_their_numbers() {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let mut child = helper(HELPER, "copy");
    // In falling order, so that plain dup2 calls in sequence would overwrite one another.
    let mut inputs: Vec<OwnedFd> = (0..8)
        .map(|number| crate::memfd::sealed("in", format!("text {number}").as_bytes()).unwrap())
        .collect();
    inputs.sort_by_key(|descriptor| std::cmp::Reverse(descriptor.as_raw_fd()));
    for (number, input) in inputs.into_iter().enumerate() {
        // A memory file is read from its offset: rewind what `sealed` wrote.
        rustix::fs::seek(&input, rustix::fs::SeekFrom::Start(0)).unwrap();
        child.descriptors.push((format!("listen:{number}"), input));
    }
    child.descriptors.push(("out".into(), write));
    child.output = Output::Pipes;
    let child = spawn(child).unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    let want: String = (0..8).map(|number| format!("listen:{number}=text {};", 7 - number)).collect();
    assert_eq!(text, want);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_also_with_descriptors() {
    let mut missing = Spawn::new("/no/such/program", [""; 0]);
    for number in 0..20 {
        missing.descriptors.push((number.to_string(), File::open("/dev/null").unwrap().into()));
    }
    assert_eq!(spawn(missing).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn the_child_leads_its_own_group_and_dies_with_it() {
    let mut child = spawn(Spawn::new("sh", ["-c", "sleep 1000 & wait"])).unwrap();
    let pid = child.id().unwrap();
    process::kill_group(pid).unwrap();
    let status = child.wait().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

/// An orphan comes to us, and we can end it with all that is below it.
fn orphans() {
    process::adopt_orphans().unwrap();
    let script = "sh -c 'sleep 1000 & sleep 1000; :' & exit 0";
    std::process::Command::new("sh").args(["-c", script]).status().unwrap();
    let mut found = Vec::new();
    crate::testing::until("an orphan with two children", || {
        found = process::adopted(&[]).unwrap();
        found.len() == 1 && process::descendants(found[0]).unwrap().len() == 2
    });
    process::end_adopted(found[0]).unwrap();
    for orphan in process::adopted(&[]).unwrap() {
        process::end_adopted(orphan).unwrap();
    }
    assert!(process::descendants(std::process::id()).unwrap().is_empty());
}

#[tokio::test]
async fn adopted_orphans_are_found_and_ended() {
    let status = spawn(helper(HELPER, "orphans")).unwrap().wait().await.unwrap();
    assert!(status.success());
}

/// Raises its own limit; a child has what was there before.
fn limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, before).unwrap();
    let most = crate::limits::raise_descriptors().unwrap();
    assert_eq!((most, getrlimit(Resource::Nofile).current), (before.maximum, before.maximum));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        spawn(Spawn::new("sh", ["-c", "test $(ulimit -n) = 64"])).unwrap().wait().await.unwrap()
    });
    assert!(status.success());
}

#[tokio::test]
async fn a_raised_limit_is_ours_alone() {
    let status = spawn(helper(HELPER, "limits")).unwrap().wait().await.unwrap();
    assert!(status.success());
}
