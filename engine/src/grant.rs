//! What a guest may have: the C structure, and its translation into Wasmtime's terms.

use crate::egress::Policy;
use crate::failure::truncate;
use crate::limits::Cap;
use crate::metadata::Files;
use crate::outgoing::Client;
use crate::stdio::{Input, Output, Waiting, WriteFn};
use crate::stop::Stop;
use crate::tls::Trust;
use std::ffi::{CStr, c_char, c_void};
use std::io;
use std::ops::Deref;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use wasmtime::Result;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

const STDIN_TTY: u32 = 1 << 0;
const STDOUT_TTY: u32 = 1 << 1;
const STDERR_TTY: u32 = 1 << 2;
const MAY_LISTEN: u32 = 1 << 3;

const RANDOM_BYTES_MAX_DEFAULT: u64 = 64 << 20;
const HOSTCALL_BYTES_MAX_DEFAULT: u64 = 128 << 20;
const HANDLES_MAX_DEFAULT: u32 = 65_536;
const BLOCKING_THREADS_MAX_DEFAULT: u32 = 4;
const MESSAGE_BYTES_MAX_DEFAULT: u32 = 4096;
const HTTP_REQUESTS_MAX_DEFAULT: u32 = 128;
const COREDUMP_BYTES_MAX_DEFAULT: u64 = 64 << 20;

/// `skiff_grant`, field by field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawGrant {
    pub size: u32,
    pub flags: u32,
    pub args: *const *const c_char,
    pub args_count: usize,
    pub env: *const *const c_char,
    pub env_count: usize,
    pub root: *const c_char,
    pub initial_cwd: *const c_char,
    pub entry: *const c_char,
    pub stdin_fd: i32,
    pub stop_fd: i32,
    pub stop_flag: *const AtomicU32,
    pub write: Option<WriteFn>,
    pub write_context: *mut c_void,
    pub memory_bytes_max: u64,
    pub random_bytes_max: u64,
    pub hostcall_bytes_max: u64,
    pub handles_max: u32,
    pub blocking_threads_max: u32,
    pub message_bytes_max: u32,
    pub egress_mode: u32,
    pub egress: *const RawEgressRule,
    pub egress_count: usize,
    pub http_hosts: *const *const c_char,
    pub http_hosts_count: usize,
    pub http_mode: u32,
    pub http_mode_set: u32,
    pub http_requests_max: u32,
    pub ca_fd: i32,
    pub ca_file: *const c_char,
    pub coredump_fd: i32,
    pub reserved: u32,
    pub coredump_bytes_max: u64,
    pub counters: *const Counters,
    pub memory_bytes_now: *const AtomicU64,
}

/// `skiff_egress_rule`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawEgressRule {
    pub name: *const c_char,
    pub address: [u8; 16],
    pub prefix_bits: u32,
    pub port: u32,
}

/// `skiff_counters`.
#[repr(C)]
#[derive(Default)]
pub struct Counters {
    pub denied: AtomicU64,
    pub traps: AtomicU64,
    pub instances: AtomicU64,
    pub requests_active: AtomicU64,
    pub responses: [AtomicU64; 5],
    pub latency_us_sum: AtomicU64,
    pub latency: [AtomicU64; 18],
    pub received_bytes: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub outgoing: AtomicU64,
    pub listens: AtomicU64,
}

/// The numbers of `skiff_egress_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Nothing,
    Listed,
    Everything,
}

impl Reach {
    /// An unknown number allows nothing.
    fn of(number: u32) -> Reach {
        match number {
            1 => Reach::Listed,
            2 => Reach::Everything,
            _ => Reach::Nothing,
        }
    }
}

/// One destination that is allowed.
#[derive(Clone, Debug)]
pub struct EgressRule {
    pub to: Destination,
    /// None: every port.
    pub port: Option<u16>,
}

#[derive(Clone, Debug)]
pub enum Destination {
    /// In lower case; with a leading "*." any name below.
    Name(String),
    /// IPv4 is mapped to IPv6.
    Network { address: u128, prefix_bits: u32 },
}

/// Where the guest may connect to.
#[derive(Clone, Debug)]
pub struct Egress {
    pub reach: Reach,
    pub rules: Vec<EgressRule>,
}

/// The hosts of outgoing HTTP, see `skiff_grant.http_hosts`.
#[derive(Clone, Debug)]
pub struct HttpHosts {
    pub reach: Reach,
    /// In lower case.
    pub hosts: Vec<String>,
    /// They narrow all HTTP and not `wasi_experimental_http` alone.
    pub narrow_all: bool,
}

