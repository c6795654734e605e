//! Threads and listening sockets: one socket per address, each connection given to the least loaded worker.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use crate::front::Entrance;
use crate::process::{NoPlace, OpenConnection, Process};
use crate::room::{LOOK, Patience};
use crate::tuned::Tuned;
use crate::woken::when_woken;
use crate::worker::Worker;

/// Pause after an accept that failed for want of descriptors or memory: the backlog waits meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that are accepted before who is there already has a turn. One by one, those who come would wait for a
/// turn of all others each: longer than they have patience.
const IN_A_ROW: u32 = 32;

/// Connections of the backlog that are taken yet after the order to stop.
const LATE: u32 = 128;

/// How often a worker shows that it is alive.
const BEAT: Duration = Duration::from_secs(1);

/// Connections that wait to be taken over by another worker; beyond, the one that accepted serves them itself.
const WAITING: usize = 1024;

/// The workers, as the control thread sees them.
pub struct Workers {
    seats: Arc<[Seat]>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    /// One token per listening socket.
    doors: TaskTracker,
}

/// One worker, as the others see it.
pub struct Seat {
    orders: mpsc::Sender<Order>,
    connections: AtomicUsize,
    /// Grows each second while the thread is alive to its tasks.
    beats: AtomicU64,
}

/// What a worker is told.
enum Order {
    /// Accept from this socket until the token is cancelled; hold the other one as long.
    Listen(std::net::TcpListener, Entrance, CancellationToken, TaskTrackerToken),
    /// Serve this connection.
    Serve(std::net::TcpStream, SocketAddr, Entrance, OpenConnection),
}

impl Workers {
    /// Starts the threads.
    pub fn start(process: &Arc<Process>, count: usize) -> io::Result<Self> {
        let (seats, queues): (Vec<Seat>, Vec<_>) = (0..count.max(1))
            .map(|_| {
                let (orders, queue) = mpsc::channel(WAITING);
                (Seat { orders, connections: AtomicUsize::new(0), beats: AtomicU64::new(0) }, queue)
            })
            .unzip();
        let seats: Arc<[Seat]> = seats.into();
        let stop = CancellationToken::new();
        let mut threads = Vec::with_capacity(queues.len());
        for (index, queue) in queues.into_iter().enumerate() {
            let (process, seats, stop) = (Arc::clone(process), Arc::clone(&seats), stop.clone());
            let (told, heard) = std::sync::mpsc::sync_channel(1);
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                // A LocalRuntime belongs to the thread that built it.
                let mut builder = tokio::runtime::Builder::new_current_thread();
                // Captured traffic is in the workload's namespace: what this thread opens is there.
                let entered = process.captured.as_ref().map_or(Ok(()), |captured| captured.enter());
                match entered.and_then(|()| builder.enable_all().build_local(LocalOptions::default())) {
                    Ok(runtime) => {
                        let _ = told.send(Ok(()));
                        runtime.block_on(run(Worker::new(index, process), seats, queue, stop));
                    }
                    Err(error) => drop(told.send(Err(error))),
                }
            })?;
            heard.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))?;
            threads.push(thread);
        }
        Ok(Self { seats, threads, stop, doors: TaskTracker::new() })
    }

    /// Accepts from a socket until the token is cancelled. Call it within the control thread's runtime.
    pub fn listen(&self, listener: std::net::TcpListener, entrance: Entrance) -> CancellationToken {
        let stop = CancellationToken::new();
        if let Some(first) = self.seats.first() {
            let order = Order::Listen(listener, entrance, stop.clone(), self.doors.token());
            // Closed only when the thread is gone, and then nothing matters any more.
            if let Err(mpsc::error::TrySendError::Full(order)) = first.orders.try_send(order) {
                let orders = first.orders.clone();
                tokio::spawn(async move { orders.send(order).await.is_ok() });
            }
        }
        stop
    }

    /// Returns when no socket is accepted from any more, and what was accepted is counted as a connection.
    pub fn closed(&self) -> impl Future<Output = ()> + use<> {
        let doors = self.doors.clone();
        async move {
            doors.close();
            doors.wait().await;
        }
    }

    /// A number for each worker that grows each second, unless the worker is stuck.
    pub fn beats(&self) -> impl Iterator<Item = u64> {
        self.seats.iter().map(|seat| seat.beats.load(Relaxed))
    }

    /// Ends the threads, with whatever they still do.
    pub fn join(self) {
        self.stop.cancel();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

async fn run(
    worker: Rc<Worker>,
    seats: Arc<[Seat]>,
    mut queue: mpsc::Receiver<Order>,
    stop: CancellationToken,
) {
    tokio::task::spawn_local(crate::pool::sweep(Rc::downgrade(&worker)));
    tokio::task::spawn_local(beat(Rc::downgrade(&worker), Arc::clone(&seats)));
    loop {
        let order = tokio::select! {
            order = queue.recv() => order,
            () = stop.cancelled() => return,
        };
        match order {
            None => return,
            Some(Order::Listen(listener, entrance, stop, open)) => {
                let (worker, seats) = (Rc::clone(&worker), Arc::clone(&seats));
                match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let (patience, tuned) = (Patience::default(), Cell::default());
                        let door = Door { worker, seats, listener, entrance, stop, patience, tuned };
                        let accepting = accept(Rc::new(door));
                        tokio::task::spawn_local(async move {
                            accepting.await;
                            drop(open);
                        });
                    }
                    Err(error) => tracing::error!("a listening socket could not be used: {error}"),
                }
            }
            Some(Order::Serve(stream, remote, entrance, place)) => match TcpStream::from_std(stream) {
                Ok(stream) => serve(&worker, &seats, stream, remote, entrance, place),
                Err(error) => {
                    drop(Seated { seats: Arc::clone(&seats), index: worker.index });
                    tracing::warn!("a connection from {remote} could not be taken over: {error}");
                }
            },
        }
    }
}

