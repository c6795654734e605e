//! `byrnie restart`: another process takes over from a proxy's, with the same sockets and the same identity.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use byrnie_control::api::{ProxyItem, SyncState};
use byrnie_proxy::FailedRestart;

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
        let command = command_line(old.pid);
        is_proxy(&old, &command)?;
        let state_dir = state_dir(old.pid, &command);
        let failure = || state_dir.as_deref().and_then(FailedRestart::read);
        let before = failure();
        let failed = || failure().filter(|now| now.process == old.pid && Some(now) != before.as_ref());
        byrnie_net::process::restart(old.pid).map_err(|error| {
            Failure::new(FAILED, format!("process {} of `{name}` does not hear: {error}", old.pid))
        })?;
        let new = another(context, &old, failed).await?;
        output::data(&format!("{name} restarted: process {} in the place of {}\n", new.pid, old.pid))?;
    }
    Ok(())
}

/// The arguments of a process, its name before them; none, if there is no such process.
fn command_line(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).split_terminator('\0').map(str::to_owned).collect()
}

/// Where a proxy keeps what is to be kept, and where it is written why a restart failed.
fn state_dir(pid: u32, command: &[String]) -> Option<PathBuf> {
    let mut words = command.iter();
    let named = words.find_map(|word| match word.strip_prefix("--state-dir")? {
        "" => Some(None),
        rest => rest.strip_prefix('=').map(Some),
    })?;
    let named = named.or_else(|| words.next().map(String::as_str))?;
    Some(PathBuf::from(format!("/proc/{pid}/cwd")).join(named))
}

/// A process id that is told may be another program's by now.
fn is_proxy(item: &ProxyItem, command: &[String]) -> Result<(), Failure> {
    let line = command.join(" ");
    if line.contains(" proxy ") && line.contains(&format!("{}/{}", item.namespace, item.workload)) {
        return Ok(());
    }
    let message = format!("process {} is not the proxy of {}/{}", item.pid, item.namespace, item.workload);
    Err(Failure::new(FAILED, message).help("a proxy on another machine is restarted there: send it SIGUSR2"))
}

/// `failed` says why there will be none.
async fn another(
    context: &Context,
    old: &ProxyItem,
    failed: impl Fn() -> Option<FailedRestart>,
) -> Result<ProxyItem, Failure> {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if let Some(failed) = failed() {
            let message = format!("{}/{}: {}", old.namespace, old.workload, failed.why);
            return Err(Failure::new(FAILED, message).help("the old one goes on; see its log"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_found_in_a_command_line() {
        let of = |line: &str| state_dir(7, &line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let some = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of("byrnie proxy --state-dir /var/lib/web --role sidecar"), some("/var/lib/web"));
        assert_eq!(of("byrnie proxy --state-dir=/var/lib/web"), some("/var/lib/web"));
        assert_eq!(of("byrnie proxy --state-dir web"), some("/proc/7/cwd/web"));
        assert_eq!(of("byrnie proxy --state-dir"), None);
        assert_eq!(of("byrnie proxy --listen :80"), None);
    }
}
