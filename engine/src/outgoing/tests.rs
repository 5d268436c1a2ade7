use super::*;
use crate::grant::{Counters, CountersRef, Destination, Egress, EgressRule, HttpHosts, Reach};
use http_body_util::{Empty, Full};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

#[path = "../../tests/support/server.rs"]
mod server;

use server::Server;

struct Setup {
    client: Client,
    counters: Arc<Counters>,
    _ca: File,
}

impl Setup {
    fn new(reach: Reach, rules: Vec<EgressRule>, requests_max: usize, ca: &str) -> Setup {
        let ca_fd = unsafe { libc::memfd_create(c"ca".as_ptr(), libc::MFD_CLOEXEC) };
        let mut file = unsafe { File::from_raw_fd(ca_fd) };
        io::Write::write_all(&mut file, ca.as_bytes()).expect("room");
        let counters = Arc::<Counters>::default();
        let hosts = HttpHosts { reach: Reach::Nothing, hosts: vec![], narrow_all: false };
        let egress = Egress { reach, rules };
        let policy = Policy::new(egress, hosts, false, CountersRef::own(counters.clone()));
        let trust = Trust::new(Some("/nowhere/ca.pem".into()), Some(file.as_raw_fd()));
        Setup { client: Client::new(Arc::new(policy), trust, requests_max), counters, _ca: file }
    }

    fn open() -> Setup {
        Setup::new(Reach::Everything, vec![], 8, server::CA)
    }

    fn denied(&self) -> u64 {
        self.counters.denied.load(Ordering::Relaxed)
    }

    async fn get(&self, url: &str) -> Result<(Response<WasiBody>, Driver), Error> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        self.send("GET", url, body, None).await
    }

    async fn send(
        &self,
        method: &str,
        url: &str,
        body: WasiBody,
        options: Option<RequestOptions>,
    ) -> Result<(Response<WasiBody>, Driver), Error> {
        let uri: Uri = url.parse().expect("a URL");
        let host = uri.authority().map_or("", |authority| authority.as_str()).to_owned();
        let request = Request::builder().method(method).uri(uri).header(HOST, host).body(body);
        self.client.send(request.expect("a request"), options, Asker::Component).await
    }
}

fn run<R>(test: impl AsyncFnOnce() -> R) -> R {
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limit = Duration::from_secs(20);
    event_loop.block_on(async { timeout(limit, test()).await.expect("a test that ends") })
}

/// The whole body, with its connection's end.
async fn text((response, driver): (Response<WasiBody>, Driver)) -> Result<String, Error> {
    let connection = tokio::spawn(driver);
    let body = response.into_body().collect().await;
    connection.abort();
    Ok(String::from_utf8(body?.to_bytes().to_vec()).expect("text"))
}

fn to_name(name: &str, port: u16) -> EgressRule {
    EgressRule { to: Destination::Name(name.into()), port: Some(port) }
}

fn to_network(address: [u8; 4], bits: u32) -> EgressRule {
    let address = std::net::Ipv4Addr::from(address).to_ipv6_mapped().to_bits();
    EgressRule { to: Destination::Network { address, prefix_bits: 96 + bits }, port: None }
}

/// A body of what is sent to it.
struct Later(mpsc::UnboundedReceiver<Bytes>);