/// Shows that this thread still gets to its tasks, gives back what they have freed, and lets go of a configuration that
/// is replaced.
async fn beat(worker: Weak<Worker>, seats: Arc<[Seat]>) {
    while let Some(worker) = worker.upgrade() {
        if let Some(seat) = seats.get(worker.index) {
            seat.beats.fetch_add(1, Relaxed);
        }
        worker.config();
        match worker.process.overload.little() {
            Some(_) => {
                byrnie_net::allocator::give_back_all();
                // How long that takes must be known also when nobody comes any more.
                worker.line.let_others_go_on().await;
            }
            None => byrnie_net::allocator::give_back(),
        }
        drop(worker);
        tokio::time::sleep(BEAT).await;
    }
}

/// What one socket is accepted with.
pub struct Door {
    /// Who accepts.
    pub worker: Rc<Worker>,
    /// Who may serve.
    pub seats: Arc<[Seat]>,
    /// The socket.
    pub listener: TcpListener,
    /// What it is for.
    pub entrance: Entrance,
    /// Ends it.
    pub stop: CancellationToken,
    /// Of connections that wait for room.
    pub patience: Patience,
    /// What its connections inherit of it.
    pub tuned: Cell<Tuned>,
}

/// There is a task of this for each service that the workload calls: what is seldom needed is boxed.
pub async fn accept(door: Rc<Door>) {
    let mut stopped = pin!(door.stop.cancelled());
    let (mut accepted_in_a_row, mut accepted_late, mut looked_twice) = (0, 0, false);
    loop {
        // Who is in the backlog has got through already, and would be reset: some of them are taken yet.
        let next = |context: &mut Context<'_>| {
            let is_over = stopped.as_mut().poll(context).is_ready();
            accepted_late += u32::from(is_over);
            if accepted_late > LATE {
                return Poll::Ready(None);
            }
            match door.listener.poll_accept(context).map(Some) {
                // Nobody is there; or it was not looked at, because this task has had its share of the turn.
                Poll::Pending if is_over && !std::mem::replace(&mut looked_twice, true) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Pending if is_over => Poll::Ready(None),
                polled => polled,
            }
        };
        let Some(accepted) = poll_fn(next).await else { return };
        if let Some(pause) = accepted_one(&door, accepted) {
            pause.await;
        }
        accepted_in_a_row += 1;
        if accepted_in_a_row == IN_A_ROW {
            accepted_in_a_row = 0;
            door.worker.line.let_others_go_on().await;
        }
    }
}

