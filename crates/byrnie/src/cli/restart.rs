//! `byrnie restart`: another process takes over from a proxy's, with the same sockets and the same identity.

use std::time::{Duration, Instant};

use byrnie_control::api::{ProxyItem, SyncState};

use crate::cli::Context;
use crate::cli::args::RestartArgs;
use crate::cli::failure::Failure;
use crate::cli::proxy_config::find;
use crate::output;

/// No new process gets ready.
const FAILED: &str = "BYR0487";
/// How long a new process may take to obey.
const DEADLINE: Duration = Duration::from_secs(40);
/// Between two looks at the proxies.
const LOOK: Duration = Duration::from_millis(50);

/// One after the other; returns when the new processes obey. The old ones end when their connections have.
pub async fn run(context: &Context, args: &RestartArgs) -> Result<(), Failure> {
    for name in &args.names {
        let old = find(context, name, args.namespace.as_deref()).await?;
        is_proxy(&old)?;
        byrnie_net::process::restart(old.pid).map_err(|error| {
            Failure::new(FAILED, format!("process {} of `{name}` does not hear: {error}", old.pid))
        })?;
        let new = another(context, &old).await?;
        output::data(&format!("{name} restarted: process {} in the place of {}\n", new.pid, old.pid))?;
    }
    Ok(())
}

/// A process id that is told may be another program's by now.
fn is_proxy(item: &ProxyItem) -> Result<(), Failure> {
    let line = std::fs::read(format!("/proc/{}/cmdline", item.pid)).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    if line.contains(" proxy ") && line.contains(&format!("{}/{}", item.namespace, item.workload)) {
        return Ok(());
    }
    let message = format!("process {} is not the proxy of {}/{}", item.pid, item.namespace, item.workload);
    Err(Failure::new(FAILED, message).help("a proxy on another machine is restarted there: send it SIGUSR2"))
}

async fn another(context: &Context, old: &ProxyItem) -> Result<ProxyItem, Failure> {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if let Ok(list) = context.client.proxies().await {
            let is_new = |item: &ProxyItem| {
                (&item.namespace, &item.workload) == (&old.namespace, &old.workload)
                    && item.pid != old.pid
                    && item.connected
                    && item.sync == SyncState::Synced
            };
            if let Some(new) = list.items.into_iter().find(is_new) {
                return Ok(new);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    let message = format!("no new process of {}/{} within {DEADLINE:?}", old.namespace, old.workload);
    Err(Failure::new(FAILED, message).help("the old one goes on; see its log"))
}
