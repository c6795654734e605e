//! Memory by stack: what was allocated since somebody asked, and is still held.
//!
//! [`Allocator`] is mimalloc. While nobody asks it costs a look at one flag for each call. Else one allocation in
//! [`EVERY`] bytes is written down with its stack until it is freed.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mimalloc::MiMalloc;

use super::stacks::Stacks;
use super::walk::walk;

/// Bytes that a thread allocates between two samples.
const EVERY: usize = 64 * 1024;
/// Samples that are kept at once: 8 MiB at most, and 512 MiB that are told apart.
const HELD: usize = 8 * 1024;
/// Cells of the filter that says of most blocks that they are in no sample.
const CELLS: usize = 64 * 1024;

static ON: AtomicBool = AtomicBool::new(false);
/// How many samples fall into each cell: a block whose cell is empty is freed without a look at the samples.
static FILTER: [AtomicU32; CELLS] = [const { AtomicU32::new(0) }; CELLS];
static SAMPLES: Mutex<Option<Samples>> = Mutex::new(None);

thread_local! {
    /// Bytes until the next sample of this thread.
    static LEFT: Cell<usize> = const { Cell::new(EVERY) };
    /// This thread is writing a sample down: what that allocates is not looked at.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

#[derive(Default)]
struct Samples {
    /// By address of the block: where it was asked for, and the bytes that it stands for.
    held: HashMap<usize, (Vec<usize>, u64)>,
    missed: u64,
}

/// mimalloc, with an eye on it for who asks.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: each call is handed on to mimalloc as it is; what is noted beside it never touches a block.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of this very function.
        let block = unsafe { MiMalloc.alloc(layout) };
        if ON.load(Ordering::Relaxed) {
            came(block, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ON.load(Ordering::Relaxed) {
            went(block);
        }
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { MiMalloc.alloc_zeroed(layout) };
        if ON.load(Ordering::Relaxed) {
            came(block, layout.size());
        }
        block
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_on = ON.load(Ordering::Relaxed);
        if is_on {
            // Before: afterwards the place may be another thread's.
            went(block);
        }
        // SAFETY: as above.
        let block = unsafe { MiMalloc.realloc(block, layout, size) };
        if is_on {
            came(block, size);
        }
        block
    }
}

/// Allocations are looked at until it is finished or dropped.
#[derive(Debug)]
pub struct Sampling(());

/// Begins. Only one at a time: another one is [`io::ErrorKind::ResourceBusy`].
pub fn start() -> io::Result<Sampling> {
    let mut samples = samples();
    if samples.is_some() {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    *samples = Some(Samples::default());
    ON.store(true, Ordering::SeqCst);
    Ok(Sampling(()))
}

impl Sampling {
    /// Ends, and says what is still held of what was allocated meanwhile, in bytes.
    pub fn finish(self) -> Stacks {
        let samples = end().unwrap_or_default();
        let of = |(frames, bytes): (Vec<usize>, u64)| ("heap".to_owned(), frames, bytes);
        Stacks { all: samples.held.into_values().map(of).collect(), missed: samples.missed }
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        drop(end());
    }
}

/// What is freed here was allocated by samples, or is in none: nothing is freed under the lock.
fn end() -> Option<Samples> {
    ON.store(false, Ordering::SeqCst);
    let mut samples = samples();
    let taken = samples.take();
    if taken.is_some() {
        FILTER.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    }
    taken
}

fn samples() -> MutexGuard<'static, Option<Samples>> {
    SAMPLES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cell(block: usize) -> &'static AtomicU32 {
    // Blocks are apart by 16 bytes at least; the product spreads them over the upper bits.
    let spread = (block >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize);
    &FILTER[(spread >> (usize::BITS - 16)) % CELLS]
}

#[cold]
#[inline(never)]
fn came(block: *mut u8, size: usize) {
    let left = LEFT.get();
    if size < left {
        return LEFT.set(left - size);
    }
    let over = size - left;
    LEFT.set(EVERY - over % EVERY);
    if !block.is_null() && !WRITING.replace(true) {
        write_down(block as usize, (1 + over / EVERY) as u64 * EVERY as u64);
        WRITING.set(false);
    }
}

/// Only with [`WRITING`] set: it allocates.
fn write_down(block: usize, bytes: u64) {
    let walk = walk(None);
    let frames = walk.frames[..walk.len].to_vec();
    // It may have ended meanwhile.
    if let Some(samples) = samples().as_mut() {
        if samples.held.len() >= HELD {
            samples.missed += 1;
            return;
        }
        cell(block).fetch_add(1, Ordering::Relaxed);
        if samples.held.insert(block, (frames, bytes)).is_some() {
            cell(block).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cold]
#[inline(never)]
fn went(block: *mut u8) {
    if cell(block as usize).load(Ordering::Relaxed) == 0 || WRITING.replace(true) {
        return;
    }
    if let Some(samples) = samples().as_mut()
        && samples.held.remove(&(block as usize)).is_some()
    {
        cell(block as usize).fetch_sub(1, Ordering::Relaxed);
    }
    WRITING.set(false);
}
