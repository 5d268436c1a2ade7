//! The host functions of components: WASI 0.2 and 0.3, outgoing HTTP, and the interfaces of `skiff:pod`.

use crate::egress::Policy;
use crate::grant::Grant;
use crate::limits::MemoryCap;
use crate::lookup::{self, Names};
use crate::metadata::Files;
use crate::outgoing::Outgoing;
use crate::pod;
use crate::provider::Purpose;
use crate::read_only;
use crate::stdio::Waiting;
use crate::stop::Stop;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{Engine, Error, Result, Store, format_err};
use wasmtime_wasi::clocks::{WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{self, DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock as p3_clock;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView, async_trait, p3};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The interfaces of WASI 0.2 that are in the linker.
const INTERFACES_02: [&str; 29] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
];

/// The interfaces of WASI 0.3 that are in the linker.
const INTERFACES_03: [&str; 23] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/types",
];

/// Whether a linker has the interface `name`, as in "wasi:cli/exit@0.2.3". All versions 0.2.x are one, and all
/// 0.3.x: later ones only add, and what they add is found missing when the component starts.
pub fn provides(name: &str) -> bool {
    if pod::provides_interface(name) {
        return true;
    }
    match name.split_once('@') {
        None => false,
        // Drafts were not compatible with one another.
        Some((_, version)) if version.contains('-') => false,
        Some((interface, version)) if version.starts_with("0.2.") => {
            INTERFACES_02.contains(&interface)
        }
        Some((interface, version)) => {
            version.starts_with("0.3.") && INTERFACES_03.contains(&interface)
        }
    }
}

/// What a component's store holds.
pub struct ComponentState {
    pub wasi: WasiCtx,
    pub table: ResourceTable,
    pub stop: Arc<Stop>,
    pub memory: MemoryCap,
    pub http: WasiHttpCtx,
    pub outgoing: Outgoing,
    pub policy: Arc<Policy>,
    pub names: Names,
    pub files: Files,
}

impl WasiHttpView for ComponentState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A store with what the grant allows, within its limits; inside the event loop that the guest will use. A server
/// makes one for every instance.
pub fn new_store(engine: &Engine, grant: &Grant) -> Result<Store<ComponentState>> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(grant.handles_max);
    let state = ComponentState {
        wasi: grant.wasi(Waiting::InEventLoop)?.build(),
        table,
        stop: grant.stop.clone(),
        memory: MemoryCap::new(grant.memory_cap),
        http: WasiHttpCtx::new(),
        outgoing: Outgoing::new(grant.client.clone()),
        policy: grant.policy.clone(),
        names: Names::new(),
        files: grant.files(),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(grant.hostcall_bytes_max);
    store.set_max_component_handles(grant.handles_max);
    Ok(store)
}

/// The linker of all components of a purpose; made once, before any fork. WASI 0.3 is in it only where the
/// purpose asks for it.
pub fn linker(engine: &Engine, purpose: Purpose) -> Result<Linker<ComponentState>> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let concurrent = purpose != Purpose::Command;
    if concurrent {
        p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, Clock>(&mut linker, clock)?;
    lookup::add_02(&mut linker)?;
    read_only::add_02(&mut linker)?;
    if concurrent {
        p3_clock::add_to_linker::<_, Clock>(&mut linker, clock)?;
        lookup::add_03(&mut linker)?;
        read_only::add_03(&mut linker)?;
    }
    linker.allow_shadowing(false);
    pod::add_interfaces(&mut linker, concurrent)?;
    Ok(linker)
}

/// Says what a component wants that the linker has not: an interface passed the inspection, but a later version of it
/// has more functions, or other types.
pub fn unlinked(error: Error) -> Error {
    let causes: Vec<String> = error.chain().map(|cause| cause.to_string()).collect();
    let quoted = |text: &String| text.split('`').nth(1).unwrap_or_default().to_owned();
    match &causes[..] {
        [interface, function, cause] if cause == "function implementation is missing" => {
            let (interface, function) = (quoted(interface), quoted(function));
            format_err!(
                "the component needs the function `{function}` of {interface}, which nobody provides"
            )
        }
        _ => format_err!("the component cannot be linked: {}", causes.join(": ")),
    }
}

