//! Instances of the guest, each for one request at a time.

use crate::component_wasi::{self, ComponentState};
use crate::engine::Parts;
use crate::run::describe;
use crate::server::Terms;
use crate::server::exchange::{Exchange, Failure, TOOK_TOO_LONG};
use crate::server::fatal;
use crate::server::ticker::Ticker;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use wasmtime::component::Component;
use wasmtime::{Engine, PoolConcurrencyLimitError, Result, Store, format_err};
use wasmtime_wasi_http::handler::{Proxy, ProxyPre};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView, p2, p3};

/// How long a request waits for a slot or memory before it is answered 503.
const SHORTAGE_TIME_MAX: Duration = Duration::from_secs(1);
/// An instance that may serve more requests is dropped after this long without one, but for the last.
const SPARE_TIME_MAX: Duration = Duration::from_secs(10);

pub type Request = http::Request<WasiBody>;

/// One instance and its store.
pub struct Live {
    pub store: Store<ComponentState>,
    pub proxy: Proxy,
    served: usize,
    /// Last: those who wait for room are told when the store is gone.
    pub place: Place,
}

/// Counts an instance as long as it lives.
pub struct Place(Arc<Instances>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
        self.0.released.notify_one();
    }
}

/// Makes and keeps instances.
pub struct Instances {
    engine: Engine,
    pre: ProxyPre<ComponentState>,
    pub terms: Arc<Terms>,
    pub ticker: Ticker,
    /// Ready ones, the latest used last, and since when.
    spare: Mutex<Vec<(Live, Instant)>>,
    /// Bytes of memory that an instance has from the start.
    bytes_at_start: Mutex<u64>,
    alive: AtomicUsize,
    /// Requests in the hands of a guest.
    busy: AtomicUsize,
    released: Notify,
    /// A spare one came.
    kept: Notify,
}

fn prepare(parts: &Parts, component: &Component) -> Result<ProxyPre<ComponentState>> {
    let pre = parts.component.instantiate_pre(component)?;
    if let Ok(pre) = p3::bindings::ServicePre::new(pre.clone()) {
        return Ok(ProxyPre::P3(pre));
    }
    match p2::bindings::ProxyPre::new(pre) {
        Ok(pre) => Ok(ProxyPre::P2(pre)),
        Err(error) => Err(error.context(
            "the component is no HTTP server: it exports neither `wasi:http/incoming-handler` 0.2 \
             nor `wasi:http/handler` 0.3 as this engine knows them",
        )),
    }
}

impl Instances {
    /// Makes the first instance, too: what cannot start at all fails at once.
    pub async fn start(
        parts: &Parts,
        component: &Component,
        terms: &Arc<Terms>,
        ticker: Ticker,
    ) -> Result<Arc<Instances>> {
        let instances = Arc::new(Instances {
            engine: parts.engine.clone(),
            pre: prepare(parts, component)?,
            terms: terms.clone(),
            ticker,
            spare: Mutex::default(),
            bytes_at_start: Mutex::new(0),
            alive: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            released: Notify::new(),
            kept: Notify::new(),
        });
        let limit = Instant::now() + terms.settings.request_time_max;
        let first = instances.bounded(pin!(instances.make()), |_| Some(limit)).await;
        let first =
            first.unwrap_or_else(|| Err(format_err!("the first instance is not made in time")))?;
        *instances.bytes_at_start.lock().unwrap_or_else(PoisonError::into_inner) =
            terms.memory.all().bytes();
        instances.keep(first);
        Ok(instances)
    }

    pub fn is_concurrent(&self) -> bool {
        matches!(self.pre, ProxyPre::P3(_))
    }

