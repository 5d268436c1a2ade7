//! What every engine offers; `skiff_engine` is a provider, `skiff_module` a program.

use crate::failure::{Code, Failure};
use crate::grant::Grant;
use crate::inspect::{Inspection, Kind};
use crate::run::{Ending, Outcome};
use crate::server::Server;
use crate::wasmi_engine;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The numbers of `skiff_runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Wasmtime = 0,
    Pulley = 1,
    Wasmi = 2,
}

impl Runtime {
    const ALL: [Runtime; 3] = [Runtime::Wasmtime, Runtime::Pulley, Runtime::Wasmi];

    pub fn of(number: u32) -> Result<Runtime, Failure> {
        let found = Runtime::ALL.into_iter().find(|runtime| *runtime as u32 == number);
        found.ok_or_else(|| Failure::new(Code::Internal, format!("no runtime {number}")))
    }
}

/// The numbers of `skiff_purpose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Command = 0,
    Concurrent = 1,
    Server = 2,
}

impl Purpose {
    const ALL: [Purpose; 3] = [Purpose::Command, Purpose::Concurrent, Purpose::Server];

    pub fn of(number: u32) -> Result<Purpose, Failure> {
        let found = Purpose::ALL.into_iter().find(|purpose| *purpose as u32 == number);
        found.ok_or_else(|| Failure::new(Code::Internal, format!("no purpose {number}")))
    }
}

/// `skiff_engine_config`.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub runtime: Runtime,
    pub purpose: Purpose,
    pub stack_bytes_max: u64,
    /// 0: instances without slots.
    pub instances_max: u32,
    pub instance_memory_bytes_max: u64,
}

/// The engines of this library; the versions of Cargo.lock, with which a test compares them.
pub const VERSIONS: &str = "wasmtime 48.0.8, wasmi 2.0.0\0";

/// An engine. Made before a fork, used in the children: it may hold no thread and no random number.
pub trait Provider {
    /// Makes an artifact of bytes whose inspection found nothing wrong.
    fn compile(&self, wasm: &[u8], kind: Kind) -> Result<Vec<u8>, Failure>;
    /// Maps an artifact. See `skiff_engine_load` for what must be true of the file.
    fn load(&self, artifact: File) -> Result<Box<dyn Program>, Failure>;
}

/// What a loaded artifact can do.
pub trait Program {
    fn inspect(&self) -> Result<Inspection, Failure>;
    /// Runs a command to its end.
    fn run(&self, grant: &Grant) -> Outcome;
    /// Serves HTTP until it is told to stop.
    fn serve(&self, grant: &Grant, server: &Server) -> Outcome;
}

/// Whether this build has the runtime.
pub fn has(runtime: Runtime) -> bool {
    cfg!(feature = "compiler") || runtime == Runtime::Wasmi
}

pub fn create(settings: &Settings) -> Result<Box<dyn Provider>, Failure> {
    match settings.runtime {
        #[cfg(feature = "compiler")]
        Runtime::Wasmtime | Runtime::Pulley => Ok(Box::new(crate::engine::Engine::new(settings)?)),
        #[cfg(not(feature = "compiler"))]
        Runtime::Wasmtime | Runtime::Pulley => {
            let text =
                "this build has no compiler, and without one there is the runtime wasmi only";
            Err(Failure::new(Code::Unsupported, text))
        }
        Runtime::Wasmi => Ok(Box::new(wasmi_engine::Engine::new(settings)?)),
    }
}

/// What `serve` comes to for a core module.
pub fn cannot_serve() -> Outcome {
    let text = "a core module cannot serve HTTP: only components can";
    Outcome::failed(Ending::StartFailed, text.into())
}

/// Two hashes of one input, 128 bits together.
struct TwoHashers([DefaultHasher; 2]);

impl Hasher for TwoHashers {
    fn write(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|hasher| hasher.write(bytes));
    }

    fn finish(&self) -> u64 {
        self.0[0].finish()
    }
}

/// The text of `skiff_compatibility_key`: all that artifacts of all engines here depend on.
pub fn compatibility_key() -> Result<String, Failure> {
    let mut hashers = TwoHashers([DefaultHasher::new(), DefaultHasher::new()]);
    hashers.0[1].write_u8(1);
    VERSIONS.hash(&mut hashers);
    #[cfg(feature = "compiler")]
    for runtime in [Runtime::Wasmtime, Runtime::Pulley] {
        for purpose in Purpose::ALL {
            crate::engine::compatibility(runtime, purpose, &mut hashers)?;
        }
    }
    wasmi_engine::compatibility(&mut hashers);
    Ok(hashers.0.iter().map(|hasher| format!("{:016x}", hasher.finish())).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_the_locked_ones() {
        let lock = include_str!("../Cargo.lock");
        let locked = |name: &str| {
            let at = lock.find(&format!("name = \"{name}\"\n")).expect("a dependency");
            let version = lock[at..].lines().nth(1).expect("a version line");
            format!("{name} {}", version.trim_start_matches("version = ").trim_matches('"'))
        };
        let versions = format!("{}, {}\0", locked("wasmtime"), locked("wasmi"));
        assert_eq!(super::VERSIONS, versions);
    }
}
