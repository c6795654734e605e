//! Writes the reference pages and the CRDs below a directory: the last step of `cargo xtask generate`.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    for (dir, files) in [("docs/reference", byrnie_api::reference()), ("crds", byrnie_api::crds())] {
        let dir = Path::new(&root).join(dir);
        fs::create_dir_all(&dir)?;
        for (name, text) in files {
            let path = dir.join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, text)?;
        }
    }
    Ok(())
}
