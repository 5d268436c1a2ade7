//! A server in a forked child, and clients for it.

#![allow(dead_code)] // Each test program uses another part.

use crate::support::*;
use skiff_engine::{Counters, RawGrant, RawServer, ffi};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A test that hangs fails long before this.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a test asks for; the rest is as the header's zero says.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub reuse_count: u32,
    pub reuse_concurrent: u32,
    pub requests_max: u32,
    pub connections_max: u32,
    pub header_bytes_max: u64,
    pub body_bytes_max: u64,
    pub request_ms_max: u64,
    pub idle_ms_max: u64,
    pub drain_ms: u64,
    pub drain_share: u32,
    pub memory_bytes_max: u64,
    /// 0: 100; in slots.
    pub instances_max: u32,
    /// Instances are made without slots.
    pub without_slots: bool,
    /// 0: no limit.
    pub address_space_bytes_max: u64,
    pub runtime: u32,
    /// What it may reach: NOTHING or EVERYTHING.
    pub egress: u32,
}

/// A server; it is killed when it is dropped.
pub struct Serving {
    pub port: u16,
    child: libc::pid_t,
    stop: SharedStop,
    counters: *const Counters,
    report: Option<File>,
}

/// Zeroes that the child shares.
fn shared_page() -> *const Counters {
    assert!(size_of::<Counters>() <= 4096);
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    page.cast_const().cast()
}

/// Closes what other tests have open: they wait for the end of connections that this process would keep.
fn close_others(files: &[i32], listener: &TcpListener) {
    let mut kept: Vec<u32> = files.iter().map(|fd| *fd as u32).collect();
    kept.push(listener.as_raw_fd() as u32);
    kept.sort();
    let mut first = 3;
    for fd in kept {
        if fd > first {
            unsafe { libc::close_range(first, fd - 1, 0) };
        }
        first = fd + 1;
    }
    unsafe { libc::close_range(first, u32::MAX, 0) };
}

impl Serving {
    pub fn start(name: &str, options: Options) -> Serving {
        let (artifact, _) = artifact(name, options.runtime);
        // Whoever has an engine may be about to fork, and would take a copy of these with it.
        let lock = Engine::with(WASMTIME, COMMAND);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (reader, writer) = pipe();
        let (stop, counters) = (SharedStop::new(), shared_page());
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            close_others(&[&artifact, &writer, &stop.event].map(AsRawFd::as_raw_fd), &listener);
            unsafe { libc::alarm(60) };
            serve_in_child(&artifact, &options, &listener, &stop, counters, writer);
            unsafe { libc::_exit(0) };
        }
        drop((listener, writer));
        drop(lock);
        Serving { port, child, stop, counters, report: Some(reader) }
    }

    pub fn counters(&self) -> &Counters {
        unsafe { &*self.counters }
    }

    pub fn count(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        of(self.counters()).load(Ordering::Relaxed)
    }

    /// Kilobytes of a field of /proc/PID/status.
    pub fn status_kb(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child);
        let status = std::fs::read_to_string(path).expect("a process that was not reaped");
        let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    pub fn order_stop(&self) {
        self.stop.order();
    }

    /// With so many milliseconds left.
    pub fn order_stop_within(&self, left: u32) {
        self.stop.order_within(left);
    }

    /// Orders the stop and waits for the end.
    pub fn end(mut self) -> Report {
        self.stop.order();
        let report = collect(self.report.take().expect("not yet collected"), None);
        let mut status = 0;
        unsafe { libc::waitpid(self.child, &mut status, 0) };
        self.child = 0;
        assert_eq!(status, 0, "the server died; it had written {report:?}");
        report
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.port).expect("the server listens")
    }

    /// One request on a connection of its own.
    pub fn get(&self, path: &str) -> Reply {
        self.connect().get(path)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.child > 0 {
            unsafe {
                libc::kill(self.child, libc::SIGKILL);
                libc::waitpid(self.child, ptr::null_mut(), 0);
            }
        }
        unsafe { libc::munmap(self.counters.cast_mut().cast(), 4096) };
    }
}

