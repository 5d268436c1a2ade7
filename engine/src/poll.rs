//! `poll_oneoff` of WASI 0.1: the one function in which a core module waits.

use crate::core_wasi::{Call, CoreState, finish, with_guest};
use crate::stdio::is_readable;
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime::{Result, format_err};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p1::types::{Errno, Fd, Filetype};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host;
use wiggle::GuestMemory;

const SUBSCRIPTION_BYTES: usize = 48;
const EVENT_BYTES: usize = 32;

const TAG_CLOCK: u8 = 0;
const TAG_FD_READ: u8 = 1;
const TAG_FD_WRITE: u8 = 2;

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
const FLAG_ABSOLUTE: u16 = 1;

enum Wish {
    /// A clock; None: never due.
    Clock(Option<Instant>),
    /// The guest's stdin, which may not be readable yet.
    Stdin,
    /// Files and outputs: always ready.
    Ready,
}

struct Subscription {
    userdata: u64,
    tag: u8,
    wish: Wish,
}

/// An error number of WASI 0.1 for the guest, or a trap.
enum Refusal {
    Errno(Errno),
    Trap(wasmtime::Error),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::Errno(errno)
    }
}

/// The host function; its arguments are subscriptions, events, count and where the count of events goes. Waits until one of the subscriptions is ready and writes the events of all that are.
/// A clock wait that is pending when the guest is asked to stop ends as if it were due.
pub fn poll_oneoff(caller: &mut impl Call, arguments: [i32; 4]) -> Result<i32> {
    with_guest(caller, |state, memory| {
        let arguments = arguments.map(|value| value as u32 as usize);
        match poll(state, memory, arguments) {
            Ok(()) => Ok(0),
            Err(Refusal::Errno(errno)) => Ok(i32::from(u16::from(errno))),
            Err(Refusal::Trap(error)) => Err(error),
        }
    })
}

fn poll(
    state: &mut CoreState,
    memory: &mut GuestMemory<'_>,
    [subscriptions, events, count, event_count]: [usize; 4],
) -> std::result::Result<(), Refusal> {
    if count == 0 {
        return Err(Errno::Inval.into());
    }
    // What is kept of them meanwhile is the host's memory.
    let kept = count.saturating_mul(SUBSCRIPTION_BYTES + size_of::<Subscription>());
    if kept > state.hostcall_bytes_max {
        return Err(Refusal::Trap(format_err!("poll_oneoff: {count} subscriptions are too many")));
    }
    // Everything is checked before the wait, so that no wait ends in an error.
    bytes_at(memory, events, count.saturating_mul(EVENT_BYTES))?;
    bytes_at(memory, event_count, 4)?;
    let bytes = bytes_at(memory, subscriptions, count.saturating_mul(SUBSCRIPTION_BYTES))?.to_vec();
    let now = Instant::now();
    let mut wishes = Vec::with_capacity(count);
    for bytes in bytes.chunks_exact(SUBSCRIPTION_BYTES) {
        wishes.push(read_subscription(state, memory, bytes, now)?);
    }
    let cut_short = wait(state, &wishes);
    let now = Instant::now();
    let mut written = 0;
    for subscription in &wishes {
        let ready = match subscription.wish {
            Wish::Clock(due) => cut_short || due.is_some_and(|due| due <= now),
            Wish::Stdin => state.stdin.is_none_or(|fd| is_readable(fd, 0)),
            Wish::Ready => true,
        };
        if ready {
            let at = events + written * EVENT_BYTES;
            write_event(bytes_at(memory, at, EVENT_BYTES)?, subscription);
            written += 1;
        }
    }
    bytes_at(memory, event_count, 4)?.copy_from_slice(&(written as u32).to_le_bytes());
    Ok(())
}

fn read_subscription(
    state: &mut CoreState,
    memory: &mut GuestMemory<'_>,
    bytes: &[u8],
    now: Instant,
) -> std::result::Result<Subscription, Refusal> {
    let userdata = u64_at(bytes, 0);
    let tag = bytes[8];
    let wish = match tag {
        TAG_CLOCK => Wish::Clock(read_clock(state, bytes, now)?),
        TAG_FD_READ | TAG_FD_WRITE => {
            let fd = u32_at(bytes, 16);
            let stat = finish(async { Ok(state.wasi.fd_fdstat_get(memory, Fd::from(fd)).await) });
            let stat = match stat.map_err(Refusal::Trap)? {
                Ok(stat) => stat,
                Err(error) => return Err(refusal(error)),
            };
            let on_disk = matches!(
                stat.fs_filetype,
                Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink
            );
            if tag == TAG_FD_READ && fd == 0 && !on_disk { Wish::Stdin } else { Wish::Ready }
        }
        _ => return Err(Errno::Inval.into()),
    };
    Ok(Subscription { userdata, tag, wish })
}

