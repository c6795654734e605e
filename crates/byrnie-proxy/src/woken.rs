//! Futures that are looked at only when they have something to say.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls the future only after it woke its task itself. A task that selects between its work and what rarely happens
/// (a drain, a limit of time) polls all of it for each event of the work, and to poll a cancelled token or a timer that
/// is not due costs locks; this costs one load. The future is pinned already: one that is given to an `async fn` takes
/// its place twice, in what is handed over and where it stays.
pub async fn when_woken<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: AtomicWaker::new() });
    let waker = Waker::from(Arc::clone(&bell));
    let mut known: Option<Waker> = None;
    poll_fn(|cx| {
        let is_known = known.as_ref().is_some_and(|known| known.will_wake(cx.waker()));
        if is_known && !bell.rung.load(SeqCst) {
            return Poll::Pending;
        }
        // Before the look: who rings from here on wakes this task again.
        bell.task.register(cx.waker());
        if !is_known {
            known = Some(cx.waker().clone());
        }
        if !bell.rung.swap(false, SeqCst) {
            return Poll::Pending;
        }
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, SeqCst);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;

    use futures_util::task::noop_waker;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn it_is_polled_when_it_was_woken_and_by_every_task() {
        let (token, polls) = (CancellationToken::new(), Cell::new(0));
        let mut inner = pin!(token.cancelled());
        let counted = pin!(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            inner.as_mut().poll(cx)
        }));
        let mut woken = pin!(when_woken(counted));
        let noop = noop_waker();
        for _ in 0..5 {
            assert!(woken.as_mut().poll(&mut Context::from_waker(&noop)).is_pending());
        }
        assert_eq!(polls.get(), 1, "nothing happened");
        let task = Arc::new(Bell { rung: AtomicBool::new(false), task: AtomicWaker::new() });
        let other = Waker::from(Arc::clone(&task));
        assert!(woken.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
        token.cancel();
        assert!(task.rung.load(SeqCst), "the task that polled last is woken");
        assert!(woken.as_mut().poll(&mut Context::from_waker(&other)).is_ready());
        assert_eq!(polls.get(), 2);
    }
}
