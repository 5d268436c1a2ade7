//! The host functions of components: WASI 0.2 and 0.3, outgoing HTTP, and `skiff:pod/lifecycle`.

use crate::grant::Grant;
use crate::limits::MemoryCap;
use crate::outgoing::Outgoing;
use crate::provider::Purpose;
use crate::stdio::Waiting;
use crate::stop::Stop;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime::{Engine, Result, Store, StoreContextMut};
use wasmtime_wasi::clocks::{WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{self, DynPollable, Pollable, subscribe};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView, async_trait, p3};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The interface by which a guest learns that it shall end.
pub const LIFECYCLE: &str = "skiff:pod/lifecycle";

/// The interfaces of `wasi:cli/command` 0.2, all of them in the linker.
const INTERFACES_02: [&str; 27] = [
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
];

/// Whether the linker has the interface `name`, as in "wasi:cli/exit@0.2.3". All versions 0.2.x are one:
/// later ones only add, and what they add is found missing when the component starts.
pub fn provides(name: &str) -> bool {
    match name.split_once('@') {
        None => name == LIFECYCLE,
        Some((LIFECYCLE, version)) => version.starts_with("0.1."),
        Some((interface, version)) => {
            INTERFACES_02.contains(&interface)
                && version.starts_with("0.2.")
                && !version.contains('-')
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
        memory: MemoryCap::new(grant.memory_bytes_max),
        http: WasiHttpCtx::new(),
        outgoing: Outgoing,
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
    if purpose != Purpose::Command {
        p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, Clock>(&mut linker, |state: &mut ComponentState| {
        ClockView { stop: state.stop.clone(), wasi: WasiClocksView::clocks(state) }
    })?;
    linker.allow_shadowing(false);
    for name in [LIFECYCLE.to_owned(), format!("{LIFECYCLE}@0.1.0")] {
        let mut lifecycle = linker.instance(&name)?;
        lifecycle.func_wrap(
            "terminating",
            |store: StoreContextMut<'_, ComponentState>, (): ()| {
                Ok((store.data().stop.terminating(),))
            },
        )?;
        lifecycle.func_wrap(
            "subscribe",
            |mut store: StoreContextMut<'_, ComponentState>, (): ()| {
                let state = store.data_mut();
                let order = state.table.push(StopOrder(state.stop.clone()))?;
                Ok((subscribe(&mut state.table, order)?,))
            },
        )?;
    }
    Ok(linker)
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

impl ClockView<'_> {
    fn wait(&mut self, duration: Duration) -> Result<Resource<DynPollable>> {
        let stop = self.stop.watched_fd().map(|_| self.stop.clone());
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
        let due = self.due;
        let clock = async move {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let Some(stop) = &self.stop else { return clock.await };
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
}

/// The pollable of `subscribe`: ready once the guest is asked to stop, and from then on.
struct StopOrder(Arc<Stop>);

#[async_trait]
impl Pollable for StopOrder {
    async fn ready(&mut self) {
        self.0.ordered().await;
        self.0.set_noticed();
    }
}