fn refusal(error: wasmtime_wasi::p1::types::Error) -> Refusal {
    match error.downcast() {
        Ok(errno) => Refusal::Errno(errno),
        Err(trap) => Refusal::Trap(trap),
    }
}

/// When the clock of a subscription is due on the host's own clock.
fn read_clock(
    state: &mut CoreState,
    bytes: &[u8],
    now: Instant,
) -> std::result::Result<Option<Instant>, Refusal> {
    let timeout = Duration::from_nanos(u64_at(bytes, 24));
    let absolute = u16::from_le_bytes([bytes[40], bytes[41]]) & FLAG_ABSOLUTE != 0;
    let guest_now = match u32_at(bytes, 16) {
        CLOCK_REALTIME | CLOCK_MONOTONIC if !absolute => Duration::ZERO,
        CLOCK_REALTIME => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        CLOCK_MONOTONIC => Duration::from_nanos(state.wasi.clocks().now().map_err(Refusal::Trap)?),
        _ => return Err(Errno::Inval.into()),
    };
    Ok(now.checked_add(timeout.saturating_sub(guest_now)))
}

/// Waits until a wish is ready; true when a clock wait was cut short because the guest shall stop.
fn wait(state: &CoreState, wishes: &[Subscription]) -> bool {
    let mut due: Option<Instant> = None;
    let mut has_clock = false;
    let mut stdin: Option<RawFd> = None;
    for subscription in wishes {
        match subscription.wish {
            Wish::Ready => return false,
            Wish::Stdin if state.stdin.is_none() => return false,
            Wish::Stdin => stdin = state.stdin,
            Wish::Clock(at) => {
                has_clock = true;
                due = match (due, at) {
                    (Some(due), Some(at)) => Some(due.min(at)),
                    (due, at) => due.or(at),
                };
            }
        }
    }
    let stop = if has_clock { state.stop.watched_fd() } else { None };
    // An entry with a negative descriptor is ignored by poll(2).
    let entry =
        |fd: Option<RawFd>| libc::pollfd { fd: fd.unwrap_or(-1), events: libc::POLLIN, revents: 0 };
    let mut entries = [entry(stdin), entry(stop)];
    loop {
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let ready = poll_once(&mut entries, left);
        if entries[1].revents != 0 {
            state.stop.set_noticed();
            return true;
        }
        // Past the end of the wait, or a signal came: the clock decides.
        if ready || left == Some(Duration::ZERO) {
            return false;
        }
    }
}

/// One ppoll(2); true when a descriptor is ready. `left` None: no end.
fn poll_once(entries: &mut [libc::pollfd], left: Option<Duration>) -> bool {
    let left = left.map(|left| libc::timespec {
        tv_sec: left.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: left.subsec_nanos().into(),
    });
    let timeout = left.as_ref().map_or(std::ptr::null(), |left| left as *const libc::timespec);
    // SAFETY: valid entries, a valid or null timeout and no signal mask.
    let count = unsafe {
        let count = entries.len() as libc::nfds_t;
        libc::ppoll(entries.as_mut_ptr(), count, timeout, std::ptr::null())
    };
    if count < 0 {
        debug_assert_eq!(io::Error::last_os_error().kind(), io::ErrorKind::Interrupted);
        entries.iter_mut().for_each(|entry| entry.revents = 0);
    }
    count > 0
}

fn write_event(bytes: &mut [u8], subscription: &Subscription) {
    bytes.fill(0);
    bytes[0..8].copy_from_slice(&subscription.userdata.to_le_bytes());
    bytes[10] = subscription.tag;
    if subscription.tag != TAG_CLOCK {
        // How much can be read or written is not known; at least one byte is.
        bytes[16..24].copy_from_slice(&1u64.to_le_bytes());
    }
}

fn bytes_at<'a>(
    memory: &'a mut GuestMemory<'_>,
    at: usize,
    size: usize,
) -> std::result::Result<&'a mut [u8], Refusal> {
    let GuestMemory::Unshared(bytes) = memory else { return Err(Errno::Fault.into()) };
    let end = at.checked_add(size).ok_or(Errno::Fault)?;
    Ok(bytes.get_mut(at..end).ok_or(Errno::Fault)?)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
