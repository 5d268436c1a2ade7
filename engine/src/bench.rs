//! Instances as a server makes them, without its requests: for bench/instantiate.

use crate::component_wasi;
use crate::engine::Parts;
use crate::grant::{Grant, RawGrant};
use crate::limits::{Cap, SharedCap};
use crate::provider::{Purpose, Runtime, Settings};
use std::ffi::c_void;
use std::time::{Duration, Instant};
use wasmtime::component::Component;
use wasmtime::{Result, format_err};

unsafe extern "C" fn discard(
    _: *mut c_void,
    _: libc::c_int,
    _: *const u8,
    size: usize,
) -> libc::ssize_t {
    size as libc::ssize_t
}

/// How long it takes to make `count` instances of a server, one after the other.
pub fn server_instances(wasm: &[u8], count: u32) -> Result<Duration> {
    let settings = Settings {
        runtime: Runtime::Wasmtime,
        purpose: Purpose::Server,
        stack_bytes_max: 0,
        instances_max: 256,
        instance_memory_bytes_max: 0,
    };
    let parts = Parts::new(&settings)?;
    let pre = parts.component.instantiate_pre(&Component::new(&parts.engine, wasm)?)?;
    // SAFETY: numbers, pointers and an optional function: zero is a value of each.
    let mut raw: RawGrant = unsafe { std::mem::zeroed() };
    raw.write = Some(discard);
    (raw.stdin_fd, raw.stop_fd, raw.ca_fd, raw.coredump_fd) = (-1, -1, -1, -1);
    // SAFETY: every pointer is null.
    let grant = unsafe { Grant::read(&raw) }.ok_or_else(|| format_err!("no grant"))?;
    let memory = SharedCap::new(Cap::fixed(0));
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    event_loop.block_on(async {
        let begin = Instant::now();
        for _ in 0..count {
            let mut store = component_wasi::new_store(&parts.engine, &grant)?;
            store.data_mut().memory = memory.part();
            store.epoch_deadline_async_yield_and_update(1);
            store.set_epoch_deadline(1);
            pre.instantiate_async(&mut store).await?;
        }
        Ok(begin.elapsed())
    })
}
