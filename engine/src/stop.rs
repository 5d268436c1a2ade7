//! Asking a guest to stop: WebAssembly has no signals, so a stop is a flag that the guest may read and an
//! end to the clock waits that are pending when it comes.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that belongs to the caller of the library: closed by it, not here.
pub struct Borrowed(RawFd);

impl Borrowed {
    /// Makes the event loop watch the descriptor for input; None: it cannot (a regular file).
    pub fn watch(fd: RawFd) -> Option<AsyncFd<Borrowed>> {
        // SAFETY: by the grant's contract the descriptor stays open for the run, and so for the loop.
        unsafe { AsyncFd::register_with_interest(Borrowed(fd), Interest::READABLE) }.ok()
    }
}

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// The stop order of one guest, as its grant describes it.
///
/// Whoever waits for a clock is woken once: waits that began before the guest could know of the order end as
/// if due, also one that begins between the order and the guest's next look at the flag, so that no wake-up
/// is lost. Waits that begin afterwards run to their end.
pub struct Stop {
    flag: *const AtomicU32,
    fd: Option<RawFd>,
    /// The guest knows: a wait was cut short or `terminating` answered true.
    noticed: AtomicBool,
    registered: OnceLock<Option<AsyncFd<Borrowed>>>,
}

// SAFETY: `flag` is only read, atomically, and outlives the run by the contract of the grant.
unsafe impl Send for Stop {}
unsafe impl Sync for Stop {}

impl Stop {
    /// `flag` may be null: the order never comes by it.
    pub fn new(flag: *const AtomicU32, fd: Option<RawFd>) -> Stop {
        Stop { flag, fd, noticed: AtomicBool::new(false), registered: OnceLock::new() }
    }

    fn flag(&self) -> u32 {
        // SAFETY: non-null means valid for the run, see the grant's contract.
        if self.flag.is_null() { 0 } else { unsafe { (*self.flag).load(Ordering::Acquire) } }
    }

    /// How long the guest had left when it was ordered to stop.
    pub fn left(&self) -> Duration {
        Duration::from_millis(self.flag().into())
    }

    /// What the guest's `terminating` answers.
    pub fn terminating(&self) -> bool {
        let ordered = self.flag() != 0;
        if ordered {
            self.noticed.store(true, Ordering::Relaxed);
        }
        ordered
    }

    /// The descriptor that a clock wait beginning now has to watch; None: it cannot be cut short.
    pub fn watched_fd(&self) -> Option<RawFd> {
        if self.noticed.load(Ordering::Relaxed) { None } else { self.fd }
    }

    /// Marks the order as delivered by a wait that ended early.
    pub fn set_noticed(&self) {
        self.noticed.store(true, Ordering::Relaxed);
    }

    /// Resolves once the order was given; never, for a guest that does not handle it. Inside an event loop.
    pub async fn ordered(&self) {
        let Some(fd) = self.fd else { return std::future::pending().await };
        let registered = self.registered.get_or_init(|| Borrowed::watch(fd));
        // Nobody reads the eventfd, and its readiness is never cleared: every later wait is immediate.
        match registered {
            Some(fd) if fd.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }
}