impl Body for Later {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// An error's words without its payload.
fn kind(result: Result<(Response<WasiBody>, Driver), Error>) -> String {
    let Err(error) = result else { return String::from("a response") };
    format!("{error:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn plain_http() {
    run(async || {
        let (server, setup) = (Server::plain(), Setup::open());
        let base = format!("http://127.0.0.1:{}", server.port);
        let answer = setup.get(&format!("{base}/hello?query")).await.expect("an answer");
        assert_eq!(answer.0.status(), 200);
        assert_eq!(answer.0.headers()["content-type"], "text/plain");
        assert_eq!(text(answer).await.unwrap(), "hello");
        let seen = text(setup.get(&format!("{base}/request")).await.unwrap()).await.unwrap();
        assert_eq!(seen, format!("GET HTTP/1.1\nhost: 127.0.0.1:{}\n", server.port));
        let localhost = format!("http://localhost:{}/empty", server.port);
        assert_eq!(setup.get(&localhost).await.unwrap().0.status(), 204);
        assert_eq!(setup.counters.outgoing.load(Ordering::Relaxed), 3);
        assert_eq!(setup.denied(), 0);
    });
}

#[test]
fn bodies_stream_both_ways() {
    run(async || {
        let (server, setup) = (Server::plain(), Setup::open());
        let url = format!("http://127.0.0.1:{}/echo", server.port);
        let (pieces, later) = mpsc::unbounded_channel();
        pieces.send(Bytes::from("one")).unwrap();
        let answer = setup.send("POST", &url, Later(later).boxed_unsync(), None).await;
        let (response, driver) = answer.expect("a head before the body's end");
        tokio::spawn(driver);
        let mut echo = response.into_body();
        assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        pieces.send(Bytes::from("two")).unwrap();
        assert_eq!(echo.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
        drop(pieces);
        assert!(echo.frame().await.is_none());
    });
}

#[test]
fn tls_by_http1_and_http2() {
    run(async || {
        for (alpn, version) in [
            (&[b"h2".as_slice(), b"http/1.1"][..], "HTTP/2.0"),
            (&[b"http/1.1".as_slice()][..], "HTTP/1.1"),
            (&[][..], "HTTP/1.1"),
        ] {
            let (server, setup) = (Server::tls(alpn), Setup::open());
            for host in ["localhost", "127.0.0.1"] {
                let url = format!("https://{host}:{}/request", server.port);
                let seen = text(setup.get(&url).await.expect("an answer")).await.unwrap();
                assert!(seen.starts_with(&format!("GET {version}\n")), "{seen}");
            }
            let body = Full::new(Bytes::from(vec![b'x'; 300_000]));
            let body = body.map_err(|never| match never {}).boxed_unsync();
            let url = format!("https://localhost:{}/echo", server.port);
            let echo = setup.send("POST", &url, body, None).await.expect("an answer");
            assert_eq!(text(echo).await.unwrap().len(), 300_000);
        }
    });
}

#[test]
fn strangers_are_not_trusted() {
    run(async || {
        let server = Server::tls(&[]);
        let url = format!("https://localhost:{}/hello", server.port);
        let nobody = Setup::new(Reach::Everything, vec![], 8, "no certificate");
        assert_eq!(kind(nobody.get(&url).await), "TlsCertificateError");
        // Trusted, but for another name.
        let mut setup = Setup::open();
        assert_eq!(kind(setup.get(&format!("https://127.0.0.2:{}/", server.port)).await), {
            // Nothing listens there: the server is on 127.0.0.1 only.
            "ConnectionRefused"
        });
        // The pod's own file goes before the node's. (Relative to engine/, where cargo runs tests: clones share
        // what they build, so no path of one of them may be in it.)
        let path = String::from("tests/tls/server.pem");
        setup.client.trust = Trust::new(Some(path), Some(setup._ca.as_raw_fd()));
        assert_eq!(kind(setup.get(&url).await), "TlsCertificateError");
        let path = String::from("tests/tls/ca.pem");
        setup.client.trust = Trust::new(Some(path), None);
        assert_eq!(text(setup.get(&url).await.unwrap()).await.unwrap(), "hello");
    });
}

#[test]
fn a_server_without_tls_is_a_protocol_error() {
    run(async || {
        let (server, setup) = (Server::plain(), Setup::open());
        let url = format!("https://localhost:{}/hello", server.port);
        assert_eq!(kind(setup.get(&url).await), "TlsProtocolError");
        let (server, setup) = (Server::tls(&[]), Setup::open());
        let url = format!("http://localhost:{}/hello", server.port);
        assert!(
            ["HttpProtocolError", "HttpResponseIncomplete", "ConnectionTerminated"]
                .contains(&kind(setup.get(&url).await).as_str())
        );
    });
}

#[test]
fn only_what_is_allowed_is_connected_to() {
    run(async || {
        let server = Server::plain();
        let (port, other) = (server.port, server.port ^ 1);
        let url = |host: &str| format!("http://{host}:{port}/hello");
        let cases = [
            // By name: `localhost` is 127.0.0.1 whatever its address.
            (vec![to_name("localhost", port)], "localhost", "a response"),
            (vec![to_name("localhost.", port)], "LocalHost", "a response"),
            (vec![to_name("localhost", other)], "localhost", "HttpRequestDenied"),
            (vec![to_name("localhost", port)], "127.0.0.1", "HttpRequestDenied"),
            (vec![], "localhost", "HttpRequestDenied"),
            // By address: a name that leads elsewhere is stopped after its look-up.
            (vec![to_network([127, 0, 0, 0], 8)], "localhost", "a response"),
            (vec![to_network([127, 0, 0, 0], 8)], "127.0.0.1", "a response"),
            (vec![to_network([127, 0, 0, 0], 8)], "[::ffff:127.0.0.1]", "a response"),
            (vec![to_network([10, 0, 0, 0], 8)], "localhost", "DestinationIpProhibited"),
            (vec![to_network([10, 0, 0, 0], 8)], "127.0.0.1", "HttpRequestDenied"),
        ];
        let mut reached = 0;
        for (rules, host, expected) in cases {
            let setup = Setup::new(Reach::Listed, rules, 8, "");
            assert_eq!(kind(setup.get(&url(host)).await), expected, "{host}");
            let is_allowed = expected == "a response";
            reached += usize::from(is_allowed);
            assert_eq!(setup.denied(), u64::from(!is_allowed), "{host}");
            assert_eq!(server.connections(), reached, "{host}");
        }
        let none = Setup::new(Reach::Nothing, vec![], 8, "");
        assert_eq!(kind(none.get(&url("localhost")).await), "HttpRequestDenied");
        assert_eq!(server.connections(), reached);
    });
}

#[test]
fn what_goes_wrong_has_its_name() {
    run(async || {
        let (server, setup) = (Server::plain(), Setup::open());
        let base = format!("http://127.0.0.1:{}", server.port);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let cases = [
            (format!("http://{closed}/"), "ConnectionRefused"),
            (format!("{base}/big-head"), "HttpResponseHeaderSectionSize"),
            ("http://nowhere.invalid/".into(), "DnsError"),
            ("http://169.254.169.254/latest".into(), "DestinationIpProhibited"),
            (format!("http://user@127.0.0.1:{}/", server.port), "HttpRequestUriInvalid"),
            ("http://127.0.0.1:99999/".into(), "HttpRequestUriInvalid"),
            ("ftp://127.0.0.1/".into(), "HttpProtocolError"),
        ];
        for (url, expected) in cases {
            assert_eq!(kind(setup.get(&url).await), expected, "{url}");
        }
        let body = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        let tunnel = setup.send("CONNECT", &base, body(), None).await;
        assert_eq!(kind(tunnel), "HttpRequestMethodInvalid");
        let cut = setup.get(&format!("{base}/cut")).await.expect("a head");
        let error = text(cut).await.expect_err("a body that is cut");
        assert!(matches!(error, Error::HttpResponseIncomplete | Error::ConnectionTerminated));
    });
}

#[test]
fn silence_ends_a_request() {
    run(async || {
        let (server, setup) = (Server::plain(), Setup::open());
        let base = format!("http://127.0.0.1:{}", server.port);
        let short = Some(Duration::from_millis(50));
        let body = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        let options = RequestOptions { first_byte_timeout: short, ..Default::default() };
        let silent = setup.send("GET", &format!("{base}/silent"), body(), Some(options)).await;
        assert_eq!(kind(silent), "ConnectionReadTimeout");
        let options = RequestOptions { between_bytes_timeout: short, ..Default::default() };
        let half = setup.send("GET", &format!("{base}/half"), body(), Some(options)).await;
        let error = text(half.expect("a head")).await.expect_err("a body without end");
        assert!(matches!(error, Error::ConnectionReadTimeout), "{error:?}");
        // A socket that never says hello: the handshake is part of connecting.
        let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let options = RequestOptions { connect_timeout: short, ..Default::default() };
        let url = format!("https://{}/", mute.local_addr().unwrap());
        assert_eq!(kind(setup.send("GET", &url, body(), Some(options)).await), "ConnectionTimeout");
    });
}

#[test]
fn requests_at_the_same_time_are_bounded() {
    run(async || {
        let server = Server::plain();
        let setup = Setup::new(Reach::Everything, vec![], 1, "");
        let url = format!("http://127.0.0.1:{}/hello", server.port);
        let first = setup.get(&url).await.expect("a place");
        let short = Some(Duration::from_millis(50));
        let options = RequestOptions { connect_timeout: short, ..Default::default() };
        let body = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        let second = setup.send("GET", &url, body(), Some(options)).await;
        assert_eq!(kind(second), "ConnectionLimitReached");
        drop(first);
        assert_eq!(kind(setup.get(&url).await), "a response");
    });
}
