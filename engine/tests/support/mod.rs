//! Runs guests as Skiff does: compile, then fork, then load and run in the child.
//!
//! One lock around each run: a fork copies the locks of other threads in whatever state they are.

#![allow(dead_code)] // Each test program uses another part.

pub mod read_only;

use skiff_engine::{Counters, RawEgressRule, RawGrant, ffi};
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub const WASMTIME: u32 = 0;
pub const PULLEY: u32 = 1;
pub const WASMI: u32 = 2;
pub const COMMAND: u32 = 0;
pub const SERVER: u32 = 2;

pub const MAY_LISTEN: u32 = 1 << 3;
pub const NOTHING: u32 = 0;
pub const LISTED: u32 = 1;
pub const EVERYTHING: u32 = 2;

pub const OK: c_int = 0;
pub const INVALID: c_int = 1;
pub const UNSUPPORTED: c_int = 2;
pub const INCOMPATIBLE: c_int = 3;

pub const EXITED: u32 = 1;
pub const TRAPPED: u32 = 2;
pub const OUT_OF_MEMORY: u32 = 3;
pub const START_FAILED: u32 = 5;

/// What a test grants; the rest is as the header's zero says.
#[derive(Default)]
pub struct Grant {
    pub args: Vec<&'static str>,
    pub env: Vec<&'static str>,
    pub root: Option<String>,
    pub cwd: Option<&'static str>,
    pub entry: Option<&'static str>,
    /// The bytes of stdin; None: closed.
    pub stdin: Option<&'static str>,
    pub memory_bytes_max: u64,
    pub hostcall_bytes_max: u64,
    pub message_bytes_max: u32,
    /// Asks the guest to stop as soon as it has written something.
    pub stop_after_output: bool,
    /// Asks the guest to stop as soon as its runner sleeps.
    pub stop_soon: bool,
    pub flags: u32,
    /// Kills the runner when it maps executable memory, from before the load to its end.
    pub no_executable_memory: bool,
    /// Where a trap's core dump goes.
    pub coredump: Option<File>,
    pub coredump_bytes_max: u64,
    pub network: Network,
    /// Is told what the guest printed, as it prints it.
    pub heard: Option<Box<dyn Fn(&str)>>,
}

/// What a guest may reach.
#[derive(Clone, Default)]
pub struct Network {
    pub egress: u32,
    /// Names or IPv4 addresses, with ports; 0: every port.
    pub rules: Vec<(&'static str, u16)>,
    /// The HTTP hosts and their mode, if the user gave them.
    pub http_hosts: Vec<&'static str>,
    pub http_mode: u32,
    pub http_mode_set: bool,
    pub http_requests_max: u32,
    pub ca_file: Option<&'static str>,
}

/// How a guest ended and what it wrote.
#[derive(Debug, Default)]
pub struct Report {
    pub kind: u32,
    pub exit_code: i32,
    pub message: String,
    pub bytes_peak: u64,
    pub bytes_refused: u64,
    pub stdout: String,
    pub stderr: String,
    /// The signal that killed the runner; only where the grant forbids it something.
    pub signal: i32,
    /// Connections, look-ups and requests that were denied, and requests that were made.
    pub denied: u64,
    pub outgoing: u64,
}

pub struct Engine {
    pub raw: *mut skiff_engine::Engine,
    _one_at_a_time: MutexGuard<'static, ()>,
}

pub fn text(mut text: ffi::Text) -> String {
    if text.data.is_null() {
        return String::new();
    }
    let copy =
        unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.size + 1) }.to_vec();
    unsafe { ffi::skiff_text_free(&mut text) };
    assert_eq!(copy.last(), Some(&0));
    String::from_utf8(copy[..copy.len() - 1].to_vec()).expect("texts are UTF-8")
}

fn empty() -> ffi::Text {
    ffi::Text { data: ptr::null_mut(), size: 0 }
}

pub fn memfd() -> File {
    unsafe { File::from_raw_fd(libc::memfd_create(c"artifact".as_ptr(), libc::MFD_CLOEXEC)) }
}

pub fn pipe() -> (File, File) {
    let mut fds = [0; 2];
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    unsafe { (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])) }
}

