//! Serving HTTP by a component: settings, start and end.
//!
//! One event loop on the calling thread carries connections and guests. `accept` takes connections, `service` answers
//! requests, `instances` runs the guest for one request at a time, `shared` for several at once.

mod accept;
mod bodies;
mod exchange;
mod fatal;
mod instances;
mod service;
mod shared;
pub mod slots;
mod ticker;

use crate::engine::Parts;
use crate::grant::{CountersRef, Grant, or_default};
use crate::limits::SharedCap;
use crate::run::{Ending, Outcome, describe};
use fatal::Fatal;
use instances::Instances;
use service::Guests;
use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use ticker::Ticker;
use tokio::sync::Notify;
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
    pub drain_share: u32,
    pub reserved: u32,
}

/// How a server serves, with the defaults filled in.
#[derive(Clone, Copy)]
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
    /// None: whatever time is left.
    pub drain_share: Option<NonZeroU32>,
}

/// Longer is for ever; so that no sum of times overflows.
const TIME_MS_MAX: u64 = 10 * 365 * 24 * 3600 * 1000;

impl Server {
    pub fn read(raw: &RawServer) -> Server {
        let time = |ms: u64| Duration::from_millis(ms.min(TIME_MS_MAX));
        Server {
            listen: raw.listen_fd,
            reuse_count: or_default(raw.reuse_count, 1) as usize,
            reuse_concurrent: or_default(raw.reuse_concurrent, 1) as usize,
            requests_max: or_default(raw.requests_max, 1000) as usize,
            connections_max: or_default(raw.connections_max, 1024) as usize,
            header_bytes_max: or_default(raw.header_bytes_max, 64 << 10) as usize,
            body_bytes_max: (raw.body_bytes_max > 0).then_some(raw.body_bytes_max),
            request_time_max: time(or_default(raw.request_ms_max, 60_000)),
            idle_time_max: time(or_default(raw.idle_ms_max, 75_000)),
            drain_time: time(raw.drain_ms),
            drain_share: NonZeroU32::new(raw.drain_share),
        }
    }

    /// How long connections are accepted after a stop order that leaves the server so much time.
    fn drain_time_of(&self, left: Duration) -> Duration {
        let most = self.drain_share.map(|share| left / share.get());
        most.map_or(self.drain_time, |most| most.min(self.drain_time))
    }
}

/// What holds for all requests of a server.
struct Terms {
    settings: Server,
    grant: Grant,
    counters: CountersRef,
    /// Of all instances.
    memory: SharedCap,
    fatal: Arc<Fatal>,
    request_ended: Notify,
}

/// See `skiff_module_serve`.
pub fn serve(parts: &Parts, component: &Component, grant: &Grant, server: &Server) -> Outcome {
    let event_loop = match grant.event_loop() {
        Ok(event_loop) => event_loop,
        Err(error) => return failed(format!("cannot make an event loop: {error}")),
    };
    let terms = Arc::new(Terms {
        settings: *server,
        grant: grant.clone(),
        counters: grant.counters(),
        memory: SharedCap::new(grant.memory_cap),
        fatal: Arc::default(),
        request_ended: Notify::new(),
    });
    // It may be an earlier run's page.
    terms.counters.requests_active.store(0, Ordering::Relaxed);
    let served = event_loop.block_on(serve_inside(parts, component, &terms));
    // A blocked thread would keep an ordinary shutdown waiting; the process ends anyway.
    event_loop.shutdown_background();
    terms.fatal.resume();
    let mut outcome = match served {
        Ok(()) => Outcome { ending: Ending::Exited, exit_code: 0, ..failed(String::new()) },
        Err(text) => failed(text),
    };
    let memory = terms.memory.all();
    outcome.bytes_peak = memory.bytes_peak;
    outcome.bytes_refused = memory.bytes_refused;
    outcome
}

fn failed(text: String) -> Outcome {
    Outcome::failed(Ending::StartFailed, text)
}

async fn serve_inside(
    parts: &Parts,
    component: &Component,
    terms: &Arc<Terms>,
) -> Result<(), String> {
    let listener = accept::listen(terms.settings.listen)
        .map_err(|error| format!("cannot listen on the given socket: {error}"))?;
    let ticker = Ticker::start(&parts.engine)
        .map_err(|error| format!("cannot start the thread that ends computations: {error}"))?;
    let instances = Instances::start(parts, component, terms, ticker).await;
    let instances = instances.map_err(|error| describe(&error))?;
    accept::run(terms, Guests::new(instances), listener).await;
    Ok(())
}
