//! HTTP requests that a guest makes: one connection for each, to where the grant allows.

use crate::egress::{self, Policy, Route};
use crate::tls::Trust;
use bytes::Bytes;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use std::error::Error as _;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout, timeout_at};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

const CONNECT_TIME: Duration = Duration::from_secs(30);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(600);
const BYTES_TIME: Duration = Duration::from_secs(600);
const BYTES_TIME_MAX: Duration = Duration::from_secs(3600);
/// Of a response's head, or of its trailers.
const HEADER_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 256;
/// Name look-ups at the same time, those that nobody waits for any more among them.
const LOOKUPS_MAX: usize = 16;

/// Moves the bytes of a connection, to its end. Somebody has to poll it.
pub type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// `wasi:http`, in an event loop with others.
    Component,
    /// `wasi_experimental_http`, whose guest waits for the one request.
    Krustlets,
}

/// What all outgoing requests of a process share.
pub struct Client {
    policy: Arc<Policy>,
    trust: Trust,
    requests: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

/// Where a request goes.
struct Target {
    tls: bool,
    /// As in the URI: IPv6 in brackets.
    host: String,
    port: u16,
}

struct Times {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Times {
    fn of(options: Option<RequestOptions>) -> Times {
        let options = options.unwrap_or_default();
        let bytes = |time: Option<Duration>| time.unwrap_or(BYTES_TIME).min(BYTES_TIME_MAX);
        Times {
            connect: options.connect_timeout.unwrap_or(CONNECT_TIME).min(CONNECT_TIME_MAX),
            first_byte: bytes(options.first_byte_timeout),
            between_bytes: bytes(options.between_bytes_timeout),
        }
    }
}

impl Target {
    fn of(uri: &Uri) -> Result<Target, Error> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // A user's name has no place in a request, and would make the host less plain.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None | Some("") if tls => 443,
            None | Some("") => 80,
            Some(port) => port.parse().map_err(|_| Error::HttpRequestUriInvalid)?,
        };
        Ok(Target { tls, host: authority.host().to_owned(), port })
    }
}

impl Client {
    pub fn new(policy: Arc<Policy>, trust: Trust, requests_max: usize) -> Client {
        let requests = Arc::new(Semaphore::new(requests_max.min(Semaphore::MAX_PERMITS)));
        Client { policy, trust, requests, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    /// Sends a request and waits for the head of its response, whose body keeps the request's place among
    /// those that are allowed at the same time.
    pub async fn send(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        asker: Asker,
    ) -> Result<(Response<WasiBody>, Driver), Error> {
        let times = Times::of(options);
        let target = Target::of(request.uri())?;
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let route = self.policy.route(&target.host, target.port, asker == Asker::Krustlets);
        if route == Route::Denied {
            self.policy.count_denied();
            return Err(Error::HttpRequestDenied);
        }
        self.policy.count_outgoing();
        let by = Instant::now() + times.connect;
        let place = match timeout_at(by, self.requests.clone().acquire_owned()).await {
            Ok(Ok(place)) => place,
            _ => return Err(Error::ConnectionLimitReached),
        };
        let addresses = self.resolve(&target, by, asker).await?;
        let tcp = self.connect(route, &addresses, by).await?;
        // The guest waits for answers to small writes.
        let _ = tcp.set_nodelay(true);
        let sent = if target.tls {
            let tls = timeout_at(by, self.trust.connect(&target.host, tcp)).await;
            let tls = tls.map_err(|_| Error::ConnectionTimeout)??;
            let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            if is_http2 {
                send_http2(tls, request, times.first_byte).await
            } else {
                send_http1(tls, request, times.first_byte).await
            }
        } else {
            send_http1(tcp, request, times.first_byte).await
        };
        let (response, driver) = sent?;
        let body = |incoming| {
            let time = times.between_bytes;
            ResponseBody { incoming, time, silence: None, _place: place }.boxed_unsync()
        };
        Ok((response.map(body), driver))
    }

    async fn resolve(
        &self,
        target: &Target,
        by: Instant,
        asker: Asker,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Some(address) = egress::literal(&target.host) {
            return Ok(vec![SocketAddr::new(address, target.port)]);
        }
        let question = (target.host.clone(), target.port);
        let look_up = move || question.to_socket_addrs().map(|found| found.collect::<Vec<_>>());
        let found = if asker == Asker::Krustlets {
            // It has its thread to itself and no other to give the work to.
            look_up()
        } else {
            let lookup = async {
                let place = self.lookups.clone().acquire_owned().await;
                let asked = tokio::task::spawn_blocking(move || {
                    let _place = place;
                    look_up()
                });
                asked.await.unwrap_or_else(|error| Err(io::Error::other(error)))
            };
            timeout_at(by, lookup).await.map_err(|_| Error::DnsTimeout)?
        };
        let failed = |text: String| Error::DnsError { rcode: Some(text), info_code: None };
        match found {
            Ok(found) if found.is_empty() => Err(failed("no address".into())),
            Ok(found) => Ok(found),
            Err(error) => {
                let text = error.to_string();
                let of_resolver = text.strip_prefix("failed to lookup address information: ");
                Err(failed(of_resolver.unwrap_or(&text).to_owned()))
            }
        }
    }

    /// Connects to the first address that is allowed and answers.
    async fn connect(
        &self,
        route: Route,
        addresses: &[SocketAddr],
        by: Instant,
    ) -> Result<TcpStream, Error> {
        let allowed = addresses.iter().filter(|address| self.policy.may_follow(route, **address));
        let allowed: Vec<_> = allowed.collect();
        let mut failure = Error::DestinationIpProhibited;
        if allowed.is_empty() {
            self.policy.count_denied();
        }
        for (number, address) in allowed.iter().enumerate() {
            // A silent address leaves time for those after it.
            let left = by.saturating_duration_since(Instant::now());
            let share = left / (allowed.len() - number) as u32;
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = of_connect(&error),
                Err(_) => failure = Error::ConnectionTimeout,
            }
        }
        Err(failure)
    }
}

fn of_connect(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Error::ConnectionRefused,
        Some(libc::ETIMEDOUT) => Error::ConnectionTimeout,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => {
            Error::DestinationIpUnroutable
        }
        Some(libc::EACCES | libc::EPERM) => Error::DestinationIpProhibited,
        Some(libc::ECONNRESET | libc::ECONNABORTED) => Error::ConnectionTerminated,
        _ => Error::DestinationUnavailable,
    }
}

