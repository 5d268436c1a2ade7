//! One request and its response, as the connection's side and the guest's side both see it.

use crate::failure::truncate;
use crate::server::Terms;
use http::{Method, StatusCode, Uri};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

/// Longest path and method in a line for people: both are a stranger's.
const PATH_BYTES_MAX: usize = 200;
const METHOD_BYTES_MAX: usize = 20;

pub const TOOK_TOO_LONG: &str = "took too long and was ended";

/// What the guest answers.
pub type Answer = Result<http::Response<WasiBody>, Error>;

/// Why a guest gave no answer, or not a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No response's head in time.
    TimedOut,
    /// A trap, or an instance that cannot be made.
    Broken,
    /// It returned without an answer.
    Silent,
    /// Neither slot nor memory for an instance.
    Exhausted,
}

impl Failure {
    pub fn status(self) -> StatusCode {
        match self {
            Failure::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Failure::Broken | Failure::Silent => StatusCode::INTERNAL_SERVER_ERROR,
            Failure::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Alive as long as its request counts as active: until the response is sent and the guest is done.
pub struct Exchange {
    method: Method,
    uri: Uri,
    begun: Instant,
    terms: Arc<Terms>,
    state: Mutex<State>,
}

struct State {
    /// Where the guest's answer goes; None: it went.
    head: Option<oneshot::Sender<Answer>>,
    /// Nobody waits for anything of the response any more.
    released: Option<Instant>,
    failure: Option<Failure>,
    /// Who runs the guest.
    guest: Option<Waker>,
}

impl Exchange {
    pub fn new<B>(
        request: &http::Request<B>,
        begun: Instant,
        terms: &Arc<Terms>,
    ) -> (Exchange, oneshot::Receiver<Answer>) {
        terms.counters.requests_active.fetch_add(1, Ordering::Relaxed);
        let (head, answer) = oneshot::channel();
        let state = State { head: Some(head), released: None, failure: None, guest: None };
        let exchange = Exchange {
            method: request.method().clone(),
            uri: request.uri().clone(),
            begun,
            terms: terms.clone(),
            state: Mutex::new(state),
        };
        (exchange, answer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the guest's answer on; only the first counts.
    pub fn answer(&self, answer: Answer) {
        if let Some(head) = self.state().head.take() {
            // The client may be gone.
            let _ = head.send(answer);
        }
    }

    /// The guest will not answer any more: to be called before its instance is dropped.
    pub fn fail(&self, failure: Failure) {
        let mut state = self.state();
        state.failure.get_or_insert(failure);
        state.head = None;
    }

    pub fn failure(&self) -> Option<Failure> {
        self.state().failure
    }

    /// The guest returned: without an answer until now there is none.
    pub fn returned(&self) {
        if self.state().head.is_some() {
            self.fail(Failure::Silent);
        }
    }

    /// Nobody reads the response any more.
    pub fn release(&self) {
        let waker = {
            let mut state = self.state();
            state.released.get_or_insert_with(Instant::now);
            state.guest.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// When the guest has to be done at the latest; None: it answers, and a client reads. `waker` is woken when
    /// that changes by the client's side.
    pub fn deadline(&self, waker: &Waker) -> Option<Instant> {
        let mut state = self.state();
        let from = match (&state.head, state.released) {
            (Some(_), _) => self.begun,
            (None, Some(released)) => released,
            (None, None) => {
                if !state.guest.as_ref().is_some_and(|guest| guest.will_wake(waker)) {
                    state.guest = Some(waker.clone());
                }
                return None;
            }
        };
        // A time beyond what can be expressed never comes.
        from.checked_add(self.terms.settings.request_time_max)
    }

    /// Writes a line about this request to the guest's stderr.
    pub fn say(&self, text: &str) {
        let mut path = self.uri.path().to_owned();
        truncate(&mut path, PATH_BYTES_MAX);
        let mut method = self.method.to_string();
        truncate(&mut method, METHOD_BYTES_MAX);
        self.terms.grant.say(&format!("skiff: {method} {path}: {text}"));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.terms.counters.requests_active.fetch_sub(1, Ordering::Relaxed);
        self.terms.request_ended.notify_one();
    }
}

/// Counts a response by its status and the time until now.
pub fn count(terms: &Terms, status: StatusCode, latency: Duration) {
    let counters = &terms.counters;
    let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
    counters.responses[class].fetch_add(1, Ordering::Relaxed);
    let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    counters.latency_us_sum.fetch_add(us, Ordering::Relaxed);
    counters.latency[bucket(us, counters.latency.len())].fetch_add(1, Ordering::Relaxed);
}

/// The first bucket i with us < 2^i * 250, else the last one.
fn bucket(us: u64, buckets: usize) -> usize {
    (0..buckets - 1).find(|i| us < 250 << i).unwrap_or(buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn latencies_fall_into_doubling_buckets() {
        assert_eq!(bucket(0, 18), 0);
        assert_eq!(bucket(249, 18), 0);
        assert_eq!(bucket(250, 18), 1);
        assert_eq!(bucket((250 << 16) - 1, 18), 16);
        assert_eq!(bucket(250 << 16, 18), 17);
        assert_eq!(bucket(u64::MAX, 18), 17);
    }
}
