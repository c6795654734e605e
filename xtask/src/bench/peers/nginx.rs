//! nginx of the distribution, one hop.

use std::path::Path;
use std::process::Command;

use super::{Peer, Place, Row, version, write};
use crate::bench::load::Work;
use crate::bench::process::{Process, await_ready, free_address, tree};

/// Starts it. Its defaults, but for connections to the origin that stay open and no access log.
pub fn start(place: &Place) -> anyhow::Result<Peer> {
    let program = program();
    let version = version(program, "-v")?;
    let to = free_address()?;
    let (directory, origin, workers) = (place.directory.display(), place.origin.http, place.workers);
    let text = format!(
        "daemon off;
user root root;
worker_processes {workers};
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    keepalive_requests 1000000000;
    upstream origin {{
        server {origin};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {to};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    );
    let config = write(place, "nginx.conf", &text)?;
    let log = place.directory.join("nginx.log");
    let process = Process::start(Command::new(program).args(["-e", "stderr", "-c"]).arg(&config), &log)?;
    // The master forks its workers after it has opened its listener.
    let mut pids = Vec::new();
    await_ready("nginx", &log, || {
        pids = tree(process.pid())?;
        anyhow::ensure!(pids.len() > workers, "{} of {workers} workers", pids.len().saturating_sub(1));
        Ok(())
    })?;
    let row = Row { work: Work::Hop, peer: "nginx", to, pids };
    Ok(Peer { version, rows: vec![row], processes: vec![process], log })
}

/// Debian keeps it where the PATH of users does not lead.
fn program() -> &'static Path {
    let usual = Path::new("/usr/sbin/nginx");
    if usual.exists() { usual } else { Path::new("nginx") }
}
