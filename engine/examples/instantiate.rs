//! Instances per second of a component that serves HTTP, as Skiff's server makes them and as bare Wasmtime does, in
//! turn: instantiate COMPONENT [RUNS [COUNT]] prints one line "SKIFF BARE" a run.

use std::time::{Duration, Instant};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

struct NoRequests;

type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Sending,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Sending), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    hooks: NoRequests,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

fn bare_instances(wasm: &[u8], count: u32) -> Result<Duration> {
    let mut config = Config::new();
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(256 * 1024).table_keep_resident(16 * 1024);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let pre = linker.instantiate_pre(&Component::new(&engine, wasm)?)?;
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    event_loop.block_on(async {
        let begin = Instant::now();
        for _ in 0..count {
            let state = State {
                wasi: WasiCtx::builder().build(),
                table: ResourceTable::new(),
                http: WasiHttpCtx::new(),
                hooks: NoRequests,
            };
            pre.instantiate_async(&mut Store::new(&engine, state)).await?;
        }
        Ok(begin.elapsed())
    })
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: u32| {
        words.get(at).map_or(Ok(default), |word| word.parse()).expect("a number")
    };
    let wasm = std::fs::read(words.get(1).expect("a component"))?;
    let (runs, count) = (number(2, 7), number(3, 5000));
    for _ in 0..runs {
        let rate = |time: Duration| f64::from(count) / time.as_secs_f64();
        let skiff = rate(skiff_engine::bench::server_instances(&wasm, count)?);
        let bare = rate(bare_instances(&wasm, count)?);
        println!("{skiff:.0} {bare:.0}");
    }
    Ok(())
}
