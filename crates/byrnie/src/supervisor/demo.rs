//! `byrnie demo`: the sample application as a mesh of its own, with things to try.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::applying;
use super::home::{Home, Lock};
use super::{Extra, on_this_thread, serve};
use crate::cli::failure::{DATA_DIR, Failure, SYSTEM};
use crate::cli::mesh::quoted;

/// The mesh, with `{{…}}` where this machine comes in.
const MESH: &str = include_str!("demo/mesh.yaml");
/// Half of the catalog's requests go to its second version.
const SPLIT: &str = include_str!("demo/split.yaml");
/// The load generator may no longer vote.
const DENY: &str = include_str!("demo/deny.yaml");

/// Ports are looked for from here on, the Gateway's first: below those that the kernel gives out by itself.
const FIRST_PORT: u16 = 18080;
const LAST_PORT: u16 = 18979;
/// What listens, in the order of [`FIRST_PORT`] and up.
const LISTENERS: [&str; 7] = ["GATEWAY", "WEB", "CATALOG_V1", "CATALOG_V2", "VOTES", "FEED", "STORE"];

/// What `byrnie demo` was asked for.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The demo's own data directory; absolute.
    pub data_dir: PathBuf,
}

/// Starts the sample application and keeps it running until a signal ends it. Where it runs already, only says what
/// can be tried. Call it on the main thread, outside of any runtime.
pub fn demo(options: &DemoOptions) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::system)?;
    on_this_thread(async {
        match Home::open(&options.data_dir).await? {
            Lock::Ours(home) => {
                let batches = applying::read(&[write_files(&home.path, &program)?])?;
                let extra = Extra {
                    greeting: things_to_try(&program, &home.path),
                    proxy_workers: Some(1),
                    transparent: false,
                    forget: vec![("AuthorizationPolicy", "demo", "no-votes-from-load")],
                };
                serve(home, &batches, true, extra).await
            }
            Lock::RunningMesh(_) => {
                crate::output::say(&format!("the demo runs already in {}", options.data_dir.display()));
                things_to_try(&program, &options.data_dir).iter().for_each(|line| crate::output::say(line));
                Ok(())
            }
        }
    })
}

/// Writes the mesh and the files to try into the data directory; returns the path of the mesh.
fn write_files(data_dir: &Path, program: &Path) -> Result<PathBuf, Failure> {
    let mut mesh = MESH.replace("{{BYRNIE}}", &serde_json::to_string(program).map_err(Failure::system)?);
    for (name, port) in LISTENERS.iter().zip(free_ports(LISTENERS.len())?) {
        mesh = mesh.replace(&format!("{{{{{name}}}}}"), &port.to_string());
    }
    for (name, text) in [("demo.yaml", mesh.as_str()), ("split.yaml", SPLIT), ("deny.yaml", DENY)] {
        let path = data_dir.join(name);
        let failed = |error: std::io::Error| Failure::new(DATA_DIR, format!("{}: {error}", path.display()));
        std::fs::write(&path, text).map_err(failed)?;
    }
    Ok(data_dir.join("demo.yaml"))
}

/// The first ports that nobody listens on. Nothing holds them until the demo does; that is as long as its start.
fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = (FIRST_PORT..=LAST_PORT).filter(is_free).take(count).collect();
    if ports.len() < count {
        let message = format!("the demo needs {count} free ports between {FIRST_PORT} and {LAST_PORT}");
        return Err(Failure::new(SYSTEM, message).help("end what listens there"));
    }
    Ok(ports)
}

fn things_to_try(program: &Path, data_dir: &Path) -> Vec<String> {
    let byrnie = format!("{} --data-dir {}", quoted(program), quoted(data_dir));
    let file = |name: &str| quoted(&data_dir.join(name));
    vec![
        String::new(),
        "Try, in another terminal:".to_owned(),
        "  Half of the catalog's requests to its version 2; a few seconds later both have traffic:"
            .to_owned(),
        format!("    {byrnie} apply --wait -f {} && {byrnie} stat workloads -n demo", file("split.yaml")),
        "  The load generator may no longer vote; which policy refuses it:".to_owned(),
        format!(
            "    {byrnie} apply --wait -f {} && {byrnie} why load web -n demo --method POST --path /vote",
            file("deny.yaml")
        ),
        "  One route fails now and then; which:".to_owned(),
        format!("    {byrnie} routes -n demo"),
        String::new(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_whole_and_valid() {
        let directory = tempfile::tempdir().unwrap();
        let mesh = write_files(directory.path(), Path::new("/opt/a b/byrnie")).unwrap();
        let text = std::fs::read_to_string(&mesh).unwrap();
        assert!(!text.contains("{{"), "{text}");
        assert!(text.contains(r#""/opt/a b/byrnie""#));
        for name in ["demo.yaml", "split.yaml", "deny.yaml"] {
            let bytes = std::fs::read(directory.path().join(name)).unwrap();
            let reading = byrnie_api::read_bytes(&bytes, name);
            let errors: Vec<_> = reading
                .findings
                .iter()
                .filter(|finding| finding.severity == byrnie_api::Severity::Error)
                .collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
            assert!(!reading.objects.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free_ports(1).unwrap()[0])).unwrap();
        assert_ne!(free_ports(1).unwrap()[0], taken.local_addr().unwrap().port());
    }

    #[test]
    fn commands_can_be_typed_as_they_are() {
        let lines = things_to_try(Path::new("/opt/a b/byrnie"), Path::new("/tmp/x"));
        let commands: Vec<&String> = lines.iter().filter(|line| line.starts_with("    ")).collect();
        assert_eq!(commands.len(), 3);
        assert!(commands.iter().all(|line| line.trim().starts_with("'/opt/a b/byrnie' --data-dir /tmp/x ")));
    }
}
