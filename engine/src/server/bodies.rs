//! Bodies of requests and responses: counted, limited, and cut where the guest broke off.

use crate::server::Terms;
use crate::server::exchange::Exchange;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// A request's body on its way to the guest.
pub struct RequestBody {
    body: hyper::body::Incoming,
    terms: Arc<Terms>,
    bytes: u64,
    /// Runs while the guest waits for the client.
    patience: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub fn new(body: hyper::body::Incoming, terms: &Arc<Terms>) -> RequestBody {
        RequestBody { body, terms: terms.clone(), bytes: 0, patience: None }
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let time_max = self.terms.settings.idle_time_max;
        self.patience.get_or_insert_with(|| Box::pin(sleep(time_max))).as_mut().poll(context)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.poll_patience(context));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        self.patience = None;
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.bytes += bytes;
        self.terms.counters.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.terms.settings.body_bytes_max {
            Some(limit) if self.bytes > limit => {
                Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(limit)))))
            }
            _ => Poll::Ready(Some(Ok(frame))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response and what ends with it.
pub struct ResponseBody {
    content: Content,
    terms: Arc<Terms>,
    /// Last: it is dropped when all else is done.
    _busy: Busy,
}

enum Content {
    /// Of the server's own making.
    Text(Option<Bytes>),
    Guest {
        body: WasiBody,
        exchange: Released,
        /// The guest broke off: what came before was given time to be sent.
        cut: bool,
    },
}

/// Tells the guest's side, when dropped, that nobody reads the response any more.
pub struct Released(pub Arc<Exchange>);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl ResponseBody {
    pub fn text(text: &'static str, terms: &Arc<Terms>, busy: Busy) -> ResponseBody {
        let text = Bytes::from_static(text.as_bytes());
        ResponseBody { content: Content::Text(Some(text)), terms: terms.clone(), _busy: busy }
    }

    pub fn of_guest(
        body: WasiBody,
        exchange: Released,
        terms: &Arc<Terms>,
        busy: Busy,
    ) -> ResponseBody {
        let content = Content::Guest { body, exchange, cut: false };
        ResponseBody { content, terms: terms.clone(), _busy: busy }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.content {
            Content::Text(text) => text.take().map(|text| Ok(Frame::data(text))),
            Content::Guest { body, exchange, cut } => {
                if *cut {
                    return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                }
                match ready!(Pin::new(body).poll_frame(context)) {
                    Some(Ok(frame)) => Some(Ok(frame)),
                    // The engine ends the body alike when the guest is done and when its instance is gone.
                    None if exchange.0.failure().is_none() => None,
                    None | Some(Err(_)) => {
                        // An error would discard what hyper has not sent yet: its next turn sends it.
                        *cut = true;
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        };
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            this.terms.counters.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Guest { body, exchange, cut } => {
                !cut && body.is_end_stream() && exchange.0.failure().is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Guest { body, .. } => body.size_hint(),
        }
    }
}

/// What a connection is used for.
pub struct Usage(Mutex<Use>);

struct Use {
    requests: usize,
    /// When the latest one ended, or the connection began.
    since: Instant,
    is_http2: bool,
}

impl Usage {
    pub fn new() -> Usage {
        Usage(Mutex::new(Use { requests: 0, since: Instant::now(), is_http2: false }))
    }

    fn usage(&self) -> MutexGuard<'_, Use> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(self: &Arc<Self>) -> Busy {
        self.usage().requests += 1;
        Busy(self.clone())
    }

    /// Since when no request is in progress.
    pub fn idle_since(&self) -> Option<Instant> {
        let usage = self.usage();
        (usage.requests == 0).then_some(usage.since)
    }

    pub fn set_http2(&self) {
        self.usage().is_http2 = true;
    }

    /// Whether a request of HTTP/2 came.
    pub fn is_http2(&self) -> bool {
        self.usage().is_http2
    }
}

/// A request in progress on a connection.
pub struct Busy(Arc<Usage>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut usage = self.0.usage();
        usage.requests -= 1;
        usage.since = Instant::now();
    }
}