/// The grant of one run, checked and copied, but for what is called or read while it runs.
#[derive(Clone)]
pub struct Grant {
    args: Vec<String>,
    env: Vec<(String, String)>,
    root: Option<String>,
    initial_cwd: Option<String>,
    pub entry: Option<String>,
    pub stdin: Option<RawFd>,
    flags: u32,
    pub stop: Arc<Stop>,
    write: WriteFn,
    write_context: *mut c_void,
    pub memory_cap: Cap,
    random_bytes_max: u64,
    pub hostcall_bytes_max: usize,
    pub handles_max: usize,
    blocking_threads_max: usize,
    message_bytes_max: usize,
    pub policy: Arc<Policy>,
    /// The one client of all outgoing HTTP of the process.
    pub client: Arc<Client>,
    pub http_requests_max: usize,
    pub coredump: Option<RawFd>,
    pub coredump_bytes_max: u64,
    counters: *const Counters,
    own_counters: Arc<Counters>,
}

/// # Safety
/// `text` is null or ends with a NUL.
unsafe fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// # Safety
/// `texts` points to `count` texts as above; null counts as none.
unsafe fn list(texts: *const *const c_char, count: usize) -> Vec<String> {
    if texts.is_null() {
        return Vec::new();
    }
    let texts = unsafe { std::slice::from_raw_parts(texts, count) };
    texts.iter().filter_map(|entry| unsafe { text(*entry) }).collect()
}

/// What the header's zero means.
pub fn or_default<T: PartialEq + From<u8>>(value: T, default: T) -> T {
    if value == T::from(0) { default } else { value }
}

fn open(fd: i32) -> Option<RawFd> {
    (fd >= 0).then_some(fd)
}

impl Egress {
    /// # Safety
    /// The pointers are what the header asks for.
    unsafe fn read(raw: &RawGrant) -> Egress {
        let rules = match raw.egress.is_null() {
            true => &[],
            false => unsafe { std::slice::from_raw_parts(raw.egress, raw.egress_count) },
        };
        let read = |rule: &RawEgressRule| EgressRule {
            to: match unsafe { text(rule.name) } {
                Some(name) => Destination::Name(name.to_lowercase()),
                None => Destination::Network {
                    address: u128::from_be_bytes(rule.address),
                    prefix_bits: rule.prefix_bits.min(128),
                },
            },
            port: u16::try_from(rule.port).ok().filter(|port| *port != 0),
        };
        Egress { reach: Reach::of(raw.egress_mode), rules: rules.iter().map(read).collect() }
    }
}

impl HttpHosts {
    /// # Safety
    /// The pointers are what the header asks for.
    unsafe fn read(raw: &RawGrant) -> HttpHosts {
        let hosts = unsafe { list(raw.http_hosts, raw.http_hosts_count) };
        HttpHosts {
            reach: Reach::of(raw.http_mode),
            hosts: hosts.iter().map(|host| host.to_lowercase()).collect(),
            narrow_all: raw.http_mode_set != 0,
        }
    }
}

/// The counters of a run: in the caller's page, else nobody reads them.
#[derive(Clone)]
pub struct CountersRef {
    shared: *const Counters,
    own: Arc<Counters>,
}

// SAFETY: atomics that outlive the run by the contract of the grant.
unsafe impl Send for CountersRef {}
unsafe impl Sync for CountersRef {}

#[cfg(test)]
impl CountersRef {
    pub fn own(own: Arc<Counters>) -> CountersRef {
        CountersRef { shared: std::ptr::null(), own }
    }
}

impl Deref for CountersRef {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        // SAFETY: non-null means valid for the run, see the grant's contract.
        unsafe { self.shared.as_ref() }.unwrap_or(&self.own)
    }
}

// SAFETY: used on the thread that runs the guest alone; what a server's tasks keep moves with them.
unsafe impl Send for Grant {}
unsafe impl Sync for Grant {}

