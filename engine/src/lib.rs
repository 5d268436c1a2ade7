//! Skiff's WebAssembly engine: Wasmtime behind the C header `include/skiff_engine.h`, which is the only
//! documented interface. The crate obeys; all policy is the caller's.

mod component_wasi;
mod core_wasi;
mod engine;
mod failure;
pub mod ffi;
mod grant;
mod inspect;
mod limits;
mod poll;
mod run;
mod stdio;
mod stop;

pub use engine::{Engine, Loaded};
pub use grant::RawGrant;
