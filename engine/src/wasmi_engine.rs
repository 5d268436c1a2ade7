//! Wasmi as a provider: an interpreter of core modules that needs no compiler and no executable memory.
//!
//! An artifact is the module itself behind a header: what was checked once need not be checked at every start.
//! Functions are translated when they are first called.

use crate::core_wasi::{self, Call, CoreState};
use crate::failure::{Code, Failure};
use crate::grant::Grant;
use crate::inspect::{self, Inspection, Kind};
use crate::limits::{Cap, MemoryCap};
use crate::provider::{self, Program, Provider, Settings};
use crate::run::{self, Ended, Outcome, Stage};
use crate::server::Server;
use std::fmt;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use wasmi::errors::ErrorKind;
use wasmi::{CompilationMode, Config, Extern, Linker, Module, Store, TrapCode, Val};
use wasmparser::{Validator, WasmFeatures};
use wasmtime::{Trap, format_err};

const STACK_BYTES_DEFAULT: usize = 512 * 1024;
/// Wasmi counts frames besides bytes: as many as small native ones would fit into the stack.
const FRAME_BYTES: usize = 32;

/// Before the module in an artifact: magic, length of the module, versions.
const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"\0skiffwi";

/// The proposals that Wasmtime runs and Wasmi does not, and those that nobody here does.
const LACKING: [(WasmFeatures, &str); 6] = [
    (WasmFeatures::GC, "garbage collection"),
    (WasmFeatures::FUNCTION_REFERENCES, "typed function references"),
    (WasmFeatures::EXCEPTIONS, "exceptions"),
    (WasmFeatures::THREADS, "threads"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
];

struct Parts {
    engine: wasmi::Engine,
    linker: Linker<CoreState>,
}

/// A provider over Wasmi.
pub struct Engine {
    parts: Arc<Parts>,
    settings: Settings,
}

/// A loaded artifact.
struct Loaded {
    parts: Arc<Parts>,
    module: Module,
    artifact: Mapping,
}

fn config(settings: &Settings, mode: CompilationMode) -> Config {
    let stack = match usize::try_from(settings.stack_bytes_max) {
        Ok(0) => STACK_BYTES_DEFAULT,
        Ok(bytes) => bytes,
        Err(_) => usize::MAX,
    };
    let mut config = Config::default();
    // The least height is 1000 bytes, and the greatest may not be below it.
    config.set_max_stack_height(stack.max(4096)).set_max_recursion_depth(stack / FRAME_BYTES);
    config.ignore_custom_sections(true).compilation_mode(mode);
    config
}

/// What artifacts depend on besides the versions.
pub fn compatibility(hasher: &mut impl Hasher) {
    MAGIC.hash(hasher);
}

impl Engine {
    pub fn new(settings: &Settings) -> Result<Engine, Failure> {
        let engine = wasmi::Engine::new(&config(settings, CompilationMode::Lazy));
        let linker = core_wasi::wasmi_linker(&engine);
        let linker = linker.map_err(|error| Failure::new(Code::Internal, error))?;
        Ok(Engine { parts: Arc::new(Parts { engine, linker }), settings: *settings })
    }
}

impl Provider for Engine {
    fn compile(&self, wasm: &[u8], kind: Kind) -> Result<Vec<u8>, Failure> {
        if kind == Kind::Component {
            return Err(Failure::new(Code::Unsupported, "wasmi runs core modules only"));
        }
        // Everything is translated once here, so that what cannot be is known before the start.
        let engine = wasmi::Engine::new(&config(&self.settings, CompilationMode::Eager));
        Module::new(&engine, wasm).map_err(|error| refusal(wasm, &error))?;
        let mut artifact = Vec::with_capacity(HEADER_BYTES + wasm.len());
        artifact.extend_from_slice(&header(wasm.len()));
        artifact.extend_from_slice(wasm);
        Ok(artifact)
    }

    fn load(&self, file: File) -> Result<Box<dyn Program>, Failure> {
        let artifact = Mapping::new(&file)
            .map_err(|error| Failure::new(Code::Io, format!("cannot map the artifact: {error}")))?;
        let module = artifact.module()?;
        // SAFETY: it was checked when the artifact was made, and the caller vouches that it is the same
        // (documented in the header).
        let module = unsafe { Module::new_unchecked(&self.parts.engine, module) };
        let module = module.map_err(|error| Failure::new(Code::Incompatible, error))?;
        Ok(Box::new(Loaded { parts: self.parts.clone(), module, artifact }))
    }
}

impl Program for Loaded {
    fn inspect(&self) -> Result<Inspection, Failure> {
        inspect::inspect_bytes(self.artifact.module()?)
    }

    fn run(&self, grant: &Grant) -> Outcome {
        let state = match CoreState::new(grant) {
            Ok(state) => state,
            Err(error) => {
                return run::conclude(
                    Err((Stage::Starting, error)),
                    &MemoryCap::new(Cap::fixed(0)),
                    grant,
                );
            }
        };
        let mut store = Store::new(&self.parts.engine, state);
        store.limiter(|state| &mut state.memory);
        let ended = self.start(grant, &mut store);
        let trapped = matches!(&ended, Err((Stage::Running, _)));
        let outcome = run::conclude(ended, &store.data().memory, grant);
        let no_dump = trapped && outcome.exit_code == -1 && grant.coredump.is_some();
        outcome.with_note(no_dump.then(|| "core dump: none, wasmi cannot make one".into()))
    }

    fn serve(&self, _: &Grant, _: &Server) -> Outcome {
        provider::cannot_serve()
    }
}

impl Loaded {
    fn start(&self, grant: &Grant, store: &mut Store<CoreState>) -> Ended {
        let starting = |error: wasmi::Error| {
            // A host function was called: the module's start function ran.
            let has_run = error.downcast_ref::<HostError>().is_some();
            (if has_run { Stage::Running } else { Stage::Starting }, own_error(error))
        };
        let running = |error| (Stage::Running, own_error(error));
        let instance =
            self.parts.linker.instantiate_and_start(&mut *store, &self.module).map_err(starting)?;
        let function = |name: &str| match instance.get_export(&*store, name) {
            Some(Extern::Func(function)) => Some((function, function.ty(&*store).params().len())),
            _ => None,
        };
        let found = run::core_entry(grant.entry.as_deref(), function);
        let (entry, before) = found.map_err(|error| (Stage::Starting, error))?;
        if let Some(initialize) = before {
            initialize.call(&mut *store, &[], &mut []).map_err(running)?;
        }
        let mut results = vec![Val::I32(0); entry.ty(&*store).results().len()];
        entry.call(store, &[], &mut results).map_err(running)?;
        Ok(match results[..] {
            [Val::I32(code)] => code & 0xff,
            _ => 0,
        })
    }
}

impl Call for wasmi::Caller<'_, CoreState> {
    fn guest(&mut self) -> Option<(&mut [u8], &mut CoreState)> {
        let Some(Extern::Memory(memory)) = self.get_export("memory") else { return None };
        Some(memory.data_and_store_mut(self))
    }
}