/// What went wrong on a connection, in the words of `wasi:http`.
pub fn of_hyper(error: hyper::Error) -> Error {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(io) = found.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::UnexpectedEof => Error::HttpResponseIncomplete,
                _ => Error::ConnectionTerminated,
            };
        }
        // The guest's own body failed: its length, most of the time.
        match found.downcast_ref::<Error>() {
            Some(Error::HttpRequestBodySize(size)) => return Error::HttpRequestBodySize(*size),
            Some(own) => return Error::InternalError(Some(own.to_string())),
            None => cause = found.source(),
        }
    }
    if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_closed() || error.is_canceled() {
        Error::ConnectionTerminated
    } else {
        Error::HttpProtocolError
    }
}

type Sent = Result<(Response<Incoming>, Driver), Error>;

async fn send_http1<S>(stream: S, mut request: Request<WasiBody>, time: Duration) -> Sent
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(of_hyper)?;
    // To a server, not to a proxy: the path alone.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let driver = Box::pin(async move { connection.await.map_err(of_hyper) });
    answer(sender.send_request(request), driver, time).await
}

async fn send_http2<S>(stream: S, mut request: Request<WasiBody>, time: Duration) -> Sent
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(HEADER_BYTES_MAX as u32);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(of_hyper)?;
    // The URI says it.
    request.headers_mut().remove(HOST);
    let driver = Box::pin(async move { connection.await.map_err(of_hyper) });
    answer(sender.send_request(request), driver, time).await
}

/// Waits for the head of a response, and moves the connection's bytes meanwhile.
async fn answer(
    sent: impl Future<Output = hyper::Result<Response<Incoming>>>,
    mut driver: Driver,
    time: Duration,
) -> Sent {
    let mut sent = std::pin::pin!(sent);
    let mut driven = None;
    let head = std::future::poll_fn(|context| {
        if let Poll::Ready(head) = sent.as_mut().poll(context) {
            return Poll::Ready(head.map_err(of_hyper));
        }
        if driven.is_none() {
            match driver.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                // The end of the connection ends the request, too; it says so in its own words.
                Poll::Ready(end) => driven = Some(end),
            }
        }
        sent.as_mut().poll(context).map_err(of_hyper)
    });
    let head = timeout(time, head).await.map_err(|_| Error::ConnectionReadTimeout)??;
    Ok(match driven {
        Some(end) => (head, Box::pin(async { end })),
        None => (head, driver),
    })
}

/// A response's body, that fails when its server is silent for too long.
struct ResponseBody {
    incoming: Incoming,
    time: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(of_hyper)));
        }
        let time = self.time;
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        silence.as_mut().poll(context).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The outgoing requests of one store.
pub struct Outgoing(Arc<Client>);

impl Outgoing {
    pub fn new(client: Arc<Client>) -> Outgoing {
        Outgoing(client)
    }
}

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Writes of a body that wait for the other side, and bytes of one: what a guest of WASI 0.2 may have in flight.
const BODY_CHUNKS: usize = 8;
const BODY_CHUNK_BYTES: usize = 128 * 1024;

impl WasiHttpHooks for Outgoing {
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _received: Done,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Done), Error>> + Send> {
        let client = self.0.clone();
        Box::new(async move {
            let (response, driver) = client.send(request, options, Asker::Component).await?;
            Ok((response, Box::new(driver) as Done))
        })
    }
}

#[cfg(test)]
mod tests;
