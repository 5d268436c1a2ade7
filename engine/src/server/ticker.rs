//! The clock by which running guests yield.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use wasmtime::Engine;

/// How long a guest computes before others have their turn, and how exactly its time limit is kept.
const TICK: Duration = Duration::from_millis(10);
/// Ticks without a running guest after which the clock stands still.
const QUIET_TICKS: u32 = 10;
const STACK_BYTES: usize = 64 * 1024;

/// Increments the engine's epoch while a guest runs. A timer of the event loop cannot: the guest has its thread.
pub struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// A guest runs.
    inside: AtomicBool,
    /// So many guests may run without saying so.
    held: AtomicUsize,
    /// The clock stands still until someone wakes it.
    parked: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    pub fn start(engine: &Engine) -> io::Result<Ticker> {
        let state = Arc::<State>::default();
        let (of_thread, engine) = (state.clone(), engine.clone());
        let thread = thread::Builder::new()
            .name(String::from("epoch"))
            .stack_size(STACK_BYTES)
            .spawn(move || tick(&of_thread, &engine))?;
        Ok(Ticker { state, thread: Some(thread) })
    }

    /// Runs `guest` for one turn.
    pub fn during<R>(&self, guest: impl FnOnce() -> R) -> R {
        // Either this thread sees `parked` or the other one, which looks again after setting it, sees `inside`.
        self.state.inside.store(true, Ordering::SeqCst);
        self.wake();
        let result = guest();
        self.state.inside.store(false, Ordering::Relaxed);
        result
    }

    /// Lets the clock run until `release`, for a guest whose turns are not seen here.
    pub fn hold(&self) {
        self.state.held.fetch_add(1, Ordering::SeqCst);
        self.wake();
    }

    pub fn release(&self) {
        self.state.held.fetch_sub(1, Ordering::Relaxed);
    }

    fn wake(&self) {
        if self.state.parked.load(Ordering::SeqCst) {
            self.state.parked.store(false, Ordering::SeqCst);
            if let Some(thread) = &self.thread {
                thread.thread().unpark();
            }
        }
    }
}

impl State {
    fn is_running(&self) -> bool {
        self.inside.load(Ordering::SeqCst) || self.held.load(Ordering::SeqCst) > 0
    }
}

fn tick(state: &State, engine: &Engine) {
    let mut quiet = 0;
    while !state.ended.load(Ordering::Acquire) {
        thread::park_timeout(TICK);
        if state.is_running() {
            engine.increment_epoch();
            quiet = 0;
            continue;
        }
        quiet += 1;
        if quiet < QUIET_TICKS {
            continue;
        }
        quiet = 0;
        state.parked.store(true, Ordering::SeqCst);
        if state.is_running() {
            state.parked.store(false, Ordering::SeqCst);
        }
        while state.parked.load(Ordering::SeqCst) && !state.ended.load(Ordering::Acquire) {
            thread::park();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