/// kind, wasi, flags, imports, exports, purpose; and the code.
pub fn inspect(runtime: u32, wasm: &[u8]) -> (c_int, ffi::RawInspection, String) {
    let mut found = std::mem::MaybeUninit::zeroed();
    let mut error = empty();
    let code = unsafe {
        let (data, size) = (wasm.as_ptr(), wasm.len());
        ffi::skiff_inspect(runtime, data, size, found.as_mut_ptr(), &mut error)
    };
    (code, unsafe { found.assume_init() }, text(error))
}

impl Engine {
    pub fn new() -> Engine {
        Engine::with(WASMTIME, COMMAND)
    }

    /// An engine of a runtime that can run `wasm`.
    pub fn fit_for(runtime: u32, wasm: &[u8]) -> Engine {
        Engine::with(runtime, inspect(runtime, wasm).1.purpose)
    }

    pub fn with(runtime: u32, purpose: u32) -> Engine {
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|lock| lock.into_inner());
        let mut raw = ptr::null_mut();
        let mut error = empty();
        let config = ffi::RawConfig {
            size: size_of::<ffi::RawConfig>() as u32,
            purpose,
            stack_bytes_max: 0,
            runtime,
            instances_max: 0,
            instance_memory_bytes_max: 0,
        };
        let code = unsafe { ffi::skiff_engine_new(&config, &mut raw, &mut error) };
        assert_eq!((code, text(error).as_str()), (OK, ""));
        Engine { raw, _one_at_a_time: guard }
    }

    /// The artifact in an open file, or code and text of the failure.
    pub fn compile(&self, wasm: &[u8]) -> Result<File, (c_int, String)> {
        let mut artifact = ffi::Bytes { data: ptr::null_mut(), size: 0 };
        let mut error = empty();
        let code = unsafe {
            let (data, size) = (wasm.as_ptr(), wasm.len());
            ffi::skiff_engine_compile(self.raw, data, size, &mut artifact, &mut error)
        };
        if code != OK {
            assert!(artifact.data.is_null());
            return Err((code, text(error)));
        }
        let mut file = memfd();
        file.write_all(unsafe { std::slice::from_raw_parts(artifact.data, artifact.size) })
            .expect("room for an artifact");
        unsafe { ffi::skiff_bytes_free(&mut artifact) };
        Ok(file)
    }

    pub fn load(&self, file: &File) -> Result<*mut skiff_engine::Module, (c_int, String)> {
        let mut module = ptr::null_mut();
        let mut error = empty();
        let code =
            unsafe { ffi::skiff_engine_load(self.raw, file.as_raw_fd(), &mut module, &mut error) };
        if code == OK { Ok(module) } else { Err((code, text(error))) }
    }

    pub fn run(&self, wasm: &[u8], grant: &Grant) -> Report {
        self.run_artifact(&self.compile(wasm).expect("a guest that compiles"), grant)
    }

    pub fn run_artifact(&self, artifact: &File, grant: &Grant) -> Report {
        let (reader, writer) = pipe();
        let stop = SharedStop::new();
        let stdin = grant.stdin.map(|content| {
            let (reader, mut writer) = pipe();
            writer.write_all(content.as_bytes()).expect("less than a pipe's buffer");
            reader
        });
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            drop(reader);
            // A guest that hangs fails its test and not all of them.
            unsafe { libc::alarm(20) };
            self.run_in_child(artifact, grant, stdin.as_ref(), &stop, writer);
            unsafe { libc::_exit(0) };
        }
        drop(writer);
        if grant.stop_soon {
            wait_until_asleep(child);
            stop.order();
        }
        let mut report = collect_and_tell(
            reader,
            grant.stop_after_output.then_some(&stop),
            grant.heard.as_deref(),
        );
        let mut status = 0;
        unsafe { libc::waitpid(child, &mut status, 0) };
        if grant.no_executable_memory && libc::WIFSIGNALED(status) {
            report.signal = libc::WTERMSIG(status);
            return report;
        }
        assert_eq!(status, 0, "the runner died; it had written {report:?}");
        let counters = stop.counters();
        report.denied = counters.denied.load(Ordering::Relaxed);
        report.outgoing = counters.outgoing.load(Ordering::Relaxed);
        report
    }

    fn run_in_child(
        &self,
        artifact: &File,
        grant: &Grant,
        stdin: Option<&File>,
        stop: &SharedStop,
        mut report: File,
    ) {
        if grant.no_executable_memory {
            forbid_executable_memory();
        }
        let module = self.load(artifact).expect("an artifact that loads");
        let lists = [&grant.args, &grant.env].map(|list| {
            list.iter().map(|text| CString::new(*text).expect("no NUL")).collect::<Vec<_>>()
        });
        let [args, env] = lists
            .each_ref()
            .map(|list| list.iter().map(|text| text.as_ptr()).collect::<Vec<*const c_char>>());
        let c = |text: Option<&str>| text.map(|text| CString::new(text).expect("no NUL"));
        let (root, cwd, entry) = (c(grant.root.as_deref()), c(grant.cwd), c(grant.entry));
        let p = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let network = &grant.network;
        let hosts: Vec<CString> =
            network.http_hosts.iter().map(|host| CString::new(*host).expect("no NUL")).collect();
        let hosts: Vec<*const c_char> = hosts.iter().map(|host| host.as_ptr()).collect();
        let names: Vec<Option<CString>> = network
            .rules
            .iter()
            .map(|(to, _)| to.parse::<std::net::Ipv4Addr>().is_err().then(|| CString::new(*to)))
            .map(|name| name.map(|name| name.expect("no NUL")))
            .collect();
        let rules: Vec<RawEgressRule> = network
            .rules
            .iter()
            .zip(&names)
            .map(|((to, port), name)| RawEgressRule {
                name: p(name),
                address: to
                    .parse::<std::net::Ipv4Addr>()
                    .map_or([0; 16], |address| address.to_ipv6_mapped().octets()),
                prefix_bits: 128,
                port: (*port).into(),
            })
            .collect();
        let ca_file = c(network.ca_file);
        let raw = RawGrant {
            egress_mode: network.egress,
            egress: rules.as_ptr(),
            egress_count: rules.len(),
            http_hosts: hosts.as_ptr(),
            http_hosts_count: hosts.len(),
            http_mode: network.http_mode,
            http_mode_set: network.http_mode_set.into(),
            http_requests_max: network.http_requests_max,
            ca_file: p(&ca_file),
            counters: stop.counters(),
            size: size_of::<RawGrant>() as u32,
            flags: grant.flags,
            args: args.as_ptr(),
            args_count: args.len(),
            env: env.as_ptr(),
            env_count: env.len(),
            root: p(&root),
            initial_cwd: p(&cwd),
            entry: p(&entry),
            stdin_fd: stdin.map_or(-1, |file| file.as_raw_fd()),
            stop_fd: if grant.stop_after_output || grant.stop_soon {
                stop.event.as_raw_fd()
            } else {
                -1
            },
            stop_flag: stop.flag,
            write: Some(write_message),
            write_context: (&raw mut report).cast::<c_void>(),
            memory_bytes_max: grant.memory_bytes_max,
            random_bytes_max: 0,
            hostcall_bytes_max: grant.hostcall_bytes_max,
            handles_max: 0,
            blocking_threads_max: 0,
            message_bytes_max: grant.message_bytes_max,
            ca_fd: -1,
            coredump_fd: grant.coredump.as_ref().map_or(-1, |file| file.as_raw_fd()),
            coredump_bytes_max: grant.coredump_bytes_max,
            // SAFETY: numbers and pointers that may be null.
            ..unsafe { std::mem::zeroed() }
        };
        let mut outcome = std::mem::MaybeUninit::uninit();
        let outcome = unsafe {
            ffi::skiff_module_run(module, &raw, outcome.as_mut_ptr());
            outcome.assume_init()
        };
        send(&mut report, 0, &encode(outcome));
    }
}

