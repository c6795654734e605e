//! What the allocator keeps of freed memory, and when it gives it back.
//!
//! mimalloc returns what was freed when a thread asks for more a while later. A process in which nothing happens any
//! more asks for nothing, so it would stay as large as it ever was.

use std::ffi::{c_int, c_long};

/// mimalloc's number for the time that freed memory is kept, in ms; the same in its versions 2 and 3. The crate gives
/// it no name.
const PURGE_DELAY: c_int = 15;

/// How long it is kept where there is little of it, in ms.
const SOON: c_long = 100;

/// Gives back what this thread has freed and has not used again for a while. Some microseconds.
pub fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time, also where mimalloc allocates nothing.
    unsafe { libmimalloc_sys::mi_collect(false) }
}

/// The same with what it has freed just now: what a burst has left.
pub fn give_back_all() {
    // SAFETY: as above.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// From now on freed memory goes back soon. At once would be dearer: what is freed and taken again within milliseconds,
/// as each request does, would be taken from the kernel each time.
pub fn give_back_soon() {
    // SAFETY: an option of this number exists, and any value is allowed; it takes no pointer.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, SOON) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_delay() {
        // SAFETY: reads a number.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000);
        give_back_soon();
        assert_eq!(delay(), SOON);
        give_back();
        give_back_all();
    }
}