/// Hands a connection over, or says what must be waited for.
fn accepted_one(
    door: &Rc<Door>,
    accepted: io::Result<(TcpStream, SocketAddr)>,
) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    match accepted {
        Ok((stream, remote)) => {
            let mut tuned = door.tuned.take();
            let seen_to = tuned.see_to(&door.listener, &stream, door.worker.config().settings.peer_timeout);
            door.tuned.set(tuned);
            if seen_to.is_err() {
                return None; // It is gone already.
            }
            match door.worker.process.admit_connection() {
                Ok(place) => hand_over(door, stream, remote, place),
                Err(NoPlace::Refused) => {}
                Err(NoPlace::Yet) => {
                    return Some(Box::pin(when_there_is_room(Rc::clone(door), stream, remote)));
                }
            }
        }
        Err(error) if is_of_one_connection(&error) => {}
        Err(error) => {
            tracing::warn!("accepting: {error}");
            return Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
        }
    }
    None
}

async fn when_there_is_room(door: Rc<Door>, stream: TcpStream, remote: SocketAddr) {
    if let Some(place) = place(&door).await {
        hand_over(&door, stream, remote, place);
    }
}

/// A place for a connection that was accepted; `None`: it is closed. While memory is full it waits, and behind it those
/// that are not accepted: as long as others end, that serves more than to refuse would.
async fn place(door: &Door) -> Option<OpenConnection> {
    let process = &door.worker.process;
    loop {
        match process.admit_connection() {
            Ok(place) => return Some(place),
            Err(NoPlace::Refused) => return None,
            Err(NoPlace::Yet) => {}
        }
        if door.patience.ends() || door.stop.is_cancelled() {
            process.counters.limit_shed.inc();
            return None;
        }
        if let Some(room) = process.overload.little() {
            room.want();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Errors that say nothing about the listening socket (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

/// Gives a connection to the worker that has fewest; keeps it when that is this one.
fn hand_over(door: &Door, stream: TcpStream, remote: SocketAddr, place: OpenConnection) {
    let Door { worker, seats, entrance, patience, .. } = door;
    patience.renew();
    let least = (0..seats.len()).min_by_key(|i| seats.get(*i).map(|seat| seat.connections.load(Relaxed)));
    let Some((index, seat)) = least.and_then(|index| Some((index, seats.get(index)?))) else { return };
    let other = if index == worker.index { None } else { seat.orders.try_reserve().ok() };
    let Some(other) = other else {
        if let Some(own) = seats.get(worker.index) {
            own.connections.fetch_add(1, Relaxed);
        }
        return serve(worker, seats, stream, remote, entrance.clone(), place);
    };
    match stream.into_std() {
        Ok(stream) => {
            // Counted before the other thread wakes up, so that a burst is spread.
            seat.connections.fetch_add(1, Relaxed);
            other.send(Order::Serve(stream, remote, entrance.clone(), place));
        }
        Err(error) => tracing::warn!("a connection from {remote} could not be handed over: {error}"),
    }
}

/// Serves a connection in a task of its own: a panic there harms nothing else.
fn serve(
    worker: &Rc<Worker>,
    seats: &Arc<[Seat]>,
    stream: TcpStream,
    remote: SocketAddr,
    entrance: Entrance,
    place: OpenConnection,
) {
    let seated = Seated { seats: Arc::clone(seats), index: worker.index };
    let listed = worker.process.listing.add(remote, entrance.clone());
    let worker = Rc::clone(worker);
    let task = async move {
        let _held = (seated, place, listed);
        let closing = pin!(worker.process.closing.cancelled());
        tokio::select! {
            biased;
            () = worker.process.survive(crate::connection::serve(&worker, stream, remote, entrance)) => {}
            () = when_woken(closing) => {}
        }
    };
    tokio::task::spawn_local(task);
}

/// A connection counted for a worker.
struct Seated {
    seats: Arc<[Seat]>,
    index: usize,
}

impl Drop for Seated {
    fn drop(&mut self) {
        if let Some(seat) = self.seats.get(self.index) {
            seat.connections.fetch_sub(1, Relaxed);
        }
    }
}
