//! When a client's connection is closed because nothing happens on it.
//!
//! No clock is read for a request: the watchdog wakes up a few times per limit and looks whether the count of requests
//! moved. So a connection is closed at up to a quarter after its limit.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use byrnie_net::socket::OtherEnd;
use tokio::time::Instant;

use crate::front::Front;
use crate::worker::Worker;

/// Looks per limit.
const LOOKS: u32 = 4;

/// A client that resets its connection while it waits for an answer is noticed at the second of these looks.
const WAITING: Duration = Duration::from_secs(1);

/// How long a new connection may say nothing, where room is wanted.
const HASTE: Duration = Duration::from_secs(1);

/// How long a client of HTTP/1 that has closed its half, and so may have gone, waits for an answer of which nothing
/// comes. Others cut it off at once (Envoy, nginx), which those who close their half in good faith do not deserve.
const FAITH: Duration = Duration::from_secs(30);

/// Returns when no request began for `idle`, and none is in flight; or, where `head` is given, when the head of one has
/// been on its way for that long (`is_partial` says whether bytes of a head have come). While the process is short of
/// memory or descriptors, a share of those that are idle ends with each of its looks. When it was quiet for a while,
/// `front` is told.
///
/// HTTP/1, where `head` is given, does not read while it answers: a client that has gone is found out here, so that
/// what it asked for does not keep its place until the application has an answer.
pub async fn expired(
    worker: &Rc<Worker>,
    front: &Rc<Front>,
    idle: Duration,
    head: Option<Duration>,
    is_partial: impl Fn() -> bool,
) {
    let step_idle = (head.map_or(idle, |head| head.min(idle)) / LOOKS).max(Duration::from_millis(10));
    let (mut seen, mut quiet, mut partial) = (u64::MAX, Duration::ZERO, Duration::ZERO);
    let mut finished = Duration::ZERO;
    loop {
        let waits = head.is_some() && front.in_flight.get() > 0;
        let step = if waits { step_idle.min(WAITING) } else { step_idle };
        let look = Instant::now() + step;
        let is_idle = || front.in_flight.get() == 0 && front.requests.get() > 0 && !is_partial();
        while is_wanted_before(worker, look).await {
            // A worker with much to do may not have come to what the client has asked meanwhile.
            if is_idle() && !front.has_unread() {
                return;
            }
        }
        let is_short = head.is_some() && worker.process.overload.is_shedding();
        if head.is_some() && front.in_flight.get() > 0 && front.requests.get() == seen {
            let says_nothing = !front.notes.said.swap(false, Relaxed);
            match front.client() {
                OtherEnd::Gone => return,
                OtherEnd::Finished if says_nothing => finished += step,
                _ => finished = Duration::ZERO,
            }
            // Already where kept-alive connections end: what these hold is the first to be missed.
            if finished >= FAITH || (finished > step_idle && worker.process.overload.is_draining()) {
                return;
            }
        }
        if front.requests.get() != seen || front.in_flight.get() > 0 {
            seen = front.requests.get();
            (quiet, partial) = (Duration::ZERO, Duration::ZERO);
            continue;
        }
        if front.requests.get() > 0 && !front.quiet.replace(true) {
            // The connection is polled before its watchdog: once more, so that it sees that.
            tokio::task::yield_now().await;
        }
        quiet += step;
        partial = if is_partial() { partial + step } else { Duration::ZERO };
        // A head that has just begun is not nothing, and may wait for room; one that takes its time only takes room.
        let is_over = quiet >= idle && partial.is_zero() || is_short && partial != step;
        if is_over || head.is_some_and(|head| partial >= head) {
            return;
        }
    }
}

/// Returns when a connection on which nothing was said yet is to end, because others want its room.
pub async fn yields(worker: &Rc<Worker>, front: &Rc<Front>) {
    let began = Instant::now();
    loop {
        worker.process.overload.room_is_wanted().await;
        if began.elapsed() >= HASTE && !front.has_unread() {
            return;
        }
    }
}

/// Whether room is wanted before then.
async fn is_wanted_before(worker: &Rc<Worker>, then: Instant) -> bool {
    tokio::select! {
        biased;
        () = worker.process.overload.room_is_wanted() => true,
        () = tokio::time::sleep_until(then) => false,
    }
}
