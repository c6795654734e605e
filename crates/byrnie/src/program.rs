//! The file that is this program, for its next processes: what has its name *then*, so that a link to a version can be
//! turned to another one.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file that runs now, whatever its name leads to by now.
const RUNNING: &str = "/proc/self/exe";

/// How this program was called, and which file that was.
#[derive(Clone, Debug)]
pub struct Program {
    /// Absolute, links and all; none where the name that it was called by says nothing.
    called: Option<PathBuf>,
    /// Without links.
    file: PathBuf,
}

impl Program {
    /// This one. Ask before anything is replaced and before the working directory is left.
    pub fn this() -> io::Result<Self> {
        let file = std::env::current_exe()?;
        let name = std::env::args_os().next().filter(|_| !has_more_rights_than_its_caller());
        let called = name.and_then(|name| {
            let directory = std::env::current_dir().unwrap_or_default();
            named(&name.into(), &directory, &std::env::var_os("PATH").unwrap_or_default())
        });
        // A caller may put any name there.
        let running = fs::metadata(RUNNING)?;
        let called = called.filter(|path| fs::metadata(path).is_ok_and(|found| is_same(&found, &running)));
        Ok(Self { called, file })
    }

    /// What is to be started now.
    pub fn path(&self) -> &Path {
        self.called.as_deref().filter(|path| is_program(path)).unwrap_or(&self.file)
    }

    /// This very file.
    #[cfg(test)]
    pub fn at(file: PathBuf) -> Self {
        Self { called: None, file }
    }
}

/// The file of this name, as a shell in this directory finds it.
fn named(name: &PathBuf, directory: &Path, path: &OsString) -> Option<PathBuf> {
    let found = if name.components().count() > 1 || name.is_absolute() {
        Some(directory.join(name))
    } else {
        let places = std::env::split_paths(path).map(|place| directory.join(place).join(name));
        places.into_iter().find(|path| is_program(path))
    };
    found.filter(|path| path.is_absolute())
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Set-user-ID, or capabilities of the file: then the name is the caller's word, and what it leads to tomorrow is not
/// to run with these rights. Where the kernel does not say, it may be so.
fn has_more_rights_than_its_caller() -> bool {
    fs::read("/proc/self/auxv").map_or(true, |auxv| is_secure(&auxv) != Some(false))
}

/// `AT_SECURE` of the auxiliary vector: pairs of words, in the machine's order (getauxval(3)).
fn is_secure(auxv: &[u8]) -> Option<bool> {
    const AT_SECURE: usize = 23;
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| bytes.try_into().ok().map(usize::from_ne_bytes);
    auxv.chunks_exact(2 * WORD).find_map(|pair| {
        let (name, value) = pair.split_at(WORD);
        (word(name)? == AT_SECURE).then_some(word(value)? != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_name_is_found_as_a_shell_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        program(&dir.path().join("bin/byrnie"));
        fs::create_dir_all(dir.path().join("first/byrnie")).unwrap();
        let path = format!("first:{0}/none:{0}/bin", dir.path().display());
        let of = |name: &str| named(&name.into(), dir.path(), &OsString::from(&path));
        assert_eq!(of("byrnie"), Some(dir.path().join("bin/byrnie")));
        assert_eq!(of("bin/byrnie"), Some(dir.path().join("bin/byrnie")));
        assert_eq!(of("./byrnie"), Some(dir.path().join("./byrnie")));
        assert_eq!(of("/usr/bin/byrnie"), Some("/usr/bin/byrnie".into()));
        assert_eq!(of("-byrnie"), None);
        assert_eq!(named(&"./byrnie".into(), Path::new(""), &OsString::new()), None, "where is that?");
    }

    #[test]
    fn a_link_leads_where_it_leads_now_and_a_lost_one_to_the_file_that_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, current] = ["v1", "v2", "cur"].map(|name| dir.path().join(name));
        program(&one);
        program(&two);
        std::os::unix::fs::symlink(&one, &current).unwrap();
        let it = Program { called: Some(current.clone()), file: one.clone() };
        assert_eq!(it.path(), current);
        fs::set_permissions(&one, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(it.path(), one, "it cannot be started by either name, and whoever tries hears why");
        fs::remove_file(&current).unwrap();
        assert_eq!(it.path(), one);
        std::os::unix::fs::symlink(&two, &current).unwrap();
        assert_eq!(it.path(), current);
    }

    #[test]
    fn the_rights_of_a_process_are_read() {
        let words = |words: &[usize]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(is_secure(&words(&[6, 4096, 23, 0, 0, 0])), Some(false));
        assert_eq!(is_secure(&words(&[6, 4096, 23, 1, 0, 0])), Some(true));
        assert_eq!(is_secure(&words(&[6, 23, 0, 0])), None);
        assert_eq!(is_secure(&[]), None);
        assert!(!has_more_rights_than_its_caller());
    }

    #[test]
    fn this_program_is_the_file_that_runs() {
        let this = fs::metadata(Program::this().unwrap().path()).unwrap();
        assert!(is_same(&this, &fs::metadata(RUNNING).unwrap()));
    }
}
