//! The functions of `include/skiff_engine.h`. Each catches panics: none crosses into C.

use crate::engine::{Engine, Loaded, VERSION};
use crate::failure::{Code, Failure, truncate};
use crate::grant::{Grant, RawGrant};
use crate::inspect::{Inspection, inspect_bytes};
use crate::run::{Ending, Outcome, run};
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int};
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
}

#[repr(C)]
pub struct RawInspection {
    pub kind: u32,
    pub wasi: u32,
    pub flags: u32,
    pub memory_bytes_min: u64,
    pub imports: Text,
    pub exports: Text,
}

#[repr(C)]
pub struct RawOutcome {
    pub kind: u32,
    pub exit_code: i32,
    pub message: Text,
    pub memory_bytes_peak: u64,
    pub memory_bytes_refused: u64,
}

const PURPOSE_COMMAND: u32 = 0;

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
    };

    fn new(inspection: &Inspection) -> RawInspection {
        RawInspection {
            kind: inspection.kind as u32,
            wasi: inspection.wasi(),
            flags: inspection.flags(),
            memory_bytes_min: inspection.memory_bytes_min,
            imports: Text::new(inspection.import_lines()),
            exports: Text::new(inspection.export_lines()),
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
        let config = match config.is_null() {
            true => RawConfig { size: 0, purpose: PURPOSE_COMMAND, stack_bytes_max: 0 },
            false => unsafe { sized(config) },
        };
        if config.purpose != PURPOSE_COMMAND {
            let text = format!("no engine for purpose {}", config.purpose);
            return Err(Failure::new(Code::Internal, text));
        }
        *engine = Box::into_raw(Box::new(Engine::new(config.stack_bytes_max)?));
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
pub unsafe extern "C" fn skiff_engine_compatibility_key(
    engine: *const Engine,
    key: *mut Text,
    error: *mut Text,
) -> c_int {
    let make = || {
        unsafe { key.write(Text::NONE) };
        let engine = unsafe { required(engine, "engine") }?;
        unsafe { key.write(Text::new(engine.compatibility_key())) };
        Ok(())
    };
    unsafe { answer(error, make) }
}

#[unsafe(no_mangle)]
pub extern "C" fn skiff_engine_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

/// # Safety
/// `wasm` is valid for `size` bytes, or both are zero.
unsafe fn slice<'a>(wasm: *const u8, size: usize) -> &'a [u8] {
    if wasm.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(wasm, size) } }
}

/// Inspects and checks the imports; the inspection is given also when the check fails.
///
/// # Safety
/// `inspection` is null or valid for a write.
unsafe fn inspect_checked(
    wasm: &[u8],
    inspection: *mut RawInspection,
) -> Result<Inspection, Failure> {
    if !inspection.is_null() {
        unsafe { inspection.write(RawInspection::NONE) };
    }
    let found = inspect_bytes(wasm)?;
    if !inspection.is_null() {
        unsafe { inspection.write(RawInspection::new(&found)) };
    }
    found.check_imports()?;
    Ok(found)
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_compile(
    engine: *const Engine,
    wasm: *const u8,
    wasm_size: usize,
    artifact: *mut Bytes,
    inspection: *mut RawInspection,
    error: *mut Text,
) -> c_int {
    let compile = || {
        unsafe { artifact.write(Bytes::NONE) };
        let wasm = unsafe { slice(wasm, wasm_size) };
        let found = unsafe { inspect_checked(wasm, inspection) }?;
        let engine = unsafe { required(engine, "engine") }?;
        let code = engine.compile(wasm, found.kind)?;
        unsafe { artifact.write(Bytes::new(code)) };
        Ok(())
    };
    unsafe { answer(error, compile) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_inspect(
    engine: *const Engine,
    wasm: *const u8,
    wasm_size: usize,
    inspection: *mut RawInspection,
    error: *mut Text,
) -> c_int {
    let inspect = || {
        unsafe { required(engine, "engine") }?;
        unsafe { inspect_checked(slice(wasm, wasm_size), inspection) }.map(|_| ())
    };
    unsafe { answer(error, inspect) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_load(
    engine: *const Engine,
    fd: c_int,
    module: *mut *mut Loaded,
    error: *mut Text,
) -> c_int {
    let load = || {
        unsafe { module.write(ptr::null_mut()) };
        let loaded = unsafe { required(engine, "engine") }?.load(fd)?;
        unsafe { module.write(Box::into_raw(Box::new(loaded))) };
        Ok(())
    };
    unsafe { answer(error, load) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_module_inspect(
    engine: *const Engine,
    module: *const Loaded,
    inspection: *mut RawInspection,
    error: *mut Text,
) -> c_int {
    let inspect = || {
        unsafe { inspection.write(RawInspection::NONE) };
        let engine = unsafe { required(engine, "engine") }?;
        let found = engine.inspect_loaded(unsafe { required(module, "module") }?);
        unsafe { inspection.write(RawInspection::new(&found)) };
        Ok(())
    };
    unsafe { answer(error, inspect) }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_module_free(module: *mut Loaded) {
    if !module.is_null() {
        let _ = caught(|| drop(unsafe { Box::from_raw(module) }));
    }
}

/// # Safety
/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skiff_engine_run_command(
    engine: *const Engine,
    module: *const Loaded,
    grant: *const RawGrant,
    outcome: *mut RawOutcome,
) {
    let command = || {
        let failed = |failure: Failure| Outcome::failed(Ending::StartFailed, failure.text);
        let engine = unsafe { required(engine, "engine") }.map_err(failed)?;
        let module = unsafe { required(module, "module") }.map_err(failed)?;
        unsafe { required(grant, "grant") }.map_err(failed)?;
        let grant = unsafe { Grant::read(&sized(grant)) };
        let no_write = || Outcome::failed(Ending::StartFailed, "grant.write is NULL".into());
        Ok(run(engine, module, &grant.ok_or_else(no_write)?))
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
