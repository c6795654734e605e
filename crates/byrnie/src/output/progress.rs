//! A sign of life on stderr for what takes longer than two seconds.

use std::future::Future;
use std::time::Duration;

use crate::output::say;

const PATIENCE: Duration = Duration::from_secs(2);
const REMINDER: Duration = Duration::from_secs(10);

/// Runs `work`; when it takes longer than two seconds says `what` on stderr, and again every ten seconds.
pub async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let start = tokio::time::Instant::now();
    let mut next = PATIENCE;
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep_until(start + next) => {
                say(&format!("{what} ({} s)", start.elapsed().as_secs()));
                next += REMINDER;
            }
        }
    }
}
