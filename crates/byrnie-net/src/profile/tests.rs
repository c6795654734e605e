use std::hint::black_box;
use std::time::{Duration, Instant};

use super::{cpu, heap};

#[global_allocator]
static ALLOCATOR: heap::Allocator = heap::Allocator;

#[inline(never)]
fn turns_in_circles() {
    let begin = cpu_time();
    let mut sum = 1_u64;
    // Processor time, not time: on a busy machine this thread may wait.
    while cpu_time() - begin < Duration::from_millis(500) {
        sum = (0..10_000).fold(sum, |sum, n| black_box(sum.wrapping_mul(31) + n));
    }
    black_box(sum);
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes one timespec.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[inline(never)]
fn keeps_much() -> Vec<Vec<u8>> {
    (0..256).map(|_| black_box(vec![1; 16 * 1024])).collect()
}

#[inline(never)]
fn throws_away() {
    (0..256).for_each(|_| drop(black_box(vec![1_u8; 16 * 1024])));
}

/// One test: each of the two is one for the process.
#[test]
fn stacks_say_where_time_and_memory_went() {
    let sampling = cpu::start().unwrap();
    assert_eq!(cpu::start().unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
    std::thread::Builder::new().name("busy".to_owned()).spawn(turns_in_circles).unwrap().join().unwrap();
    turns_in_circles();
    let stacks = sampling.finish();
    let folded = stacks.folded();
    let of = |name: &str| lines(&folded, name).iter().sum::<u64>();
    // 99 in a second, of a second that two threads spent together.
    assert!((30..=200).contains(&of("turns_in_circles")), "{folded}");
    assert_eq!(stacks.missed, 0);
    // The last function of a stack is one's own: the handler is no part of it.
    assert_eq!(of("on_tick"), 0, "{folded}");
    // Where there is no memory to look names up, there are places in the program.
    let places = stacks.lines(super::stacks::Program::find().namer());
    let places = lines(&places, ";byrnie+0x").iter().sum::<u64>();
    assert!(places >= of("turns_in_circles"), "{places} {folded}");

    let sampling = heap::start().unwrap();
    assert_eq!(heap::start().unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
    let kept = keeps_much();
    throws_away();
    let folded = sampling.finish().folded();
    let of = |name: &str| lines(&folded, name).iter().sum::<u64>();
    let bytes = (256 * 16 * 1024) as u64;
    assert!((bytes - bytes / 20..bytes + bytes / 20).contains(&of("keeps_much")), "{folded}");
    assert!(of("throws_away") < bytes / 10, "{folded}");
    drop(kept);

    // Over is over, and each can begin again.
    let before = Instant::now();
    drop((cpu::start().unwrap(), heap::start().unwrap()));
    drop((cpu::start().unwrap(), heap::start().unwrap()));
    assert!(before.elapsed() < Duration::from_secs(10));
}

/// The numbers of the lines with a function of this name.
fn lines(folded: &str, name: &str) -> Vec<u64> {
    let with = folded.lines().filter(|line| line.contains(name));
    with.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
}