/// An outcome as a message.
pub fn encode(outcome: ffi::RawOutcome) -> Vec<u8> {
    let mut end = Vec::new();
    end.extend(outcome.kind.to_le_bytes());
    end.extend(outcome.exit_code.to_le_bytes());
    end.extend(outcome.memory_bytes_peak.to_le_bytes());
    end.extend(outcome.memory_bytes_refused.to_le_bytes());
    end.extend(text(outcome.message).into_bytes());
    end
}

impl Drop for Engine {
    fn drop(&mut self) {
        unsafe { ffi::skiff_engine_free(self.raw) };
    }
}

/// A stop flag in a page shared with the child, and the eventfd that wakes it.
pub struct SharedStop {
    pub flag: *const AtomicU32,
    pub event: File,
}

impl SharedStop {
    pub fn new() -> SharedStop {
        unsafe {
            let page = libc::mmap(
                ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(page, libc::MAP_FAILED);
            let event = File::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC));
            SharedStop { flag: page.cast(), event }
        }
    }

    /// In the same page, and zero at first.
    fn counters(&self) -> &Counters {
        unsafe { &*self.flag.cast::<Counters>().byte_add(2048) }
    }

    pub fn order(&self) {
        self.order_within(1);
    }

    /// With so many milliseconds left.
    pub fn order_within(&self, left: u32) {
        unsafe { (*self.flag).store(left, Ordering::Release) };
        (&self.event).write_all(&1u64.to_ne_bytes()).expect("an eventfd takes a number");
    }
}

