//! The guest's standard streams: output goes to the caller's function on the guest's own thread, input comes
//! from a descriptor. No pipe, no thread, no buffer between.

use crate::stop::Borrowed;
use bytes::Bytes;
use std::ffi::c_void;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// The caller's function, see `skiff_write_fn`.
pub type WriteFn =
    unsafe extern "C" fn(*mut c_void, libc::c_int, *const u8, usize) -> libc::ssize_t;

/// How much a component may write at once; more would only sit in the host's memory.
const WRITE_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// stdout or stderr of a guest.
#[derive(Clone)]
pub struct Output {
    write: WriteFn,
    context: *mut c_void,
    stream: libc::c_int,
    terminal: bool,
}

// SAFETY: one guest runs on one thread; the streams move with it and are never used at the same time.
unsafe impl Send for Output {}
unsafe impl Sync for Output {}

impl Output {
    pub fn new(
        write: WriteFn,
        context: *mut c_void,
        stream: libc::c_int,
        terminal: bool,
    ) -> Output {
        Output { write, context, stream, terminal }
    }

    pub fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // SAFETY: the grant promises a function that takes these bytes, valid for the call.
            let taken =
                unsafe { (self.write)(self.context, self.stream, bytes.as_ptr(), bytes.len()) };
            match usize::try_from(taken) {
                Ok(taken) if taken > 0 && taken <= bytes.len() => bytes = &bytes[taken..],
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(_) => return Err(io::Error::from_raw_os_error(-(taken as i32))),
            }
        }
        Ok(())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_all(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes).map_err(|_| StreamError::Closed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

/// Whether a guest waits in its thread or in an event loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    InThread,
    InEventLoop,
}

/// stdin of a guest; clones share the descriptor and so its position.
#[derive(Clone)]
pub struct Input {
    fd: Option<RawFd>,
    waiting: Waiting,
    terminal: bool,
    registered: Arc<OnceLock<Option<AsyncFd<Borrowed>>>>,
}

impl Input {
    /// `fd` None: stdin is at its end.
    pub fn new(fd: Option<RawFd>, waiting: Waiting, terminal: bool) -> Input {
        Input { fd, waiting, terminal, registered: Arc::default() }
    }

    /// A file that the event loop cannot watch (EPERM for regular ones) is always readable.
    fn registered(&self, fd: RawFd) -> Option<&AsyncFd<Borrowed>> {
        self.registered.get_or_init(|| Borrowed::watch(fd)).as_ref()
    }

    fn read_now(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: the buffer is valid for its length.
            let count = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
            if count >= 0 {
                return Ok(count as usize);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// Whether a read of `fd` would not block; with `timeout` -1 waits until it would not.
pub fn is_readable(fd: RawFd, timeout: libc::c_int) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one valid entry.
        let count = unsafe { libc::poll(&mut entry, 1, timeout) };
        if count >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return count != 0;
        }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(fd) = self.fd else { return Poll::Ready(Ok(())) };
        while !is_readable(fd, 0) {
            let Some(registered) = self.registered(fd) else { break };
            match registered.poll_read_ready(context) {
                Poll::Ready(Ok(mut guard)) => guard.clear_ready(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let count = Input::read_now(fd, buffer.initialize_unfilled())?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        let Some(fd) = self.fd else { return };
        if self.waiting == Waiting::InThread {
            is_readable(fd, -1);
            return;
        }
        while !is_readable(fd, 0) {
            let Some(registered) = self.registered(fd) else { return };
            match registered.readable().await {
                // The poll above is the truth; the loop's own memory of readiness may be stale.
                Ok(mut guard) if !is_readable(fd, 0) => guard.clear_ready(),
                _ => return,
            }
        }
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let Some(fd) = self.fd else { return Err(StreamError::Closed) };
        if size == 0 || !is_readable(fd, 0) {
            return Ok(Bytes::new());
        }
        let mut buffer = vec![0; size.min(READ_BYTES_MAX)];
        match Input::read_now(fd, &mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer.into())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}