fn serve_in_child(
    artifact: &File,
    options: &Options,
    listener: &TcpListener,
    stop: &SharedStop,
    counters: *const Counters,
    mut report: File,
) {
    let config = ffi::RawConfig {
        size: size_of::<ffi::RawConfig>() as u32,
        purpose: SERVER,
        stack_bytes_max: 0,
        runtime: options.runtime,
        instances_max: match (options.without_slots, options.instances_max) {
            (true, _) => 0,
            (false, 0) => 100,
            (false, count) => count,
        },
        instance_memory_bytes_max: 0,
    };
    let (mut engine, mut module) = (ptr::null_mut(), ptr::null_mut());
    if options.address_space_bytes_max > 0 {
        let bytes = options.address_space_bytes_max;
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    }
    unsafe {
        let code = ffi::skiff_engine_new(&config, &mut engine, ptr::null_mut());
        assert_eq!(code, OK);
        let fd = artifact.as_raw_fd();
        assert_eq!(ffi::skiff_engine_load(engine, fd, &mut module, ptr::null_mut()), OK);
    }
    let grant = RawGrant {
        size: size_of::<RawGrant>() as u32,
        stdin_fd: -1,
        stop_fd: stop.event.as_raw_fd(),
        stop_flag: stop.flag,
        write: Some(write_message),
        write_context: (&raw mut report).cast(),
        memory_bytes_max: options.memory_bytes_max,
        egress_mode: options.egress,
        ca_fd: -1,
        coredump_fd: -1,
        counters,
        // SAFETY: numbers and pointers that may be null.
        ..unsafe { std::mem::zeroed() }
    };
    let server = RawServer {
        size: size_of::<RawServer>() as u32,
        listen_fd: listener.as_raw_fd(),
        reuse_count: options.reuse_count,
        reuse_concurrent: options.reuse_concurrent,
        requests_max: options.requests_max,
        connections_max: options.connections_max,
        header_bytes_max: options.header_bytes_max,
        body_bytes_max: options.body_bytes_max,
        request_ms_max: options.request_ms_max,
        idle_ms_max: options.idle_ms_max,
        drain_ms: options.drain_ms,
        drain_share: options.drain_share,
        reserved: 0,
    };
    let mut outcome = std::mem::MaybeUninit::uninit();
    unsafe { ffi::skiff_module_serve(module, &grant, &server, outcome.as_mut_ptr()) };
    send(&mut report, 0, &encode(unsafe { outcome.assume_init() }));
}

/// A connection of HTTP/1.1.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

/// A response.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: u16,
    /// In lower case, and the trailers after them.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// It ended as its framing says.
    pub is_whole: bool,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub fn connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    pub fn send_chunk(&mut self, bytes: &[u8]) {
        self.send(format!("{:x}\r\n", bytes.len()).as_bytes());
        self.send(bytes);
        self.send(b"\r\n");
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes());
        self.reply()
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        let size = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {size}\r\n\r\n");
        self.send(head.as_bytes());
        self.send(body);
        self.reply()
    }

    /// Reads the next response; one that never came has the status 0.
    pub fn reply(&mut self) -> Reply {
        let mut reply = self.head();
        if reply.status != 0 {
            self.body(&mut reply);
        }
        reply
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line from the server: {error}"),
        }
    }

    pub fn head(&mut self) -> Reply {
        let mut reply = Reply::default();
        let Some(line) = self.line() else { return reply };
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {line:?}"));
        reply.status = status.parse().expect("a number");
        self.fields(&mut reply);
        reply
    }

    fn fields(&mut self, reply: &mut Reply) -> bool {
        loop {
            match self.line() {
                None => return false,
                Some(line) if line.is_empty() => return true,
                Some(line) => {
                    let (name, value) = line.split_once(':').expect("a field");
                    reply.headers.push((name.to_lowercase(), value.trim().to_owned()));
                }
            }
        }
    }

    fn body(&mut self, reply: &mut Reply) {
        if reply.header("transfer-encoding") == Some("chunked") {
            while let Some(line) = self.line() {
                let size = usize::from_str_radix(&line, 16).expect("a chunk's size");
                if size == 0 {
                    reply.is_whole = self.fields(reply);
                    return;
                }
                if !self.bytes(reply, size) || self.line().is_none() {
                    return;
                }
            }
            return;
        }
        let size = reply.header("content-length").map_or(0, |size| size.parse().expect("a number"));
        reply.is_whole = self.bytes(reply, size);
    }

    fn bytes(&mut self, reply: &mut Reply, size: usize) -> bool {
        let before = reply.body.len();
        let read = self.stream.by_ref().take(size as u64).read_to_end(&mut reply.body);
        read.is_ok() && reply.body.len() == before + size
    }

    /// Whether a request is answered; the server may be about to go.
    pub fn try_get(&mut self) -> bool {
        let head = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
        self.stream.get_mut().write_all(head).is_ok() && self.reply().status == 200
    }

    /// All that comes until the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                panic!("no end of the connection: {error}")
            }
            _ => rest,
        }
    }

    /// Whether the server closed the connection; waits for it.
    pub fn is_closed(&mut self) -> bool {
        self.line().is_none()
    }
}
