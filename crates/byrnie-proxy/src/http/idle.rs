//! When a client's connection is closed because nothing happens on it.
//!
//! No clock is read for a request: the watchdog wakes up a few times per limit and looks whether the count of requests
//! moved. So a connection is closed at up to a quarter after its limit.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use byrnie_net::socket::OtherEnd;

use crate::front::Front;

/// Looks per limit.
const LOOKS: u32 = 4;

/// How long a client of HTTP/1 that has closed its half, and so may have gone, waits for an answer of which nothing
/// comes. Others cut it off at once (Envoy, nginx), which those who close their half in good faith do not deserve.
const FAITH: Duration = Duration::from_secs(30);

/// Returns when no request began for `idle`, and none is in flight; or, where `head` is given, when the head of one has
/// been on its way for that long (`is_partial` says whether bytes of a head have come). While the process `is_short` of
/// memory or descriptors, whatever is idle at a look is.
///
/// HTTP/1, where `head` is given, does not read while it answers: a client that has gone is found out here, so that
/// what it asked for does not keep its place until the application has an answer.
pub async fn expired(
    front: &Rc<Front>,
    idle: Duration,
    head: Option<Duration>,
    is_partial: impl Fn() -> bool,
    is_short: impl Fn() -> bool,
) {
    let step = head.map_or(idle, |head| head.min(idle)) / LOOKS;
    let step = step.max(Duration::from_millis(10));
    let (mut seen, mut quiet, mut partial) = (u64::MAX, Duration::ZERO, Duration::ZERO);
    let mut finished = Duration::ZERO;
    loop {
        tokio::time::sleep(step).await;
        if head.is_some() && front.in_flight.get() > 0 && front.requests.get() == seen {
            let says_nothing = !front.notes.said.swap(false, Relaxed);
            match front.client() {
                OtherEnd::Gone => return,
                OtherEnd::Finished if says_nothing => finished += step,
                _ => finished = Duration::ZERO,
            }
            if finished >= FAITH || (finished > step && is_short()) {
                return;
            }
        }
        if front.requests.get() != seen || front.in_flight.get() > 0 {
            seen = front.requests.get();
            (quiet, partial) = (Duration::ZERO, Duration::ZERO);
            continue;
        }
        quiet += step;
        partial = if is_partial() { partial + step } else { Duration::ZERO };
        if quiet >= idle || is_short() || head.is_some_and(|head| partial >= head) {
            return;
        }
    }
}
