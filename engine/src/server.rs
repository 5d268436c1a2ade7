//! Serving HTTP by a component.

use crate::engine::Parts;
use crate::grant::Grant;
use crate::run::{Ending, Outcome};
use std::os::fd::RawFd;
use std::time::Duration;
use wasmtime::component::Component;

/// `skiff_server`, field by field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawServer {
    pub size: u32,
    pub listen_fd: i32,
    pub reuse_count: u32,
    pub reuse_concurrent: u32,
    pub requests_max: u32,
    pub connections_max: u32,
    pub header_bytes_max: u64,
    pub body_bytes_max: u64,
    pub request_ms_max: u64,
    pub idle_ms_max: u64,
    pub drain_ms: u64,
}

/// How a server serves, with the defaults filled in.
pub struct Server {
    pub listen: RawFd,
    pub reuse_count: usize,
    pub reuse_concurrent: usize,
    pub requests_max: usize,
    pub connections_max: usize,
    pub header_bytes_max: usize,
    /// None: no limit.
    pub body_bytes_max: Option<u64>,
    pub request_time_max: Duration,
    pub idle_time_max: Duration,
    pub drain_time: Duration,
}

fn or_default<T: PartialEq + From<u8>>(value: T, default: T) -> T {
    if value == T::from(0) { default } else { value }
}

impl Server {
    pub fn read(raw: &RawServer) -> Server {
        Server {
            listen: raw.listen_fd,
            reuse_count: or_default(raw.reuse_count, 1) as usize,
            reuse_concurrent: or_default(raw.reuse_concurrent, 1) as usize,
            requests_max: or_default(raw.requests_max, 1000) as usize,
            connections_max: or_default(raw.connections_max, 1024) as usize,
            header_bytes_max: or_default(raw.header_bytes_max, 64 << 10) as usize,
            body_bytes_max: (raw.body_bytes_max > 0).then_some(raw.body_bytes_max),
            request_time_max: Duration::from_millis(or_default(raw.request_ms_max, 60_000)),
            idle_time_max: Duration::from_millis(or_default(raw.idle_ms_max, 75_000)),
            drain_time: Duration::from_millis(raw.drain_ms),
        }
    }
}

/// See `skiff_module_serve`.
pub fn serve(_: &Parts, _: &Component, _: &Grant, _: &Server) -> Outcome {
    Outcome::failed(Ending::StartFailed, "components cannot serve HTTP yet".into())
}
