//! Which mesh a command means: the data directory.

use std::path::{Path, PathBuf};

use crate::cli::args::Global;
use crate::cli::failure::{DATA_DIR, Failure, NOT_RUNNING};

/// The mesh that a command means, running or not.
#[derive(Clone, Debug)]
pub struct MeshDir {
    /// Where its state lives.
    pub path: PathBuf,
    /// Whether the operator named it (by flag or environment).
    pub named: bool,
}

impl MeshDir {
    /// `--data-dir`, `BYRNIE_DATA_DIR`, `$XDG_DATA_HOME/byrnie`, `~/.local/share/byrnie`, in this order.
    pub fn find(global: &Global) -> Result<Self, Failure> {
        if let Some(path) = global.data_dir.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            let path = std::path::absolute(path)
                .map_err(|error| Failure::new(DATA_DIR, format!("{}: {error}", path.display())))?;
            return Ok(Self { path, named: true });
        }
        // The XDG specification: a relative path there is to be ignored.
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base =
            absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
        match base {
            Some(base) => Ok(Self { path: base.join("byrnie"), named: false }),
            None => Err(Failure::new(DATA_DIR, "this user has no home directory to keep a mesh's state in")
                .help("name a directory with --data-dir or BYRNIE_DATA_DIR")),
        }
    }

    /// The demo's: its own, beside the default one, so that it meddles with no mesh of the operator's.
    pub fn of_demo(global: &Global) -> Result<Self, Failure> {
        let mesh = Self::find(global)?;
        let path = if mesh.named { mesh.path } else { mesh.path.with_file_name("byrnie-demo") };
        Ok(Self { path, named: mesh.named })
    }

    /// The mesh that an operator's command means: where none was named and only the demo runs, the demo.
    pub fn of_running(global: &Global) -> Result<Self, Failure> {
        let mesh = Self::find(global)?;
        let demo = Self::of_demo(global)?;
        let runs = |mesh: &Self| mesh.path.join(byrnie_control::api::SOCKET_NAME).exists();
        Ok(if !mesh.named && !runs(&mesh) && runs(&demo) { demo } else { mesh })
    }

    /// What a command says when nothing answers here.
    pub fn not_running(&self) -> Failure {
        let flag = if self.named { format!("--data-dir {} ", quoted(&self.path)) } else { String::new() };
        Failure::new(NOT_RUNNING, format!("no mesh is running in {}", self.path.display()))
            .help(format!("start one: `byrnie {flag}up -f FILE`, or `byrnie {flag}demo` for a sample"))
    }
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_only_when_a_shell_needs_it() {
        assert_eq!(quoted(Path::new("/tmp/mesh-1")), "/tmp/mesh-1");
        assert_eq!(quoted(Path::new("/tmp/my mesh")), "'/tmp/my mesh'");
        assert_eq!(quoted(Path::new("/tmp/it's")), r"'/tmp/it'\''s'");
    }
}
