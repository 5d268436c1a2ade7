//! Skiff's WebAssembly engines: Wasmtime and Wasmi behind the C header `include/skiff_engine.h`, which is the only
//! documented interface. The crate obeys; all policy is the caller's.

// Wasmtime's side of the crate is still checked there, and left out of what is linked.
#![cfg_attr(not(feature = "compiler"), allow(dead_code, unused_imports))]

#[cfg(feature = "bench")]
pub mod bench;
mod component_wasi;
mod core_http;
mod core_wasi;
mod coredump;
mod egress;
mod engine;
mod failure;
pub mod ffi;
mod grant;
mod inspect;
mod limits;
mod link;
mod lookup;
mod metadata;
mod outgoing;
mod pod;
mod poll;
mod provider;
mod read_only;
mod run;
mod server;
mod stdio;
mod stop;
mod tls;
mod wasmi_engine;

pub use ffi::{Engine, Module};
pub use grant::{Counters, RawEgressRule, RawGrant};
pub use server::RawServer;