/// `wasi:clocks/monotonic-clock` whose waits end once when the guest is asked to stop.
struct Clock;

impl HasData for Clock {
    type Data<'a> = ClockView<'a>;
}

struct ClockView<'a> {
    wasi: WasiClocksCtxView<'a>,
    stop: Arc<Stop>,
}

fn clock(state: &mut ComponentState) -> ClockView<'_> {
    ClockView { stop: state.stop.clone(), wasi: WasiClocksView::clocks(state) }
}

impl ClockView<'_> {
    /// What a wait that begins now has to watch; None: it cannot be cut short.
    fn watched(&self) -> Option<Arc<Stop>> {
        self.stop.watched_fd().map(|_| self.stop.clone())
    }

    fn wait(&mut self, duration: Duration) -> Result<Resource<DynPollable>> {
        let stop = self.watched();
        // A time beyond what can be expressed never comes.
        let due = Instant::now().checked_add(duration);
        let looked_at = !duration.is_zero();
        let wait = self.wasi.table.push(ClockWait { due, looked_at, stop })?;
        subscribe(self.wasi.table, wait)
    }
}

impl monotonic_clock::Host for ClockView<'_> {
    fn now(&mut self) -> Result<u64> {
        monotonic_clock::Host::now(&mut self.wasi)
    }

    fn resolution(&mut self) -> Result<u64> {
        monotonic_clock::Host::resolution(&mut self.wasi)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        let now = monotonic_clock::Host::now(&mut self.wasi)?;
        self.wait(Duration::from_nanos(when.saturating_sub(now)))
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        self.wait(Duration::from_nanos(duration))
    }
}

struct ClockWait {
    due: Option<Instant>,
    /// A wait of no length lets the event loop look at the descriptors once before it is over; else a guest
    /// that polls with it in a loop would never see them become ready.
    looked_at: bool,
    stop: Option<Arc<Stop>>,
}

#[async_trait]
impl Pollable for ClockWait {
    async fn ready(&mut self) {
        if !self.looked_at {
            self.looked_at = true;
            tokio::task::yield_now().await;
            return;
        }
        until(self.due, self.stop.as_deref()).await;
    }
}

/// Waits for a time (None: it never comes) or, if there is an order to watch, for that.
async fn until(due: Option<Instant>, stop: Option<&Stop>) {
    let clock = async move {
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    let Some(stop) = stop else { return clock.await };
    let mut clock = std::pin::pin!(clock);
    let mut order = std::pin::pin!(stop.ordered());
    std::future::poll_fn(|context| {
        if clock.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        order.as_mut().poll(context).map(|()| stop.set_noticed())
    })
    .await
}

impl p3_clock::Host for ClockView<'_> {
    fn now(&mut self) -> Result<u64> {
        p3_clock::Host::now(&mut self.wasi)
    }

    fn get_resolution(&mut self) -> Result<u64> {
        p3_clock::Host::get_resolution(&mut self.wasi)
    }
}

impl p3_clock::HostWithStore<ComponentState> for Clock {
    async fn wait_until(store: &Accessor<ComponentState, Self>, when: u64) -> Result<()> {
        let now = store.with(|mut view| p3_clock::Host::now(&mut view.get()))?;
        Self::wait_for(store, when.saturating_sub(now)).await
    }

    async fn wait_for(store: &Accessor<ComponentState, Self>, duration: u64) -> Result<()> {
        if duration == 0 {
            // The event loop gets to look at the descriptors: a guest may do nothing else.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let due = Instant::now().checked_add(Duration::from_nanos(duration));
        let stop = store.with(|mut view| view.get().watched());
        until(due, stop.as_deref()).await;
        Ok(())
    }
}
