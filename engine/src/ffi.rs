//! The functions of `include/skiff_engine.h`. Each catches panics: none crosses into C.

use crate::failure::{Code, Failure, truncate};
use crate::grant::{Grant, RawGrant};
use crate::inspect::{Inspection, inspect_bytes};
use crate::provider::{self, Program, Provider, Purpose, Runtime, Settings};
use crate::run::{Ending, Outcome};
use crate::server::{RawServer, Server};
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Once;

/// Longest error text: a stranger's names may be in it.
const ERROR_BYTES_MAX: usize = 4096;

#[repr(C)]
pub struct Bytes {
    pub data: *mut u8,
    pub size: usize,
}

#[repr(C)]
pub struct Text {
    pub data: *mut c_char,
    pub size: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawConfig {
    pub size: u32,
    pub purpose: u32,
    pub stack_bytes_max: u64,
    pub runtime: u32,
    pub instances_max: u32,
    pub instance_memory_bytes_max: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    pub data: *const u8,
    pub size: usize,
}

/// `skiff_engine`.
pub struct Engine {
    provider: Box<dyn Provider>,
    settings: Settings,
}

/// `skiff_module`.
pub struct Module(Box<dyn Program>);

#[repr(C)]
pub struct RawInspection {
    pub kind: u32,
    pub wasi: u32,
    pub flags: u32,
    pub memory_bytes_min: u64,
    pub imports: Text,
    pub exports: Text,
    pub purpose: u32,
}

#[repr(C)]
pub struct RawOutcome {
    pub kind: u32,
    pub exit_code: i32,
    pub message: Text,
    pub memory_bytes_peak: u64,
    pub memory_bytes_refused: u64,
}

impl Bytes {
    const NONE: Bytes = Bytes { data: ptr::null_mut(), size: 0 };

    fn new(bytes: Vec<u8>) -> Bytes {
        let size = bytes.len();
        Bytes { data: Box::into_raw(bytes.into_boxed_slice()).cast(), size }
    }
}

impl Text {
    const NONE: Text = Text { data: ptr::null_mut(), size: 0 };

    fn new(text: String) -> Text {
        if text.is_empty() {
            return Text::NONE;
        }
        let mut bytes = text.into_bytes();
        let size = bytes.len();
        bytes.push(0);
        Text { data: Box::into_raw(bytes.into_boxed_slice()).cast(), size }
    }
}

impl RawInspection {
    const NONE: RawInspection = RawInspection {
        kind: 0,
        wasi: 0,
        flags: 0,
        memory_bytes_min: 0,
        imports: Text::NONE,
        exports: Text::NONE,
        purpose: 0,
    };

    fn new(inspection: &Inspection) -> RawInspection {
        RawInspection {
            kind: inspection.kind as u32,
            wasi: inspection.wasi(),
            flags: inspection.flags(),
            memory_bytes_min: inspection.memory_bytes_min,
            imports: Text::new(inspection.import_lines()),
            exports: Text::new(inspection.export_lines()),
            purpose: inspection.purpose() as u32,
        }
    }
}

thread_local! {
    /// Whether this thread is in a call of ours, and the text and place of a panic in it.
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics in our calls become texts for the caller; all others go where they went before.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IN_CALL.get() {
                PANIC.set(Some(panic.to_string()));
            } else {
                before(panic);
            }
        }));
    });
}

fn caught<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    let outer = IN_CALL.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IN_CALL.set(outer);
    result.map_err(|_| PANIC.take().unwrap_or_else(|| String::from("panic of unknown origin")))
}

/// Runs `call`, writes an error text and answers with a `skiff_code`.
///
/// # Safety
/// `error` is null or valid for a write.
unsafe fn answer(error: *mut Text, call: impl FnOnce() -> Result<(), Failure>) -> c_int {
    let result = caught(call).unwrap_or_else(|panic| Err(Failure::new(Code::Internal, panic)));
    let (code, text) = match result {
        Ok(()) => (0, Text::NONE),
        Err(mut failure) => {
            truncate(&mut failure.text, ERROR_BYTES_MAX);
            (failure.code as c_int, Text::new(failure.text))
        }
    };
    if error.is_null() {
        unsafe { free_text(text) };
    } else {
        unsafe { error.write(text) };
    }
    code
}

/// # Safety
/// `pointer` is null or valid.
unsafe fn required<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    unsafe { pointer.as_ref() }
        .ok_or_else(|| Failure::new(Code::Internal, format!("{name} is NULL")))
}

