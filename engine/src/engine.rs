//! Wasmtime as a provider, by Cranelift's native code or by Pulley's: settings, linkers, artifacts.

use crate::component_wasi::{self, ComponentState};
use crate::core_wasi::{self, CoreState};
use crate::failure::{Code, Failure};
use crate::grant::Grant;
use crate::inspect::{self, Inspection, Kind};
use crate::provider::{self, Program, Provider, Purpose, Runtime, Settings};
use crate::run::{self, Outcome};
use crate::server::{self, Server, slots};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use wasmtime::component::{self, Component};
use wasmtime::{Collector, Config, Linker, Module};

const STACK_BYTES_DEFAULT: u64 = 512 * 1024;
/// What host functions may use of a component's stack below the guest's frames.
const HOST_STACK_BYTES: u64 = 512 * 1024;
/// Address space kept free for a linear memory to grow in; part of every artifact, so one value for all.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Frames in the backtrace of a trap.
const BACKTRACE_FRAMES_MAX: usize = 20;

/// The engine and the host functions of all its modules; made once, before any fork.
pub struct Parts {
    pub engine: wasmtime::Engine,
    pub core: Linker<CoreState>,
    pub component: component::Linker<ComponentState>,
}

/// A provider over Wasmtime.
pub struct Engine(Arc<Parts>);

/// A loaded artifact.
struct Loaded {
    parts: Arc<Parts>,
    code: Native,
}

enum Native {
    Core(Module),
    Component(Component),
}

fn config(settings: &Settings) -> Result<Config, wasmtime::Error> {
    let stack = match settings.stack_bytes_max {
        0 => STACK_BYTES_DEFAULT,
        bytes => bytes,
    };
    let mut config = Config::new();
    if settings.runtime == Runtime::Pulley {
        config.target(if cfg!(target_pointer_width = "64") { "pulley64" } else { "pulley32" })?;
    }
    // A command owns its process: SIGKILL ends it, so its loops carry no checks (28 % on tight ones).
    config.epoch_interruption(settings.purpose == Purpose::Server).consume_fuel(false);
    // Only native debuggers and foreign unwinders read it, and it is a tenth of the artifact.
    config.native_unwind_info(false);
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.max_wasm_stack(stack as usize).async_stack_size((stack + HOST_STACK_BYTES) as usize);
    config.wasm_function_references(true).wasm_gc(true).wasm_exceptions(true);
    config.collector(Collector::Copying);
    // Threads are left out of the build: shared memories would pass by the memory cap.
    let concurrent = settings.purpose != Purpose::Command;
    config.concurrency_support(concurrent).wasm_component_model_async(concurrent);
    // Costs nothing before a trap; artifacts do not depend on it.
    config.coredump_on_trap(true);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    Ok(config)
}

/// What artifacts for a runtime and a purpose depend on.
#[cfg(feature = "compiler")]
pub fn compatibility(
    runtime: Runtime,
    purpose: Purpose,
    hasher: &mut impl Hasher,
) -> Result<(), Failure> {
    let settings = Settings {
        runtime,
        purpose,
        stack_bytes_max: 0,
        instances_max: 0,
        instance_memory_bytes_max: 0,
    };
    let engine = config(&settings).and_then(|config| wasmtime::Engine::new(&config));
    let engine = engine.map_err(|error| Failure::caused(Code::Internal, &error))?;
    engine.precompile_compatibility_hash().hash(hasher);
    Ok(())
}

impl Parts {
    pub fn new(settings: &Settings) -> Result<Parts, wasmtime::Error> {
        let engine = slots::engine(&config(settings)?, settings)?;
        let core = core_wasi::linker(&engine)?;
        let component = component_wasi::linker(&engine, settings.purpose)?;
        Ok(Parts { engine, core, component })
    }
}

impl Engine {
    pub fn new(settings: &Settings) -> Result<Engine, Failure> {
        match Parts::new(settings) {
            Ok(parts) => Ok(Engine(Arc::new(parts))),
            Err(error) => Err(Failure::caused(Code::Internal, &error)),
        }
    }
}

impl Provider for Engine {
    #[cfg(not(feature = "compiler"))]
    fn compile(&self, _: &[u8], _: Kind) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(Code::Unsupported, "this build has no compiler"))
    }

    #[cfg(feature = "compiler")]
    fn compile(&self, wasm: &[u8], kind: Kind) -> Result<Vec<u8>, Failure> {
        let artifact = match kind {
            Kind::Core => self.0.engine.precompile_module(wasm),
            Kind::Component => self.0.engine.precompile_component(wasm),
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

    fn load(&self, file: File) -> Result<Box<dyn Program>, Failure> {
        let engine = &self.0.engine;
        // SAFETY: the caller vouches for the content (documented in the header).
        let loaded = match artifact_kind(&file)? {
            Kind::Core => unsafe { Module::deserialize_open_file(engine, file) }.map(Native::Core),
            Kind::Component => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                unsafe { Component::deserialize_file(engine, path) }.map(Native::Component)
            }
        };
        match loaded {
            Ok(code) => Ok(Box::new(Loaded { parts: self.0.clone(), code })),
            Err(error) => {
                let mut causes = error.chain();
                let of_machine = causes.any(|cause| cause.downcast_ref::<io::Error>().is_some());
                let code = if of_machine { Code::Io } else { Code::Incompatible };
                Err(Failure::caused(code, &error))
            }
        }
    }
}

impl Program for Loaded {
    fn inspect(&self) -> Result<Inspection, Failure> {
        Ok(match &self.code {
            Native::Core(module) => inspect::inspect_module(module),
            Native::Component(component) => {
                inspect::inspect_component(&self.parts.engine, component)
            }
        })
    }

    fn run(&self, grant: &Grant) -> Outcome {
        match &self.code {
            Native::Core(module) => run::run_core(&self.parts, module, grant),
            Native::Component(component) => run::run_component(&self.parts, component, grant),
        }
    }

    fn serve(&self, grant: &Grant, server: &Server) -> Outcome {
        match &self.code {
            Native::Core(_) => provider::cannot_serve(),
            Native::Component(component) => server::serve(&self.parts, component, grant, server),
        }
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
