//! How far the compiler is with the store: "all that was written before this call is compiled and published".
//!
//! A store's version can only be compared for equality, so the versions that passed are remembered for a while, and
//! who waits for one registers before it passes.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Versions that are remembered. Who asks, asks for the newest, so a few would do.
const REMEMBERED: usize = 1_024;

/// The versions that were compiled.
#[derive(Debug)]
pub struct Progress<V> {
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    passed: VecDeque<V>,
    waiters: Vec<(V, oneshot::Sender<()>)>,
}

impl<V> Default for Progress<V> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { passed: VecDeque::new(), waiters: Vec::new() }) }
    }
}

impl<V: PartialEq> Progress<V> {
    /// This version is compiled.
    pub fn passed(&self, version: V) {
        let mut inner = self.inner.lock();
        if inner.passed.back() == Some(&version) {
            return;
        }
        let (ready, waiting) =
            std::mem::take(&mut inner.waiters).into_iter().partition(|(wanted, _)| *wanted == version);
        inner.waiters = waiting;
        if inner.passed.len() >= REMEMBERED {
            inner.passed.pop_front();
        }
        inner.passed.push_back(version);
        drop(inner);
        let ready: Vec<(V, oneshot::Sender<()>)> = ready;
        for (_, waiter) in ready {
            // Whoever asked may have left.
            let _ = waiter.send(());
        }
    }

    /// Everything before now is compiled, whatever its versions were: the store was read anew.
    pub fn passed_all(&self, version: V) {
        let waiters = std::mem::take(&mut self.inner.lock().waiters);
        for (_, waiter) in waiters {
            let _ = waiter.send(());
        }
        self.passed(version);
    }

    /// Waits until a version is compiled. May be cancelled.
    pub async fn until(&self, version: V) {
        let waiter = {
            let mut inner = self.inner.lock();
            if inner.passed.contains(&version) {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            inner.waiters.retain(|(_, waiter)| !waiter.is_closed());
            inner.waiters.push((version, sender));
            receiver
        };
        // An error means that the loop ended; the caller's own limits hold then.
        let _ = waiter.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn waits_for_what_has_not_passed() {
        let progress = Arc::new(Progress::default());
        progress.passed(1);
        progress.until(1).await;
        let waiter = tokio::spawn({
            let progress = Arc::clone(&progress);
            async move { progress.until(3).await }
        });
        tokio::task::yield_now().await;
        progress.passed(2);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        progress.passed(3);
        waiter.await.unwrap();
    }

    #[tokio::test]
    async fn a_fresh_list_passes_everything() {
        let progress = Arc::new(Progress::default());
        let waiter = tokio::spawn({
            let progress = Arc::clone(&progress);
            async move { progress.until(7).await }
        });
        tokio::task::yield_now().await;
        progress.passed_all(9);
        waiter.await.unwrap();
    }
}