/// Reads a structure that begins with its size; what the caller's version does not have is zero.
///
/// # Safety
/// `raw` is valid for the size that it says.
unsafe fn sized<T: Copy>(raw: *const T) -> T {
    let size = unsafe { raw.cast::<u32>().read() } as usize;
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    unsafe {
        let size = size.min(size_of::<T>());
        ptr::copy_nonoverlapping(raw.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), size);
        // Only structures of integers, pointers and optional functions come here: zero is a value.
        value.assume_init()
    }
}

unsafe fn free_text(text: Text) {
    if !text.data.is_null() {
        let bytes = ptr::slice_from_raw_parts_mut(text.data.cast::<u8>(), text.size + 1);
        drop(unsafe { Box::from_raw(bytes) });
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_bytes_free(bytes: *mut Bytes) {
    let Some(bytes) = (unsafe { bytes.as_mut() }) else { return };
    let bytes = std::mem::replace(bytes, Bytes::NONE);
    if !bytes.data.is_null() {
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(bytes.data, bytes.size)) });
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_text_free(text: *mut Text) {
    if let Some(text) = unsafe { text.as_mut() } {
        unsafe { free_text(std::mem::replace(text, Text::NONE)) };
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_inspection_free(inspection: *mut RawInspection) {
    if let Some(inspection) = unsafe { inspection.as_mut() } {
        unsafe { skiff_text_free(&mut inspection.imports) };
        unsafe { skiff_text_free(&mut inspection.exports) };
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_outcome_free(outcome: *mut RawOutcome) {
    if let Some(outcome) = unsafe { outcome.as_mut() } {
        unsafe { skiff_text_free(&mut outcome.message) };
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_new(
    config: *const RawConfig,
    engine: *mut *mut Engine,
    error: *mut Text,
) -> c_int {
    let make = || {
        let engine = unsafe { engine.as_mut() }
            .ok_or_else(|| Failure::new(Code::Internal, "engine is NULL"))?;
        *engine = ptr::null_mut();
        keep_panics();
        let config: RawConfig = match config.is_null() {
            // SAFETY: a structure of integers.
            true => unsafe { std::mem::zeroed() },
            false => unsafe { sized(config) },
        };
        let settings = Settings {
            runtime: Runtime::of(config.runtime)?,
            purpose: Purpose::of(config.purpose)?,
            stack_bytes_max: config.stack_bytes_max,
            instances_max: config.instances_max,
            instance_memory_bytes_max: config.instance_memory_bytes_max,
        };
        let provider = provider::create(&settings)?;
        *engine = Box::into_raw(Box::new(Engine { provider, settings }));
        Ok(())
    };
    unsafe { answer(error, make) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_free(engine: *mut Engine) {
    if !engine.is_null() {
        let _ = caught(|| drop(unsafe { Box::from_raw(engine) }));
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_compatibility_key(key: *mut Text, error: *mut Text) -> c_int {
    let make = || {
        unsafe { key.write(Text::NONE) };
        unsafe { key.write(Text::new(provider::compatibility_key()?)) };
        Ok(())
    };
    unsafe { answer(error, make) }
}

#[unsafe(no_mangle)]
pub extern "C" fn skiff_has_runtime(runtime: u32) -> c_int {
    c_int::from(Runtime::of(runtime).is_ok_and(provider::has))
}

#[unsafe(no_mangle)]
pub extern "C" fn skiff_engine_version() -> *const c_char {
    provider::VERSIONS.as_ptr().cast()
}

/// # Safety
/// `wasm` is valid for `size` bytes, or both are zero.
unsafe fn slice<'a>(wasm: *const u8, size: usize) -> &'a [u8] {
    if wasm.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(wasm, size) } }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_inspect(
    runtime: u32,
    wasm: *const u8,
    wasm_size: usize,
    inspection: *mut RawInspection,
    error: *mut Text,
) -> c_int {
    let inspect = || {
        keep_panics();
        unsafe { inspection.write(RawInspection::NONE) };
        let found = inspect_bytes(unsafe { slice(wasm, wasm_size) })?;
        unsafe { inspection.write(RawInspection::new(&found)) };
        found.check_imports(Runtime::of(runtime)?)
    };
    unsafe { answer(error, inspect) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_link(
    socket: Slice,
    plugs: *const Slice,
    plugs_count: usize,
    linked: *mut Bytes,
    error: *mut Text,
) -> c_int {
    let link = || {
        keep_panics();
        unsafe { linked.write(Bytes::NONE) };
        let plugs = match plugs_count {
            0 => &[],
            count => unsafe { std::slice::from_raw_parts(plugs, count) },
        };
        let plugs: Vec<&[u8]> =
            plugs.iter().map(|plug| unsafe { slice(plug.data, plug.size) }).collect();
        let bytes = crate::link::link(unsafe { slice(socket.data, socket.size) }, &plugs)?;
        unsafe { linked.write(Bytes::new(bytes)) };
        Ok(())
    };
    unsafe { answer(error, link) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_compile(
    engine: *const Engine,
    wasm: *const u8,
    wasm_size: usize,
    artifact: *mut Bytes,
    error: *mut Text,
) -> c_int {
    let compile = || {
        unsafe { artifact.write(Bytes::NONE) };
        let engine = unsafe { required(engine, "engine") }?;
        let wasm = unsafe { slice(wasm, wasm_size) };
        let found = inspect_bytes(wasm)?;
        found.check_imports(engine.settings.runtime)?;
        if found.purpose() != engine.settings.purpose {
            let text = format!("an engine for {:?} cannot compile it", engine.settings.purpose);
            return Err(Failure::new(Code::Internal, text));
        }
        let code = engine.provider.compile(wasm, found.kind)?;
        unsafe { artifact.write(Bytes::new(code)) };
        Ok(())
    };
    unsafe { answer(error, compile) }
}

/// A descriptor of our own for the caller's.
fn duplicate(fd: RawFd) -> io::Result<File> {
    // SAFETY: no memory is involved; the result is owned by nobody else.
    match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) } {
        -1 => Err(io::Error::last_os_error()),
        fd => Ok(unsafe { File::from_raw_fd(fd) }),
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_load(
    engine: *const Engine,
    fd: c_int,
    module: *mut *mut Module,
    error: *mut Text,
) -> c_int {
    let load = || {
        unsafe { module.write(ptr::null_mut()) };
        let engine = unsafe { required(engine, "engine") }?;
        let file = duplicate(fd).map_err(|error| {
            Failure::new(Code::Io, format!("cannot use the artifact's descriptor: {error}"))
        })?;
        let loaded = Module(engine.provider.load(file)?);
        unsafe { module.write(Box::into_raw(Box::new(loaded))) };
        Ok(())
    };
    unsafe { answer(error, load) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_module_inspect(
    module: *const Module,
    inspection: *mut RawInspection,
    error: *mut Text,
) -> c_int {
    let inspect = || {
        unsafe { inspection.write(RawInspection::NONE) };
        let found = unsafe { required(module, "module") }?.0.inspect()?;
        unsafe { inspection.write(RawInspection::new(&found)) };
        Ok(())
    };
    unsafe { answer(error, inspect) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_module_free(module: *mut Module) {
    if !module.is_null() {
        let _ = caught(|| drop(unsafe { Box::from_raw(module) }));
    }
}

/// Runs `call` with a checked grant and writes how it ended.
///
/// # Safety
/// `grant` is what the header asks for, `outcome` valid for a write.
unsafe fn conclude(
    grant: *const RawGrant,
    outcome: *mut RawOutcome,
    call: impl FnOnce(&Grant) -> Result<Outcome, Failure>,
) {
    let command = || {
        let failed = |failure: Failure| Outcome::failed(Ending::StartFailed, failure.text);
        unsafe { required(grant, "grant") }.map_err(failed)?;
        let grant = unsafe { Grant::read(&sized(grant)) };
        let no_write = || Outcome::failed(Ending::StartFailed, "grant.write is NULL".into());
        let grant = grant.ok_or_else(no_write)?;
        let mut outcome = call(&grant).map_err(failed)?;
        grant.bound(&mut outcome.message);
        Ok(outcome)
    };
    let ended = match caught(command) {
        Ok(Ok(ended) | Err(ended)) => ended,
        Err(panic) => Outcome::failed(Ending::HostPanic, panic),
    };
    let raw = RawOutcome {
        kind: ended.ending as u32,
        exit_code: ended.exit_code,
        message: Text::new(ended.message),
        memory_bytes_peak: ended.bytes_peak,
        memory_bytes_refused: ended.bytes_refused,
    };
    unsafe { outcome.write(raw) };
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_module_run(
    module: *const Module,
    grant: *const RawGrant,
    outcome: *mut RawOutcome,
) {
    let run = |grant: &Grant| Ok(unsafe { required(module, "module") }?.0.run(grant));
    unsafe { conclude(grant, outcome, run) };
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_module_serve(
    module: *const Module,
    grant: *const RawGrant,
    server: *const RawServer,
    outcome: *mut RawOutcome,
) {
    let serve = |grant: &Grant| {
        unsafe { required(server, "server") }?;
        let server = Server::read(&unsafe { sized(server) });
        Ok(unsafe { required(module, "module") }?.0.serve(grant, &server))
    };
    unsafe { conclude(grant, outcome, serve) };
}