impl Drop for SharedStop {
    fn drop(&mut self) {
        unsafe { libc::munmap(self.flag.cast_mut().cast(), 4096) };
    }
}

/// Returns once the process waits, most probably in its event loop. (It may wait for something else: the order
/// has to reach the guest all the same.)
fn wait_until_asleep(process: libc::pid_t) {
    let path = format!("/proc/{process}/stat");
    loop {
        let stat = std::fs::read_to_string(&path).expect("a process that was not reaped");
        let state = stat.rsplit_once(") ").expect("the name is in brackets").1.chars().next();
        if state != Some('R') {
            return;
        }
        std::thread::yield_now();
    }
}

/// A message of the child: stream 0 is its report.
pub fn send(file: &mut File, stream: u8, bytes: &[u8]) {
    let mut message = vec![stream];
    message.extend((bytes.len() as u32).to_le_bytes());
    message.extend(bytes);
    file.write_all(&message).expect("the test reads");
}

pub unsafe extern "C" fn write_message(
    context: *mut c_void,
    stream: c_int,
    bytes: *const u8,
    size: usize,
) -> libc::ssize_t {
    // Takes less than it is offered, as a full disk or a pipe may.
    let size = size.min(1000);
    let bytes = unsafe { std::slice::from_raw_parts(bytes, size) };
    send(unsafe { &mut *context.cast::<File>() }, stream as u8, bytes);
    size as libc::ssize_t
}

pub fn collect(reader: File, stop: Option<&SharedStop>) -> Report {
    collect_and_tell(reader, stop, None)
}

fn collect_and_tell(
    mut reader: File,
    stop: Option<&SharedStop>,
    heard: Option<&dyn Fn(&str)>,
) -> Report {
    let mut report = Report::default();
    let mut stop = stop;
    let mut head = [0; 5];
    while reader.read_exact(&mut head).is_ok() {
        let size = u32::from_le_bytes(head[1..5].try_into().expect("four bytes"));
        let mut bytes = vec![0; size as usize];
        reader.read_exact(&mut bytes).expect("a whole message");
        match head[0] {
            0 => {
                report.kind = u32::from_le_bytes(bytes[0..4].try_into().expect("four bytes"));
                report.exit_code = i32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
                report.bytes_peak = u64::from_le_bytes(bytes[8..16].try_into().expect("eight"));
                report.bytes_refused = u64::from_le_bytes(bytes[16..24].try_into().expect("eight"));
                report.message = String::from_utf8(bytes[24..].to_vec()).expect("UTF-8");
            }
            1 => {
                let text = String::from_utf8_lossy(&bytes);
                report.stdout += &text;
                if let Some(heard) = heard {
                    heard(&text);
                }
            }
            _ => report.stderr += &String::from_utf8_lossy(&bytes),
        }
        if let Some(stop) = stop.take() {
            stop.order();
        }
    }
    report
}

