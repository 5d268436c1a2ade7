//! Instances of WASI 0.3 that handle several requests at once; a trap fails all that share the instance.

use crate::component_wasi::ComponentState;
use crate::run::describe;
use crate::server::exchange::{Exchange, Failure, TOOK_TOO_LONG};
use crate::server::fatal;
use crate::server::instances::{Instances, Live, Place, Request};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Result, Store, StoreContextMut, Trap, WasmBacktrace};
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ShouldAccept,
    WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{Error, WasiHttpView};

/// An instance without requests is dropped after this long.
const IDLE_TIME_MAX: Duration = Duration::from_secs(10);

/// Hands requests to instances that have room for more.
#[derive(Clone)]
pub struct Shared {
    handler: ProxyHandler<Maker>,
    instances: Arc<Instances>,
}

impl Shared {
    /// None: each instance handles one request at a time. WASI 0.2 knows nothing else.
    pub fn fit_for(instances: &Arc<Instances>) -> Option<Shared> {
        if !instances.is_concurrent() || instances.terms.settings.reuse_concurrent < 2 {
            return None;
        }
        let handler = ProxyHandler::new(Maker(instances.clone()));
        Some(Shared { handler, instances: instances.clone() })
    }

    /// Begins to answer one request.
    pub fn serve(&self, request: Request, exchange: Arc<Exchange>) {
        let shared = self.clone();
        fatal::spawn(&self.instances.terms.fatal, async move {
            let answered = shared.handler.handle(exchange.clone(), request).await;
            match answered {
                Ok(response) => exchange.answer(Ok(response)),
                Err(error) => shared.fail(&exchange, &error),
            }
        });
    }

    fn fail(&self, exchange: &Exchange, error: &wasmtime::Error) {
        if error.downcast_ref::<ExpirationError>().is_some() {
            exchange.say(TOOK_TOO_LONG);
            return exchange.fail(Failure::TimedOut);
        }
        if let Some(error) = error.downcast_ref::<InstantiationError<Arc<Exchange>>>() {
            if self.instances.is_shortage(&error.error) {
                return exchange.fail(Failure::Exhausted);
            }
            return self.instances.broken(exchange, &error.error);
        }
        // A trap was told of when its instance was dropped.
        match error.downcast_ref::<wasmtime_wasi_http::p3::bindings::http::types::ErrorCode>() {
            Some(code) => exchange.answer(Err(Error::from(code.clone()))),
            None => exchange.fail(Failure::Broken),
        }
    }
}

/// Makes instances for the handler.
struct Maker(Arc<Instances>);

impl HandlerState for Maker {
    type StoreData = ComponentState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> Result<Instance<ComponentState, Expiration, Worker>> {
        let running = Running::new(&self.0);
        let Live { store, proxy, place, .. } = self.0.take().await?;
        let request_time_max = self.0.terms.settings.request_time_max;
        Ok(Instance {
            store,
            proxy,
            view: ComponentState::http,
            expiration: Expiration {
                request_time_max,
                timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            },
            state: Worker {
                instances: self.0.clone(),
                exchanges: Mutex::default(),
                _place: place,
                _running: running,
            },
        })
    }
}

/// When an instance is dropped that does not end by itself.
struct Expiration {
    request_time_max: Duration,
    timer: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        let time_max = match status {
            WorkerStatus::Idle => IDLE_TIME_MAX,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.request_time_max,
        };
        let Some(deadline) = since.checked_add(time_max) else { return Poll::Pending };
        if self.timer.deadline() != deadline.into() {
            self.timer.as_mut().reset(deadline.into());
        }
        self.timer.as_mut().poll(context)
    }
}

/// One instance of the handler.
struct Worker {
    instances: Arc<Instances>,
    /// Those it handles, and perhaps some that are done.
    exchanges: Mutex<Vec<Weak<Exchange>>>,
    _place: Place,
    _running: Running,
}

/// Lets the clock of computing guests run: the handler gives them their turns.
struct Running(Arc<Instances>);

impl Running {
    fn new(instances: &Arc<Instances>) -> Running {
        instances.ticker.hold();
        Running(instances.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ticker.release();
    }
}

impl Worker {
    fn exchanges(&self) -> MutexGuard<'_, Vec<Weak<Exchange>>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WorkerState for Worker {
    type StoreData = ComponentState;
    type RequestData = Arc<Exchange>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        let settings = &self.instances.terms.settings;
        if total >= settings.reuse_count {
            ShouldAccept::Never
        } else if concurrent >= settings.reuse_concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, ComponentState>,
        exchange: Arc<Exchange>,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        store.set_epoch_deadline(1);
        let mut exchanges = self.exchanges();
        exchanges.retain(|exchange| exchange.strong_count() > 0);
        exchanges.push(Arc::downgrade(&exchange));
        Box::pin(tokio::time::sleep(self.instances.terms.settings.request_time_max))
    }

    fn drop(&self, store: Store<ComponentState>, result: Result<()>) {
        if std::thread::panicking() {
            // The handler's task is not one of ours, so nobody else would notice.
            self.instances.terms.fatal.keep(Box::new("a panic in an instance"));
            std::mem::forget(store);
            return;
        }
        let exchanges = std::mem::take(&mut *self.exchanges());
        let mut exchanges = exchanges.iter().filter_map(Weak::upgrade).peekable();
        if let Err(error) = result {
            // Without one the time was up.
            let is_trap = error.downcast_ref::<WasmBacktrace>().is_some()
                || error.downcast_ref::<Trap>().is_some();
            let (text, failure) = match is_trap {
                true => (describe(&error), Failure::Broken),
                false => (String::from(TOOK_TOO_LONG), Failure::TimedOut),
            };
            if is_trap {
                self.instances.terms.counters.traps.fetch_add(1, Ordering::Relaxed);
            }
            match exchanges.peek() {
                Some(exchange) => exchange.say(&text),
                None => self.instances.terms.grant.say(&format!("skiff: {text}")),
            }
            for exchange in exchanges {
                exchange.fail(failure);
            }
        }
        drop(store);
    }
}
