//! `byrnie` run to its end in a directory of its own.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A home, a data directory and a place for files, gone with the test.
pub struct Sandbox {
    dir: TempDir,
    program: PathBuf,
    /// Whom the commands run as, where it is somebody else.
    user: Option<u32>,
    /// Worker threads of proxies, where a test means a number.
    workers: Option<u32>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Sandbox {
    pub fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_byrnie")),
            user: None,
            workers: None,
        }
    }

    /// One whose proxies have so many worker threads.
    pub fn of_workers(workers: u32) -> Self {
        Self { workers: Some(workers), ..Self::new() }
    }

    /// One in which everything runs as this user. The program is copied into it: the build may lie in a home that is
    /// closed to others.
    pub fn of_user(user: u32) -> Self {
        let sandbox = Self::new();
        let program = sandbox.path().join("byrnie");
        std::fs::copy(&sandbox.program, &program).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        chown(sandbox.path(), Some(user), Some(user)).unwrap();
        Self { program, user: Some(user), ..sandbox }
    }

    /// One whose commands are called by a link to the program, which can be turned ([`Sandbox::turn`]).
    pub fn by_link() -> Self {
        let sandbox = Self::new();
        let link = sandbox.path().join("current");
        std::os::unix::fs::symlink(&sandbox.program, &link).unwrap();
        Self { program: link, ..sandbox }
    }

    /// From now on the link leads to a program that does this first, with its arguments in `$*`, and then is the one
    /// that was built.
    pub fn turn(&self, name: &str, first: &str) {
        let built = env!("CARGO_BIN_EXE_byrnie");
        let version = self.file(name, &format!("#!/bin/sh\n{first}\nexec {built} \"$@\"\n"));
        std::fs::set_permissions(&version, std::fs::Permissions::from_mode(0o755)).unwrap();
        let beside = self.path().join("beside");
        std::os::unix::fs::symlink(version, &beside).unwrap();
        std::fs::rename(beside, &self.program).unwrap();
    }

    /// The directory of the test.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The mesh's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `byrnie ARGS`, not started: only the environment that a test means.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.args(args).current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path()).env("BYRNIE_DATA_DIR", self.data_dir());
        let workers = match self.workers {
            Some(workers) => workers.to_string().into(),
            None => std::env::var_os("BYRNIE_TEST_WORKERS").unwrap_or_else(|| "1".into()),
        };
        command.env("BYRNIE_PROXY_WORKERS", workers).stdin(Stdio::null());
        command
    }

    /// `byrnie ARGS` from a shell that does something first.
    pub fn command_in_shell(&self, before: &str, args: &[&str]) -> Command {
        let mut command = self.command(args);
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let before = if before.is_empty() { String::new() } else { format!("{before} && ") };
        command = Command::new("sh");
        command.arg("-c").arg(format!("{before}exec \"$0\" \"$@\"")).arg(&self.program).args(args);
        command.current_dir(self.path()).env_clear().envs(environment).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Run {
        let start = Instant::now();
        Run::of(self.command(args).output().unwrap(), start)
    }

    /// Command lines of running processes that name this sandbox.
    pub fn processes(&self) -> Vec<String> {
        self.processes_by_id().into_iter().map(|(_, line)| line).collect()
    }

    /// The same, each with its id.
    pub fn processes_by_id(&self) -> Vec<(u32, String)> {
        let needle = self.path().display().to_string();
        let named = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
            let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
            let id = entry.file_name().to_str()?.parse().ok()?;
            text.contains(&needle).then_some((id, text))
        };
        std::fs::read_dir("/proc").unwrap().filter_map(named).collect()
    }

    /// Runs to the end with a text on stdin.
    pub fn run_with_input<S: AsRef<std::ffi::OsStr>>(&self, args: &[S], input: &str) -> Run {
        let start = Instant::now();
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command may end without reading it all.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Run::of(child.wait_with_output().unwrap(), start)
    }
}

impl Run {
    fn of(output: Output, start: Instant) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            took: start.elapsed(),
        }
    }

    /// Its stdout; fails the test when the exit code is not 0.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// Its stdout as JSON; fails the test when the exit code is not 0.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Its stderr; fails the test when the exit code is not `code`, or something went to stdout.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:#?}");
        self.stderr
    }
}
