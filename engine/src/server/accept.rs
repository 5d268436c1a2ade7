//! Connections: accepts them, watches that none is kept without use, and ends them when the server stops.

use crate::server::Terms;
use crate::server::bodies::Usage;
use crate::server::fatal::{self, Tasks};
use crate::server::service::{Guests, Phase, Service};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// The pause after an accept that failed for lack of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// When a silent peer is first asked whether it lives, how often, both in seconds, and how many times. The kernel's
/// own first question comes after two hours.
const KEEP_ALIVE: [libc::c_int; 3] = [75, 15, 5];
/// How long a connection that is told to end has for it, once nothing is in progress.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);
/// What is copied together, for the kernel is slower with many pieces.
const SMALL_BYTES: usize = 2048;
/// Requests of one HTTP/2 connection at the same time.
const STREAMS_MAX: u32 = 200;
/// What a client of HTTP/2 may send before a guest reads: of one request, and of all of its connection. hyper's own
/// are 1 MiB, which some hundred connections could make the death of a small pod.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// What waits of one response until a client of HTTP/2 takes it.
const STREAM_BUFFER_BYTES: usize = 64 * 1024;
/// What is read ahead of one connection at the most; a request's head must fit.
const READ_AHEAD_BYTES: usize = 128 * 1024;

/// The caller's socket for the event loop.
pub fn listen(fd: RawFd) -> io::Result<TcpListener> {
    // SAFETY: no memory is involved; the result is owned by nobody else.
    let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if own < 0 {
        return Err(io::Error::last_os_error());
    }
    let listener = unsafe { std::net::TcpListener::from_raw_fd(own) };
    listener.set_nonblocking(true)?;
    // Connections inherit them: small pieces of a response go out at once, and a peer that is gone without a word
    // is noticed in minutes, also while its guest has nothing to say.
    let [seconds_idle, seconds_between, tries] = KEEP_ALIVE;
    for (level, option, value) in [
        (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds_idle),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, seconds_between),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, tries),
    ] {
        set_option(own, level, option, value);
    }
    TcpListener::from_std(listener)
}

fn set_option(fd: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is valid for its size. A socket that cannot have the option works without.
    unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size) };
}

/// Serves until the stop order, then drains.
pub async fn run(terms: &Arc<Terms>, guests: Guests, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(terms.settings.connections_max));
    fatal::spawn(&terms.fatal, guests.instances.clone().tidy());
    let service = Arc::new(Service::new(terms, guests));
    let regular = async {
        first_of(pin!(accept(listener, &service, &places)), pin!(drained(terms, &service))).await;
        // The caller has the socket, too: what still waits in it is refused, and what comes.
        // SAFETY: no memory is involved.
        unsafe { libc::shutdown(terms.settings.listen, libc::SHUT_RD) };
        service.enter(Phase::Closing);
        let all = u32::try_from(terms.settings.connections_max).unwrap_or(u32::MAX);
        // It is never closed.
        let _ = places.acquire_many(all).await;
        service.guests_done().await;
        service.guests.instances.close();
    };
    first_of(pin!(regular), pin!(terms.fatal.happened())).await;
}

/// Resolves when no more connections shall be accepted.
async fn drained(terms: &Terms, service: &Service) {
    terms.grant.stop.ordered().await;
    service.enter(Phase::Draining);
    sleep(terms.settings.drain_time_of(terms.grant.stop.left())).await;
}

/// Ends with the first of two that ends.
async fn first_of(
    mut one: Pin<&mut impl Future<Output = ()>>,
    mut other: Pin<&mut impl Future<Output = ()>>,
) {
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => other.as_mut().poll(context),
    })
    .await;
}

fn builder(terms: &Arc<Terms>) -> Builder<Tasks> {
    let mut builder = Builder::new(Tasks(terms.fatal.clone()));
    let header_bytes = terms.settings.header_bytes_max;
    builder
        .http1()
        // The time without a request is watched here, for both versions alike.
        .header_read_timeout(None)
        .max_buf_size(header_bytes.max(READ_AHEAD_BYTES))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_send_buf_size(STREAM_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX));
    builder
}

async fn accept(listener: TcpListener, service: &Arc<Service>, places: &Arc<Semaphore>) {
    let builder = Arc::new(builder(&service.terms));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = serve(stream, builder.clone(), service.clone(), place);
                fatal::spawn(&service.terms.fatal, connection);
            }
            // The client left while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(
    stream: TcpStream,
    builder: Arc<Builder<Tasks>>,
    service: Arc<Service>,
    _place: OwnedSemaphorePermit,
) {
    let usage = Arc::new(Usage::new());
    let idle_time_max = service.terms.settings.idle_time_max;
    let answer = {
        let (service, usage) = (service.clone(), usage.clone());
        service_fn(move |request| service.clone().answer(usage.clone(), request))
    };
    let stream = Patient { stream: TokioIo::new(stream), stalled: None, time_max: idle_time_max };
    let mut connection = pin!(builder.serve_connection(stream, answer));
    let mut timer = pin!(sleep(idle_time_max));
    let mut phase_changed = pin!(service.phase_changed.notified());
    let mut is_leaving = false;
    let ended = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            while phase_changed.as_mut().poll(context).is_ready() {
                phase_changed.set(service.phase_changed.notified());
            }
            let mut shall_leave = match service.phase() {
                Phase::Open => false,
                // The next response of HTTP/1 says that it is the last one.
                Phase::Draining => usage.is_http2(),
                Phase::Closing => true,
            };
            while timer.as_mut().poll(context).is_ready() {
                let time_max = if is_leaving { GOODBYE_TIME_MAX } else { idle_time_max };
                let now = Instant::now();
                let due = usage.idle_since().unwrap_or(now) + time_max;
                // The window of a stream is the client's to open: it has as long for that as for reading at all.
                let untaken = usage.untaken_since().map(|since| since + idle_time_max);
                if untaken.is_some_and(|due| due <= now) {
                    return Poll::Ready(None);
                }
                let due = untaken.map_or(due, |untaken| untaken.min(due));
                if due > now {
                    timer.as_mut().reset(due);
                } else if is_leaving {
                    return Poll::Ready(None);
                } else {
                    shall_leave = true;
                    break;
                }
            }
            if is_leaving || !shall_leave {
                return Poll::Pending;
            }
            is_leaving = true;
            connection.as_mut().graceful_shutdown();
            timer.as_mut().reset(Instant::now() + GOODBYE_TIME_MAX);
        }
    });
    if let Some(Err(error)) = ended.await {
        let error = error.downcast_ref::<hyper::Error>();
        // hyper answered it.
        if error.is_some_and(hyper::Error::is_parse) {
            service.terms.counters.responses[3].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A stream whose client has a limited time to take what is written.
struct Patient {
    stream: TokioIo<TcpStream>,
    stalled: Option<Pin<Box<Sleep>>>,
    time_max: Duration,
}

impl Patient {
    fn limit<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let time_max = self.time_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(time_max)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = pieces.iter().map(|piece| piece.len()).sum();
        let mut whole = [0; SMALL_BYTES];
        let written = match whole.get_mut(..size) {
            Some(whole) => {
                let mut rest = &mut *whole;
                for piece in pieces {
                    let (copy, after) = rest.split_at_mut(piece.len());
                    copy.copy_from_slice(piece);
                    rest = after;
                }
                Pin::new(&mut self.stream).poll_write(context, whole)
            }
            None => Pin::new(&mut self.stream).poll_write_vectored(context, pieces),
        };
        self.limit(written, context)
    }
}
