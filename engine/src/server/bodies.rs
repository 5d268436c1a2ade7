//! Bodies of requests and responses: counted, limited, and cut where the guest broke off.

use crate::server::Terms;
use crate::server::exchange::Exchange;
use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

/// What of a body is read before the guest begins, so that most guests need one turn and hold their instance no longer.
const AHEAD_BYTES_MAX: usize = 64 * 1024;

/// A request's body on its way to the guest.
pub struct RequestBody {
    body: hyper::body::Incoming,
    /// What came before the guest asked for it, and how many bytes of content that is.
    ahead: VecDeque<Result<Frame<Bytes>, hyper::Error>>,
    ahead_bytes: usize,
    terms: Arc<Terms>,
    bytes: u64,
    /// Runs while the guest waits for the client.
    patience: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub fn new(body: hyper::body::Incoming, terms: &Arc<Terms>) -> RequestBody {
        RequestBody {
            body,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            terms: terms.clone(),
            bytes: 0,
            patience: None,
        }
    }

    /// Reads what the client has sent already. Never waits for more: a guest may want to begin without it.
    pub async fn read_ahead(&mut self) {
        let mut asked = false;
        poll_fn(|context| {
            while !self.body.is_end_stream() && self.ahead_bytes < AHEAD_BYTES_MAX {
                match Pin::new(&mut self.body).poll_frame(context) {
                    Poll::Ready(Some(frame)) => {
                        asked = false;
                        self.ahead_bytes += content_bytes(&frame);
                        self.ahead.push_back(frame);
                    }
                    Poll::Ready(None) => break,
                    // The connection reads its socket after this turn, and then it is known what there is.
                    Poll::Pending if !asked => {
                        asked = true;
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    fn poll_content(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.ahead.pop_front() {
            Some(frame) => {
                self.ahead_bytes -= content_bytes(&frame);
                Poll::Ready(Some(frame))
            }
            None => Pin::new(&mut self.body).poll_frame(context),
        }
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
        let Poll::Ready(frame) = self.poll_content(context) else {
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
        self.ahead.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (ahead, rest) = (self.ahead_bytes as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}

fn content_bytes(frame: &Result<Frame<Bytes>, hyper::Error>) -> usize {
    frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len)
}

/// The body of a response and what ends with it.
pub struct ResponseBody {
    content: Content,
    terms: Arc<Terms>,
    /// Last: it is dropped when all else is done.
    busy: Busy,
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
        ResponseBody { content: Content::Text(Some(text)), terms: terms.clone(), busy }
    }

    pub fn of_guest(
        body: WasiBody,
        exchange: Released,
        terms: &Arc<Terms>,
        busy: Busy,
    ) -> ResponseBody {
        let content = Content::Guest { body, exchange, cut: false };
        ResponseBody { content, terms: terms.clone(), busy }
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
        this.busy.asked();
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
            this.busy.gave();
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
    /// Responses of HTTP/2 of which the client has not taken what there is, and since when; the longest first.
    untaken: Vec<(u64, Instant)>,
    next: u64,
}

impl Usage {
    pub fn new() -> Usage {
        let (since, untaken) = (Instant::now(), Vec::new());
        Usage(Mutex::new(Use { requests: 0, since, is_http2: false, untaken, next: 0 }))
    }

    fn usage(&self) -> MutexGuard<'_, Use> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(self: &Arc<Self>, version: Version) -> Busy {
        let mut usage = self.usage();
        usage.requests += 1;
        usage.is_http2 = version >= Version::HTTP_2;
        let number = usage.is_http2.then_some(usage.next);
        usage.next += 1;
        Busy { usage: self.clone(), number }
    }

    /// Since when no request is in progress.
    pub fn idle_since(&self) -> Option<Instant> {
        let usage = self.usage();
        (usage.requests == 0).then_some(usage.since)
    }

    /// Since when the client has not taken anything of a response that it could. Of HTTP/2 only: its window holds
    /// one response back while the connection goes on; a client of HTTP/1 can only stop the whole connection.
    pub fn untaken_since(&self) -> Option<Instant> {
        self.usage().untaken.first().map(|(_, since)| *since)
    }

    /// Whether a request of HTTP/2 came.
    pub fn is_http2(&self) -> bool {
        self.usage().is_http2
    }
}

/// A request in progress on a connection.
pub struct Busy {
    usage: Arc<Usage>,
    /// Of HTTP/2.
    number: Option<u64>,
}

impl Busy {
    /// The connection has got a piece of the response, to be sent as soon as the client lets it.
    fn gave(&self) {
        if let Some(number) = self.number {
            self.usage.usage().untaken.push((number, Instant::now()));
        }
    }

    /// The connection wants more of the response: what it got before is on its way.
    fn asked(&self) {
        if let Some(number) = self.number {
            self.usage.usage().untaken.retain(|(own, _)| *own != number);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.asked();
        let mut usage = self.usage.usage();
        usage.requests -= 1;
        usage.since = Instant::now();
    }
}