/// From here on, a mapping that could be executed kills this process.
fn forbid_executable_memory() {
    const ARGUMENT_2: u32 = 32; // of seccomp_data: the protection, in all of these calls
    let mapping = [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect];
    let statement =
        |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, return_) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_RET | libc::BPF_K);
    let (is, has) = (libc::BPF_JMP | libc::BPF_JEQ, libc::BPF_JMP | libc::BPF_JSET);
    let mut program = vec![
        statement(load, 0, 0, 0),
        statement(is, mapping[0] as u32, 2, 0),
        statement(is, mapping[1] as u32, 1, 0),
        statement(is, mapping[2] as u32, 0, 2),
        statement(load, ARGUMENT_2, 0, 0),
        statement(has, libc::PROT_EXEC as u32, 1, 0),
        statement(return_, libc::SECCOMP_RET_ALLOW, 0, 0),
        statement(return_, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter);
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}

/// Runs Wasm text.
pub fn run_on(runtime: u32, wat: &str, grant: &Grant) -> Report {
    let wasm = wat::parse_str(wat).expect("valid text");
    Engine::fit_for(runtime, &wasm).run(&wasm, grant)
}

/// Runs the text of a core module on every engine, on the interpreters without executable memory, and expects
/// the same of all. Wasmtime's report.
pub fn run_everywhere(wat: &str, grant: &Grant) -> Report {
    let first = run_on(WASMTIME, wat, grant);
    for runtime in [PULLEY, WASMI] {
        let grant = Grant {
            args: grant.args.clone(),
            env: grant.env.clone(),
            root: grant.root.clone(),
            coredump: None,
            no_executable_memory: true,
            network: grant.network.clone(),
            heard: None,
            ..*grant
        };
        let other = run_on(runtime, wat, &grant);
        let said = |report: &Report| {
            // What the engines say before a start is their own.
            let is_common = report.kind != START_FAILED;
            let first_line = report.message.lines().next().filter(|_| is_common).map(str::to_owned);
            let (out, err) = (report.stdout.clone(), report.stderr.clone());
            let bytes = (report.bytes_peak, report.bytes_refused);
            (report.kind, report.exit_code, report.signal, bytes, out, err, first_line)
        };
        assert_eq!(said(&other), said(&first), "runtime {runtime}: {other:?}");
    }
    first
}

/// A guest of the folder `guests`; `guests/build` makes them.
pub fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var("SKIFF_GUESTS").unwrap_or_else(|_| "../build/guests".into());
    let path = format!("{folder}/{name}.wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; run guests/build first"))
}

/// The artifact of a guest and its engine's purpose; each is compiled once.
pub fn artifact(name: &str, runtime: u32) -> (File, u32) {
    type Artifacts = Mutex<HashMap<(String, u32), (File, u32)>>;
    static MADE: OnceLock<Artifacts> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let (file, purpose) = made.entry((name.to_owned(), runtime)).or_insert_with(|| {
        let wasm = guest(name);
        let artifact = Engine::fit_for(runtime, &wasm).compile(&wasm);
        (artifact.expect("a guest that compiles"), inspect(runtime, &wasm).1.purpose)
    });
    (file.try_clone().expect("a descriptor"), *purpose)
}

/// Runs a guest with arguments after its name.
pub fn run_guest(name: &'static str, args: &[String], grant: Grant) -> Report {
    run_guest_on(WASMTIME, name, args, grant)
}

pub fn run_guest_on(runtime: u32, name: &'static str, args: &[String], mut grant: Grant) -> Report {
    let (artifact, purpose) = artifact(name, runtime);
    grant.args = vec![name];
    // Tests run once: what they name may stay.
    grant.args.extend(args.iter().map(|arg| &*String::leak(arg.clone())));
    Engine::with(runtime, purpose).run_artifact(&artifact, &grant)
}

/// Runs Wasm text.
pub fn run(wat: &str, grant: &Grant) -> Report {
    Engine::new().run(&wat::parse_str(wat).expect("valid text"), grant)
}

/// A folder that is removed with the value.
pub struct Folder(pub String);

impl Folder {
    pub fn new() -> Folder {
        let mut name = *b"/tmp/skiff-engine-XXXXXX\0";
        assert!(!unsafe { libc::mkdtemp(name.as_mut_ptr().cast()) }.is_null());
        Folder(String::from_utf8(name[..name.len() - 1].to_vec()).expect("ASCII"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