impl Grant {
    /// None: the grant lacks its write function.
    ///
    /// # Safety
    /// The pointers are what the header asks for.
    pub unsafe fn read(raw: &RawGrant) -> Option<Grant> {
        let env = unsafe { list(raw.env, raw.env_count) };
        let pair = |entry: &String| {
            entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let own_counters = Arc::<Counters>::default();
        let counters = CountersRef { shared: raw.counters, own: own_counters.clone() };
        let (egress, hosts) = unsafe { (Egress::read(raw), HttpHosts::read(raw)) };
        let may_listen = raw.flags & MAY_LISTEN != 0;
        let policy = Arc::new(Policy::new(egress, hosts, may_listen, counters));
        let http_requests_max =
            or_default(raw.http_requests_max, HTTP_REQUESTS_MAX_DEFAULT) as usize;
        Some(Grant {
            args: unsafe { list(raw.args, raw.args_count) },
            env: env.iter().filter_map(pair).collect(),
            root: unsafe { text(raw.root) },
            initial_cwd: unsafe { text(raw.initial_cwd) },
            entry: unsafe { text(raw.entry) },
            stdin: open(raw.stdin_fd),
            flags: raw.flags,
            stop: Arc::new(Stop::new(raw.stop_flag, open(raw.stop_fd))),
            write: raw.write?,
            write_context: raw.write_context,
            memory_cap: Cap::new(raw.memory_bytes_max, raw.memory_bytes_now),
            random_bytes_max: or_default(raw.random_bytes_max, RANDOM_BYTES_MAX_DEFAULT),
            hostcall_bytes_max: or_default(raw.hostcall_bytes_max, HOSTCALL_BYTES_MAX_DEFAULT)
                as usize,
            handles_max: or_default(raw.handles_max, HANDLES_MAX_DEFAULT) as usize,
            blocking_threads_max: or_default(raw.blocking_threads_max, BLOCKING_THREADS_MAX_DEFAULT)
                as usize,
            message_bytes_max: or_default(raw.message_bytes_max, MESSAGE_BYTES_MAX_DEFAULT)
                as usize,
            client: Arc::new(Client::new(
                policy.clone(),
                Trust::new(unsafe { text(raw.ca_file) }, open(raw.ca_fd)),
                http_requests_max,
            )),
            policy,
            http_requests_max,
            coredump: open(raw.coredump_fd),
            coredump_bytes_max: or_default(raw.coredump_bytes_max, COREDUMP_BYTES_MAX_DEFAULT),
            counters: raw.counters,
            own_counters,
        })
    }

    /// Made after the fork and the last lock; all of a guest runs in it.
    pub fn event_loop(&self) -> io::Result<tokio::runtime::Runtime> {
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(self.blocking_threads_max)
            .build()
    }

    /// Where to count; of the caller's page if it gave one.
    pub fn counters(&self) -> CountersRef {
        CountersRef { shared: self.counters, own: self.own_counters.clone() }
    }

    /// Writes whole lines to the guest's stderr, for which it is no matter that they may be lost.
    pub fn say(&self, text: &str) {
        let stderr = Output::new(self.write, self.write_context, 2, false);
        let _ = stderr.write_all(format!("{text}\n").as_bytes());
    }

    /// The name that the guest was called by.
    pub fn program(&self) -> Option<&str> {
        self.args.first().map(String::as_str)
    }

    /// Cuts a message to what the caller wants to see of it.
    pub fn bound(&self, message: &mut String) {
        truncate(message, self.message_bytes_max);
    }

    /// What the guest may learn of its files; opens nothing yet.
    pub fn files(&self) -> Files {
        Files::below(self.root.clone())
    }

    /// Draws random numbers and opens the root: after the fork and the last lock only.
    pub fn wasi(&self, waiting: Waiting) -> Result<WasiCtxBuilder> {
        let mut builder = WasiCtx::builder();
        let tty = |bit: u32| self.flags & bit != 0;
        let output = |stream, bit| Output::new(self.write, self.write_context, stream, tty(bit));
        builder
            .args(&self.args)
            .envs(&self.env)
            .stdin(Input::new(self.stdin, waiting, tty(STDIN_TTY)))
            .stdout(output(1, STDOUT_TTY))
            .stderr(output(2, STDERR_TTY))
            .max_random_size(self.random_bytes_max)
            // The guest has the process to itself: a file may block it as it blocks any program.
            .allow_blocking_current_thread(true)
            .allow_tcp(self.policy.has_sockets())
            .allow_udp(self.policy.has_sockets())
            // Each name is checked before, see lookup.rs.
            .allow_ip_name_lookup(true);
        let policy = self.policy.clone();
        builder.socket_addr_check(move |address, to| {
            let allowed = policy.check(address, to);
            Box::pin(async move { allowed })
        });
        if let Some(cwd) = &self.initial_cwd {
            builder.initial_cwd(cwd);
        }
        if let Some(root) = &self.root {
            let opened = builder.preopened_dir(root, "/", FsPerms::ReadWrite);
            opened.map_err(|error| error.context(format!("cannot open the root {root}")))?;
        }
        Ok(builder)
    }
}
