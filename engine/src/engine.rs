//! An engine with its linkers, artifacts and loaded modules.

use crate::component_wasi::{self, ComponentState};
use crate::core_wasi::{self, CoreState};
use crate::failure::{Code, Failure};
use crate::inspect::{self, Inspection, Kind};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::FileExt;
use wasmtime::component::{self, Component};
use wasmtime::{Collector, Config, Linker, Module};

/// The version of the crates in Cargo.lock, which a test compares with this text.
pub const VERSION: &str = "wasmtime 48.0.8\0";

const STACK_BYTES_DEFAULT: u64 = 512 * 1024;
/// What host functions may use of a component's stack below the guest's frames.
const HOST_STACK_BYTES: u64 = 512 * 1024;
/// Address space kept free for a linear memory to grow in; part of every artifact, so one value for all.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Frames in the backtrace of a trap.
const BACKTRACE_FRAMES_MAX: usize = 20;

/// What `skiff_engine` points to.
pub struct Engine {
    pub engine: wasmtime::Engine,
    pub core: Linker<CoreState>,
    pub component: component::Linker<ComponentState>,
}

/// What `skiff_module` points to.
pub enum Loaded {
    Core(Module),
    Component(Component),
}

fn settings(stack_bytes_max: u64) -> Config {
    let stack = if stack_bytes_max == 0 { STACK_BYTES_DEFAULT } else { stack_bytes_max };
    let mut config = Config::new();
    // A command owns its process: SIGKILL ends it, so its loops carry no checks (28 % on tight ones).
    config.epoch_interruption(false).consume_fuel(false);
    // Only native debuggers and foreign unwinders read it, and it is a tenth of the artifact.
    config.native_unwind_info(false);
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.max_wasm_stack(stack as usize).async_stack_size((stack + HOST_STACK_BYTES) as usize);
    config.wasm_function_references(true).wasm_gc(true).wasm_exceptions(true);
    config.collector(Collector::Copying);
    // Threads are left out of the build: shared memories would pass by the memory cap.
    config.concurrency_support(false);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config
}

impl Engine {
    pub fn new(stack_bytes_max: u64) -> Result<Engine, Failure> {
        let internal = |error: wasmtime::Error| Failure::caused(Code::Internal, &error);
        let engine = wasmtime::Engine::new(&settings(stack_bytes_max)).map_err(internal)?;
        let core = core_wasi::linker(&engine).map_err(internal)?;
        let component = component_wasi::linker(&engine).map_err(internal)?;
        Ok(Engine { engine, core, component })
    }

    /// The text of `skiff_engine_compatibility_key`.
    pub fn compatibility_key(&self) -> String {
        let mut key = String::new();
        for part in 0..2 {
            let mut hasher = DefaultHasher::new();
            part.hash(&mut hasher);
            VERSION.hash(&mut hasher);
            self.engine.precompile_compatibility_hash().hash(&mut hasher);
            key += &format!("{:016x}", hasher.finish());
        }
        key
    }

    /// Compiles bytes whose inspection found nothing wrong.
    pub fn compile(&self, wasm: &[u8], kind: Kind) -> Result<Vec<u8>, Failure> {
        let artifact = match kind {
            Kind::Core => self.engine.precompile_module(wasm),
            Kind::Component => self.engine.precompile_component(wasm),
        };
        artifact.map_err(|error| {
            let mut failure = Failure::caused(Code::Invalid, &error);
            // The validator's words for a proposal that is switched off.
            if failure.text.contains("support is not enabled")
                || failure.text.contains("must be enabled")
                || failure.text.contains("requires the")
            {
                failure.code = Code::Unsupported;
            }
            failure
        })
    }

    /// Maps an artifact. See `skiff_engine_load` for what must be true of the file.
    pub fn load(&self, fd: RawFd) -> Result<Loaded, Failure> {
        let file = duplicate(fd).map_err(|error| {
            Failure::new(Code::Io, format!("cannot use the artifact's descriptor: {error}"))
        })?;
        let kind = artifact_kind(&file)?;
        // SAFETY: the caller vouches for the content (documented in the header).
        let loaded = match kind {
            Kind::Core => {
                unsafe { Module::deserialize_open_file(&self.engine, file) }.map(Loaded::Core)
            }
            Kind::Component => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                unsafe { Component::deserialize_file(&self.engine, path) }.map(Loaded::Component)
            }
        };
        loaded.map_err(|error| {
            let of_machine = error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some());
            let code = if of_machine { Code::Io } else { Code::Incompatible };
            Failure::caused(code, &error)
        })
    }

    pub fn inspect_loaded(&self, loaded: &Loaded) -> Inspection {
        match loaded {
            Loaded::Core(module) => inspect::inspect_module(module),
            Loaded::Component(component) => inspect::inspect_component(&self.engine, component),
        }
    }
}

fn duplicate(fd: RawFd) -> io::Result<File> {
    // SAFETY: no memory is involved; the result is owned by nobody else.
    match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) } {
        -1 => Err(io::Error::last_os_error()),
        fd => Ok(unsafe { File::from_raw_fd(fd) }),
    }
}

/// An artifact is an ELF file with an operating system of Wasmtime's own; its flags say what it holds.
fn artifact_kind(file: &File) -> Result<Kind, Failure> {
    const OS_ABI_WASMTIME: u8 = 200;
    const FLAG_MODULE: u32 = 1 << 0;
    const FLAG_COMPONENT: u32 = 1 << 1;
    let mut header = [0; 64];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(Failure::new(
                Code::Incompatible,
                "the artifact is shorter than its header",
            ));
        }
        Err(error) => {
            return Err(Failure::new(Code::Io, format!("cannot read the artifact: {error}")));
        }
    }
    let flags = u32::from_le_bytes(header[48..52].try_into().expect("four bytes"));
    match header.starts_with(b"\x7fELF") && header[7] == OS_ABI_WASMTIME {
        true if flags & FLAG_MODULE != 0 => Ok(Kind::Core),
        true if flags & FLAG_COMPONENT != 0 => Ok(Kind::Component),
        _ => Err(Failure::new(Code::Incompatible, "the file is no artifact of this engine")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn version_is_the_locked_one() {
        let lock = include_str!("../Cargo.lock");
        let at = lock.find("name = \"wasmtime\"\n").expect("wasmtime is a dependency");
        let version = lock[at..].lines().nth(1).expect("a version line");
        let locked = version.trim_start_matches("version = ").trim_matches('"');
        assert_eq!(super::VERSION, format!("wasmtime {locked}\0"));
    }
}