/// An error of a host function on its way through Wasmi.
#[derive(Debug)]
struct HostError(wasmtime::Error);

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl wasmi::errors::HostError for HostError {}

pub fn host_error(error: wasmtime::Error) -> wasmi::Error {
    wasmi::Error::host(HostError(error))
}

/// An error of Wasmi in the terms that all judge by.
fn own_error(error: wasmi::Error) -> wasmtime::Error {
    let Some(code) = error.as_trap_code() else {
        let text = error.to_string();
        return match error.downcast::<HostError>() {
            Some(HostError(error)) => error,
            None => format_err!("{text}"),
        };
    };
    match code {
        TrapCode::UnreachableCodeReached => Trap::UnreachableCodeReached.into(),
        TrapCode::MemoryOutOfBounds => Trap::MemoryOutOfBounds.into(),
        TrapCode::TableOutOfBounds => Trap::TableOutOfBounds.into(),
        TrapCode::IndirectCallToNull => Trap::IndirectCallToNull.into(),
        TrapCode::IntegerDivisionByZero => Trap::IntegerDivisionByZero.into(),
        TrapCode::IntegerOverflow => Trap::IntegerOverflow.into(),
        TrapCode::BadConversionToInteger => Trap::BadConversionToInteger.into(),
        TrapCode::StackOverflow => Trap::StackOverflow.into(),
        TrapCode::BadSignature => Trap::BadSignature.into(),
        other => format_err!("wasm trap: {other}"),
    }
}

/// Why a module cannot be compiled: it is wrong, or Wasmi lacks what it needs.
fn refusal(wasm: &[u8], error: &wasmi::Error) -> Failure {
    let lacking = lacking(wasm);
    if !lacking.is_empty() {
        let text = format!("wasmi cannot do what the module uses: {}", lacking.join(", "));
        return Failure::new(Code::Unsupported, text);
    }
    let text = error.to_string().replace('\n', " ");
    match error.kind() {
        ErrorKind::Wasm(_) => Failure::new(Code::Invalid, text),
        _ => Failure::new(Code::Unsupported, format!("wasmi cannot take the module: {text}")),
    }
}

/// Names the proposals without which the module is not valid.
fn lacking(wasm: &[u8]) -> Vec<&'static str> {
    let valid_with = |features| Validator::new_with_features(features).validate_all(wasm).is_ok();
    let all = LACKING.iter().fold(WasmFeatures::default(), |all, (feature, _)| all | *feature);
    if !valid_with(all) {
        return Vec::new();
    }
    let needed = LACKING.iter().filter(|(feature, _)| !valid_with(all - *feature));
    needed.map(|(_, name)| *name).collect()
}

fn header(module_bytes: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&(module_bytes as u64).to_le_bytes());
    let versions =
        &provider::VERSIONS.as_bytes()[..provider::VERSIONS.len().min(HEADER_BYTES - 16)];
    header[16..16 + versions.len()].copy_from_slice(versions);
    header
}

/// An artifact's file in memory, read only.
struct Mapping {
    address: *mut libc::c_void,
    size: usize,
}

// SAFETY: nobody writes to it.
unsafe impl Send for Mapping {}
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: &File) -> io::Result<Mapping> {
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if size == 0 {
            return Ok(Mapping { address: std::ptr::null_mut(), size });
        }
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            let (read, private) = (libc::PROT_READ, libc::MAP_PRIVATE);
            libc::mmap(std::ptr::null_mut(), size, read, private, file.as_raw_fd(), 0)
        };
        match address {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            address => Ok(Mapping { address, size }),
        }
    }

    /// The module in the artifact.
    fn module(&self) -> Result<&[u8], Failure> {
        if self.size < HEADER_BYTES {
            let text = "the artifact is shorter than its header";
            return Err(Failure::new(Code::Incompatible, text));
        }
        // SAFETY: mapped for as long as `self` lives; the file is not cut short meanwhile (the caller's
        // promise about artifacts).
        let bytes = unsafe { std::slice::from_raw_parts(self.address.cast::<u8>(), self.size) };
        let (found, module) = bytes.split_at(HEADER_BYTES);
        if found != header(module.len()) {
            let text = "the file is no artifact of this engine";
            return Err(Failure::new(Code::Incompatible, text));
        }
        Ok(module)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !self.address.is_null() {
            // SAFETY: mapped in `new`.
            unsafe { libc::munmap(self.address, self.size) };
        }
    }
}
