//! Processor time by stack: after each hundredth of a second of it the kernel interrupts the thread that uses it
//! (`SIGPROF`), and its stack is written down.
//!
//! Within the handler nothing is allocated and no lock is taken: places on the tape are given out by one addition.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::stacks::{Stacks, thread_name};
use super::walk::walk;

/// Microseconds of processor time between two samples: 99 in a second, so that they do not fall in step with timers.
const PERIOD: i64 = 1_000_000 / 99;
/// Words (4 MiB) of all samples: 60 s of 4 busy cores.
const TAPE: usize = 512 * 1024;
/// Bits of a sample's first word that are the number of its frames; the others are the thread.
const LEN_BITS: u32 = 8;

static RUNNING: AtomicBool = AtomicBool::new(false);
static CURRENT: AtomicPtr<Tape> = AtomicPtr::new(null_mut());
/// Handlers that may have a hand on the tape.
static HANDS: AtomicUsize = AtomicUsize::new(0);

struct Tape {
    words: Box<[AtomicUsize]>,
    next: AtomicUsize,
    missed: AtomicU64,
}

/// Samples are taken until it is finished or dropped.
#[derive(Debug)]
pub struct Sampling(());

/// Begins. Only one at a time: another one is [`io::ErrorKind::ResourceBusy`].
pub fn start() -> io::Result<Sampling> {
    if RUNNING.swap(true, Ordering::AcqRel) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let words = std::iter::repeat_with(|| AtomicUsize::new(0)).take(TAPE).collect();
    let tape = Tape { words, next: AtomicUsize::new(0), missed: AtomicU64::new(0) };
    CURRENT.store(Box::into_raw(Box::new(tape)), Ordering::SeqCst);
    let sampling = Sampling(());
    handle(on_tick as *const () as usize)?;
    tick_every(PERIOD)?;
    Ok(sampling)
}

impl Sampling {
    /// Ends, and says what was found.
    pub fn finish(self) -> Stacks {
        // Dropped here, then nothing is left to do by `drop`.
        take().map(|tape| read(&tape)).unwrap_or_default()
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        drop(take());
        RUNNING.store(false, Ordering::Release);
    }
}

/// Stops the timer, and takes the tape once no handler has a hand on it.
fn take() -> Option<Box<Tape>> {
    // Neither fails with arguments that are right, and there is nobody to tell.
    let _ = tick_every(0);
    // Not the default: a last tick that is still on its way would end the process.
    let _ = handle(libc::SIG_IGN);
    let tape = CURRENT.swap(null_mut(), Ordering::SeqCst);
    while HANDS.load(Ordering::SeqCst) != 0 {
        std::thread::yield_now();
    }
    // SAFETY: it was made by `Box::into_raw` in `start`, the swap gives it to this caller alone, and a handler that
    // comes from now on finds nothing.
    (!tape.is_null()).then(|| unsafe { Box::from_raw(tape) })
}

fn read(tape: &Tape) -> Stacks {
    let mut stacks = Stacks { all: Vec::new(), missed: tape.missed.load(Ordering::Relaxed) };
    let mut rest = &tape.words[..];
    while let Some((first, words)) = rest.split_first() {
        let first = first.load(Ordering::Relaxed);
        let len = first & ((1 << LEN_BITS) - 1);
        let Some((frames, after)) = words.split_at_checked(len).filter(|_| len > 0) else { break };
        let frames = frames.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        stacks.all.push((thread_name(first >> LEN_BITS), frames, 1));
        rest = after;
    }
    stacks
}

fn handle(handler: usize) -> io::Result<()> {
    // SAFETY: a sigaction of zeros is one: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for, or is SIG_IGN, and calls only what a handler may.
    match unsafe { libc::sigaction(libc::SIGPROF, &action, null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn tick_every(microseconds: i64) -> io::Result<()> {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: it reads the timer only.
    match unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_tick(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the place of this thread's errno, which whoever was interrupted is about to read.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    HANDS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the tape is not freed while a hand is on it.
    if let Some(tape) = unsafe { CURRENT.load(Ordering::SeqCst).as_ref() } {
        tape.note(interrupted(context));
    }
    HANDS.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *errno = before };
}

impl Tape {
    fn note(&self, at: usize) {
        let mut walk = walk(Some(at));
        if walk.len == 0 {
            (walk.frames[0], walk.len) = (at, 1);
        }
        // The others are addresses to return to, which name the instruction after; this one is the instruction itself.
        walk.frames[0] += 1;
        let frames = &walk.frames[..walk.len];
        let place = self.next.fetch_add(frames.len() + 1, Ordering::Relaxed);
        let Some(words) = self.words.get(place..).and_then(|words| words.get(..=frames.len())) else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // SAFETY: it has no arguments and cannot fail.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) } as usize;
        words[0].store(thread << LEN_BITS | frames.len(), Ordering::Relaxed);
        for (word, frame) in words[1..].iter().zip(frames) {
            word.store(*frame, Ordering::Relaxed);
        }
    }
}

/// The instruction that a signal came before.
fn interrupted(context: *mut c_void) -> usize {
    // SAFETY: the kernel gives a ucontext to a handler with SA_SIGINFO.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_ref() }) else { return 0 };
    #[cfg(target_arch = "x86_64")]
    let at = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    #[cfg(target_arch = "aarch64")]
    let at = context.uc_mcontext.pc as usize;
    at
}