    fn spare(&self) -> MutexGuard<'_, Vec<(Live, Instant)>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, live: Live) {
        self.spare().push((live, Instant::now()));
        self.kept.notify_one();
    }

    async fn make(self: &Arc<Self>) -> Result<Live> {
        let mut store = component_wasi::new_store(&self.engine, &self.terms.grant)?;
        store.data_mut().memory = self.terms.memory.part();
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        self.terms.counters.instances.fetch_add(1, Ordering::Relaxed);
        self.alive.fetch_add(1, Ordering::Relaxed);
        Ok(Live { store, proxy, served: 0, place: Place(self.clone()) })
    }

    fn ready(&self) -> Option<Live> {
        self.spare().pop().map(|(live, _)| live)
    }

    /// A ready instance, else a new one. Waits a while for room if there is none.
    pub async fn take(self: &Arc<Self>) -> Result<Live> {
        let give_up = Instant::now() + SHORTAGE_TIME_MAX;
        loop {
            if let Some(live) = self.ready() {
                return Ok(live);
            }
            let released = self.released.notified();
            let error = match self.make().await {
                Ok(live) => return Ok(live),
                Err(error) => error,
            };
            let others = self.alive.load(Ordering::Relaxed) > 0;
            if !self.is_shortage(&error)
                || !others
                || tokio::time::timeout_at(give_up, released).await.is_err()
            {
                return Err(error);
            }
        }
    }

    /// Whether an instance could be made if there were fewer.
    pub fn is_shortage(&self, error: &wasmtime::Error) -> bool {
        let bytes = *self.bytes_at_start.lock().unwrap_or_else(PoisonError::into_inner);
        // The engine's own type for the kernel's errors is not ours to name.
        let is_enomem = |cause: &(dyn std::error::Error + 'static)| {
            cause.to_string().ends_with(&format!("(os error {})", libc::ENOMEM))
        };
        error.downcast_ref::<PoolConcurrencyLimitError>().is_some()
            || error.chain().any(is_enomem)
            || !self.terms.memory.all().has_room_for(bytes)
    }

    /// Runs `guest` turn by turn until it ends, or until the time that `deadline` names; None: that came first.
    /// `deadline` is asked after each turn.
    async fn bounded<R>(
        &self,
        mut guest: Pin<&mut impl Future<Output = R>>,
        deadline: impl Fn(&Waker) -> Option<Instant>,
    ) -> Option<R> {
        let mut timer = pin!(sleep_until(Instant::now()));
        poll_fn(|context| {
            if let Poll::Ready(result) = self.ticker.during(|| guest.as_mut().poll(context)) {
                return Poll::Ready(Some(result));
            }
            let Some(deadline) = deadline(context.waker()) else { return Poll::Pending };
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// Lets an instance answer one request.
    pub async fn serve(self: Arc<Self>, request: Request, exchange: Arc<Exchange>) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.serve_busily(request, &exchange).await;
        let was_last = self.busy.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && self.spare().is_empty() {
            fatal::spawn(&self.terms.fatal, self.clone().refill());
        }
    }

    async fn serve_busily(self: &Arc<Self>, request: Request, exchange: &Arc<Exchange>) {
        let deadline = |waker: &Waker| exchange.deadline(waker).map(Into::into);
        let taken = match self.ready() {
            Some(live) => Some(Ok(live)),
            None => self.bounded(Box::pin(self.take()).as_mut(), deadline).await,
        };
        let mut live = match taken {
            Some(Ok(live)) => live,
            Some(Err(error)) if self.is_shortage(&error) => {
                return exchange.fail(Failure::Exhausted);
            }
            Some(Err(error)) => return self.broken(exchange, &error),
            None => return exchange.fail(Failure::TimedOut),
        };
        live.served += 1;
        live.store.set_epoch_deadline(1);
        let called = {
            let call = pin!(call(&mut live, request, exchange.clone()));
            self.bounded(call, deadline).await
        };
        match called {
            Some(Ok(())) => {
                exchange.returned();
                if live.served < self.terms.settings.reuse_count {
                    self.keep(live);
                }
            }
            Some(Err(error)) => self.broken(exchange, &error),
            None => {
                exchange.say(TOOK_TOO_LONG);
                exchange.fail(Failure::TimedOut);
            }
        }
    }

    /// A trap ends the instance and the request, nothing else.
    pub fn broken(&self, exchange: &Exchange, error: &wasmtime::Error) {
        self.terms.counters.traps.fetch_add(1, Ordering::Relaxed);
        exchange.say(&describe(error));
        exchange.fail(Failure::Broken);
    }

    /// Makes an instance for the next request while there is nothing else to do.
    async fn refill(self: Arc<Self>) {
        // What was answered just now is sent first.
        tokio::task::yield_now().await;
        let bytes = *self.bytes_at_start.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = || self.busy.load(Ordering::Relaxed) == 0 && self.spare().is_empty();
        // It must not take the memory that the others need.
        if !is_idle() || !self.terms.memory.all().has_room_for(bytes.saturating_mul(4)) {
            return;
        }
        let limit = Instant::now() + self.terms.settings.request_time_max;
        // An error will come again when a request needs an instance.
        if let Some(Ok(live)) = self.bounded(pin!(self.make()), |_| Some(limit)).await {
            self.keep(live);
        }
    }

    /// Drops what is kept.
    pub fn close(&self) {
        let spare = std::mem::take(&mut *self.spare());
        drop(spare);
    }

    /// Drops what is kept for too long, for ever.
    pub async fn tidy(self: Arc<Self>) {
        loop {
            while self.spare().len() < 2 {
                self.kept.notified().await;
            }
            tokio::time::sleep(SPARE_TIME_MAX).await;
            let now = Instant::now();
            let mut spare = self.spare();
            let too_long = |since: Instant| now.duration_since(since) >= SPARE_TIME_MAX;
            let count = spare.iter().take_while(|(_, since)| too_long(*since)).count();
            let count = count.min(spare.len().saturating_sub(1));
            let dropped: Vec<_> = spare.drain(..count).collect();
            drop(spare);
            drop(dropped);
        }
    }
}

/// The guest's whole part: from the request until it has nothing more to do.
async fn call(live: &mut Live, request: Request, exchange: Arc<Exchange>) -> Result<()> {
    match &live.proxy {
        Proxy::P2(guest) => {
            let mut http = live.store.data_mut().http();
            let request = http.new_incoming_request(Scheme::Http, request)?;
            let answer = http.new_response_outparam_from_callback(move |answer| {
                exchange.answer(answer.map_err(Error::from));
            })?;
            guest.wasi_http_incoming_handler().call_handle(&mut live.store, request, answer).await
        }
        Proxy::P3(guest) => {
            let (request, sent) = {
                let http = live.store.data_mut().http();
                p3::Request::from_http(http.hooks, request)
            };
            let run = async |accessor: &wasmtime::component::Accessor<ComponentState>| {
                let answer = match guest.handle(accessor, request).await? {
                    Ok(response) => Ok(accessor.with(|store| response.into_http(store, sent))?),
                    Err(code) => Err(Error::from(code)),
                };
                exchange.answer(answer);
                // The body may still be written, and whatever else the guest began.
                poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
                Ok(())
            };
            // In a box, so that a call of WASI 0.2 has not its size.
            Box::pin(live.store.run_concurrent(run)).await?
        }
    }
}
