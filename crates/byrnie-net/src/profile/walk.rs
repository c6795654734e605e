//! The stack of the calling thread.

use std::ffi::c_void;

/// Frames of a stack that are kept, innermost first. Those of asynchronous code are deep.
pub const DEPTH: usize = 128;

/// Addresses of code, innermost first.
pub struct Walk {
    pub frames: [usize; DEPTH],
    pub len: usize,
}

/// The frames of this thread from `from` on (an address of code that is on the stack), or all where it is not found. It
/// allocates nothing and takes no lock of ours, so it may be called within the allocator and within a signal's handler.
pub fn walk(from: Option<usize>) -> Walk {
    let mut walk = Walk { frames: [0; DEPTH], len: 0 };
    let mut is_reached = from.is_none();
    let keep = |frame: &backtrace::Frame| {
        let address = frame.ip().cast::<c_void>() as usize;
        is_reached |= Some(address) == from;
        if is_reached && let Some(place) = walk.frames.get_mut(walk.len) {
            *place = address;
            walk.len += 1;
        }
        walk.len < DEPTH
    };
    // SAFETY: what is not synchronised is Windows' library; here it is the unwinder of libgcc, which each thread may
    // call on its own stack at any time.
    unsafe { backtrace::trace_unsynchronized(keep) };
    walk
}
