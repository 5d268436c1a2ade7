//! An HTTP server on a thread of its own, on a port from the kernel, plain or with TLS.

#![allow(dead_code)] // Each test program uses another part.

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// The certificate of the tests' authority, in PEM.
pub const CA: &str = include_str!("../tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../tls/server.pem");
const KEY: &[u8] = include_bytes!("../tls/server.key");

/// Serves, by path: `/hello`; `/echo`; `/request` (method, version and headers of the request); `/empty` (204);
/// `/bytes/N`; `/silent` (never answers); `/half` (begins and falls silent); `/cut` (begins and breaks off);
/// `/big-head` (128 KiB of headers); `/to/LOCATION` (a redirect).
pub struct Server {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn plain() -> Server {
        Server::start(None)
    }

    /// `alpn`: the protocols that it speaks.
    pub fn tls(alpn: &[&[u8]]) -> Server {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that ring has")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a key that fits");
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Server::start(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start(tls: Option<TlsAcceptor>) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let port = listener.local_addr().expect("a bound socket").port();
        let (stop, stopped) = oneshot::channel();
        let connections = Arc::<AtomicUsize>::default();
        let counted = connections.clone();
        let thread = std::thread::spawn(move || {
            let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let event_loop = event_loop.expect("an event loop");
            event_loop.spawn(async move {
                let listener = TcpListener::from_std(listener).expect("an event loop");
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(serve(stream, tls.clone()));
                }
            });
            let _ = event_loop.block_on(stopped);
        });
        Server { port, connections, stop: Some(stop), thread: Some(thread) }
    }

    /// How many clients have connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>) {
    let builder = auto::Builder::new(TokioExecutor::new());
    // A client that goes away is no failure of the server.
    let _ = match tls {
        None => builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await,
            Err(_) => Ok(()),
        },
    };
}

enum End {
    Whole,
    Silence,
    /// Once what was said before has been sent.
    Break,
    BreakNow,
}

struct Pieces(VecDeque<Bytes>, End);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match (self.0.pop_front(), &self.1) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, End::Whole) => Poll::Ready(None),
            (None, End::Silence) => Poll::Pending,
            (None, End::Break) => {
                self.1 = End::BreakNow;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            (None, End::BreakNow) => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
        }
    }
}

type AnyBody = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

fn pieces(pieces: impl IntoIterator<Item = impl Into<Bytes>>, end: End) -> AnyBody {
    Pieces(pieces.into_iter().map(Into::into).collect(), end).boxed_unsync()
}

fn describe(request: &Request<Incoming>) -> String {
    let mut lines = format!("{} {:?}\n", request.method(), request.version());
    for (name, value) in request.headers() {
        lines += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    lines
}

async fn answer(request: Request<Incoming>) -> Result<Response<AnyBody>, http::Error> {
    let path = request.uri().path().to_owned();
    let (word, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let response = Response::builder();
    match word {
        "hello" => {
            response.header("content-type", "text/plain").body(pieces(["hello"], End::Whole))
        }
        "echo" => response.body(request.into_body().map_err(io::Error::other).boxed_unsync()),
        "request" => response.body(pieces([describe(&request)], End::Whole)),
        "empty" => response.status(204).body(pieces([""; 0], End::Whole)),
        "bytes" => {
            let count = rest.parse().expect("a number");
            response.body(pieces([vec![b'x'; count]], End::Whole))
        }
        "silent" => std::future::pending().await,
        "half" => response.body(pieces(["half"], End::Silence)),
        "cut" => response.body(pieces(["half"], End::Break)),
        "big-head" => {
            response.header("big", "x".repeat(128 << 10)).body(pieces([""; 0], End::Whole))
        }
        "to" => response
            .status(302)
            .header("location", format!("/{rest}"))
            .body(pieces(["elsewhere"], End::Whole)),
        _ => response.status(404).body(pieces(["nothing"], End::Whole)),
    }
}
