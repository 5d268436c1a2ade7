//! Answers requests: refuses what is beyond the limits, hands the rest to a guest.

use crate::server::Terms;
use crate::server::bodies::{Busy, Released, RequestBody, ResponseBody, Usage};
use crate::server::exchange::{Exchange, Failure, count};
use crate::server::fatal;
use crate::server::instances::Instances;
use crate::server::shared::Shared;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;
use tokio::sync::Notify;

/// Who answers requests.
pub struct Guests {
    pub instances: Arc<Instances>,
    /// For instances that handle several requests at once; None: each handles one at a time.
    shared: Option<Shared>,
}

impl Guests {
    pub fn new(instances: Arc<Instances>) -> Guests {
        Guests { shared: Shared::fit_for(&instances), instances }
    }
}

/// How far the end of the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// The stop order was given: connections are accepted, but each is asked not to be used again.
    Draining,
    /// Only what is in flight is finished.
    Closing,
}

/// What answers the requests of all connections.
pub struct Service {
    pub terms: Arc<Terms>,
    pub guests: Guests,
    phase: Mutex<Phase>,
    pub phase_changed: Notify,
}

impl Service {
    pub fn new(terms: &Arc<Terms>, guests: Guests) -> Service {
        Service {
            terms: terms.clone(),
            guests,
            phase: Mutex::new(Phase::Open),
            phase_changed: Notify::new(),
        }
    }

    pub fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.phase_changed.notify_waiters();
    }

    /// Resolves once no guest has anything left to do for a request.
    pub async fn guests_done(&self) {
        while self.terms.counters.requests_active.load(Ordering::Relaxed) > 0 {
            self.terms.request_ended.notified().await;
        }
    }

    pub async fn answer(
        self: Arc<Self>,
        usage: Arc<Usage>,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let begun = Instant::now();
        let busy = usage.begin(request.version());
        let is_http2 = request.version() >= Version::HTTP_2;
        let mut response = match self.refusal(&request) {
            Some(status) => self.own(status, busy),
            None => self.ask_guest(request, begun, busy).await,
        };
        count(&self.terms, response.status(), begun.elapsed());
        if !is_http2 && self.phase() != Phase::Open {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// The answer to what no guest shall see.
    fn refusal(&self, request: &Request<Incoming>) -> Option<StatusCode> {
        let settings = &self.terms.settings;
        if request.method() == Method::CONNECT {
            return Some(StatusCode::NOT_IMPLEMENTED);
        }
        if head_bytes(request) > settings.header_bytes_max {
            return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        if !has_host(request) {
            return Some(StatusCode::BAD_REQUEST);
        }
        // Of a body without a length the lower bound is 0.
        if settings.body_bytes_max.is_some_and(|limit| request.body().size_hint().lower() > limit) {
            return Some(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let active = self.terms.counters.requests_active.load(Ordering::Relaxed);
        if active >= settings.requests_max as u64 {
            return Some(StatusCode::SERVICE_UNAVAILABLE);
        }
        None
    }

    async fn ask_guest(
        &self,
        request: Request<Incoming>,
        begun: Instant,
        busy: Busy,
    ) -> Response<ResponseBody> {
        let (exchange, answer) = Exchange::new(&request, begun, &self.terms);
        let exchange = Arc::new(exchange);
        let released = Released(exchange.clone());
        let mut request = request.map(|body| RequestBody::new(body, &self.terms));
        // A client that asks before it sends is told to go on when the guest reads.
        if !request.headers().contains_key(EXPECT) {
            request.body_mut().read_ahead().await;
        }
        let request = request.map(BodyExt::boxed_unsync);
        match &self.guests.shared {
            Some(shared) => shared.serve(request, exchange.clone()),
            None => {
                let instances = self.guests.instances.clone();
                self.run(Box::pin(instances.serve(request, exchange.clone()))).await;
            }
        }
        let failure = match answer.await {
            Ok(Ok(response)) if !response.status().is_informational() => {
                let wrap = |body| ResponseBody::of_guest(body, released, &self.terms, busy);
                return response.map(wrap);
            }
            Ok(Ok(response)) => {
                exchange.say(&format!("the guest answered with the status {}", response.status()));
                Failure::Silent
            }
            Ok(Err(error)) => {
                exchange.say(&format!("the guest answered with an error: {error}"));
                Failure::Silent
            }
            Err(_) => {
                let failure = exchange.failure().unwrap_or(Failure::Broken);
                if failure == Failure::Silent {
                    exchange.say("the guest returned without an answer");
                }
                failure
            }
        };
        self.own(failure.status(), busy)
    }

    /// Runs a guest: most are done in one turn and need no task of their own. It is in a box: a future that is
    /// handed on makes each that it is handed to as large, and hyper moves ours for every request.
    async fn run(&self, mut guest: Pin<Box<impl Future<Output = ()> + Send + 'static>>) {
        let first = poll_fn(|context| Poll::Ready(guest.as_mut().poll(context)));
        if first.await.is_pending() {
            fatal::spawn(&self.terms.fatal, guest);
        }
    }

    /// A response of the server's own making.
    fn own(&self, status: StatusCode, busy: Busy) -> Response<ResponseBody> {
        let text = match status {
            StatusCode::BAD_REQUEST => "the request names no host, or several\n",
            StatusCode::PAYLOAD_TOO_LARGE => "the request's body is too large\n",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the request's head is too large\n",
            StatusCode::NOT_IMPLEMENTED => "CONNECT is not supported\n",
            StatusCode::SERVICE_UNAVAILABLE => "too many requests at the same time\n",
            StatusCode::GATEWAY_TIMEOUT => "no answer in time\n",
            _ => "the request failed\n",
        };
        let mut response = Response::new(ResponseBody::text(text, &self.terms, busy));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The bytes of a request's target, names and values.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, str::len);
    let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    target + request.headers().iter().map(field).sum::<usize>()
}

/// Whether the request says to which host it goes, once: WASI 0.2 cannot express others.
fn has_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok(),
        (None, _) => request.uri().authority().is_some(),
        (Some(_), Some(_)) => false,
    }
}
