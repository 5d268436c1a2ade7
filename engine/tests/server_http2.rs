//! Servers and HTTP/2 with prior knowledge.

#[path = "support/serving.rs"]
mod serving;
mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serving::*;
use std::sync::atomic::Ordering;

const GUESTS: [&str; 2] = ["http-hello", "http-hello-03"];

type Client = SendRequest<Full<Bytes>>;

/// Runs a test's client.
fn block_on(client: impl Future<Output = ()>) {
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let limit = std::time::Duration::from_secs(20);
    event_loop
        .expect("an event loop")
        .block_on(async { tokio::time::timeout(limit, client).await })
        .expect("a test that does not hang");
}

/// A connection, and how it ended.
async fn connect(server: &Serving) -> (Client, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await;
    let stream = TokioIo::new(stream.expect("the server listens"));
    let (client, connection) =
        handshake(TokioExecutor::new(), stream).await.expect("a server of HTTP/2");
    (client, tokio::spawn(connection))
}

fn request(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://test{path}");
    Request::builder().uri(uri).body(Full::default()).expect("a request")
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

#[test]
fn answers_many_requests_at_once() {
    for guest in GUESTS {
        let server = Serving::start(guest, Options::default());
        block_on(async {
            let (mut client, _) = connect(&server).await;
            let mut answers = Vec::new();
            for _ in 0..50 {
                client.ready().await.expect("an open connection");
                answers.push(client.send_request(request("/sleep/100")));
            }
            for answer in answers {
                assert_eq!(text(answer.await.expect("an answer")).await, "slept 100 ms\n");
            }
        });
        assert_eq!(server.count(|counters| &counters.responses[1]), 50, "{guest}");
    }
}

#[test]
fn tells_the_guest_the_authority() {
    let server = Serving::start("http-hello", Options::default());
    block_on(async {
        let (mut client, _) = connect(&server).await;
        let mut request = request("/headers");
        request.headers_mut().insert("x-mark", "7".parse().expect("a value"));
        let answer = client.send_request(request).await.expect("an answer");
        assert!(text(answer).await.contains("x-mark: 7\n"));
    });
}

#[test]
fn echoes_a_large_body_with_flow_control() {
    for guest in GUESTS {
        let server = Serving::start(guest, Options::default());
        block_on(async {
            let (mut client, _) = connect(&server).await;
            let body = Bytes::from(vec![b'z'; 10 << 20]);
            let request = Request::post("http://test/echo").body(Full::new(body.clone()));
            let answer = client.send_request(request.expect("a request")).await;
            let answer = answer.expect("an answer").into_body().collect().await;
            assert_eq!(answer.expect("a whole body").to_bytes(), body, "{guest}");
        });
    }
}

#[test]
fn trailers_follow_the_body() {
    for guest in GUESTS {
        let server = Serving::start(guest, Options::default());
        block_on(async {
            let (mut client, _) = connect(&server).await;
            let answer = client.send_request(request("/trailers")).await.expect("an answer");
            let body = answer.into_body().collect().await.expect("a whole body");
            assert_eq!(body.trailers().expect("trailers")["x-sum"], "42", "{guest}");
            assert_eq!(body.to_bytes(), "12 and 30\n");
        });
    }
}

#[test]
fn a_trap_ends_its_stream_alone() {
    for guest in GUESTS {
        let server = Serving::start(guest, Options::default());
        block_on(async {
            let (mut client, _) = connect(&server).await;
            let mut send =
                async |path| client.send_request(request(path)).await.expect("an answer");
            let trapped = send("/trap").await;
            assert_eq!(trapped.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let cut = send("/trap-after").await;
            assert_eq!(cut.status(), StatusCode::OK);
            assert!(cut.into_body().collect().await.is_err(), "{guest}");
            assert_eq!(text(send("/").await).await, "Hello from Skiff!\n");
        });
        assert_eq!(server.count(|counters| &counters.traps), 2);
    }
}

#[test]
fn refuses_what_is_beyond_the_limits() {
    let options = Options { header_bytes_max: 8192, body_bytes_max: 10, ..Options::default() };
    let server = Serving::start("http-hello", options);
    block_on(async {
        let (mut client, _) = connect(&server).await;
        let mut large = request("/");
        large.headers_mut().insert("x-large", "x".repeat(9_000).parse().expect("a value"));
        let refused = client.send_request(large).await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let large = Request::post("http://test/echo").body(Full::from("x".repeat(11)));
        let refused = client.send_request(large.expect("a request")).await.expect("an answer");
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(
            text(client.send_request(request("/")).await.expect("an answer")).await.len(),
            18
        );
    });
}

#[test]
fn a_connection_in_use_is_asked_to_end_after_the_stop() {
    let server = Serving::start("http-hello", Options { drain_ms: 60_000, ..Options::default() });
    block_on(async {
        let (mut client, connection) = connect(&server).await;
        assert_eq!(
            text(client.send_request(request("/")).await.expect("an answer")).await.len(),
            18
        );
        server.order_stop();
        // The server says goodbye; nothing is in progress.
        connection.await.expect("no panic").expect("a regular end");
    });
}

#[test]
fn a_client_that_opens_no_window_is_given_up() {
    for guest in GUESTS {
        let server = Serving::start(guest, Options { idle_ms_max: 100, ..Options::default() });
        block_on(async {
            let (mut client, connection) = connect(&server).await;
            // The connection is read all the time, the one body never is.
            let held = client.send_request(request("/bytes/100000000")).await.expect("an answer");
            assert_eq!(held.status(), StatusCode::OK);
            let _ = connection.await.expect("no panic");
            while server.count(|counters| &counters.requests_active) > 0 {
                tokio::task::yield_now().await;
            }
            assert!(held.into_body().collect().await.is_err(), "{guest}");
            let (mut client, _) = connect(&server).await;
            let answer = client.send_request(request("/")).await.expect("an answer");
            assert_eq!(text(answer).await, "Hello from Skiff!\n");
        });
    }
}

#[test]
fn what_a_client_may_send_ahead_is_bounded() {
    let server = Serving::start("http-hello", Options::default());
    let before = server.status_kb("VmHWM");
    block_on(async {
        let mut held = Vec::new();
        for _ in 0..32 {
            let (mut client, _) = connect(&server).await;
            // The guest sleeps and does not read.
            let body = Full::new(Bytes::from(vec![b'z'; 4 << 20]));
            let request = Request::post("http://test/sleep/1000").body(body).expect("a request");
            held.push((tokio::spawn(client.send_request(request)), client));
        }
        for (answer, _) in held {
            let _ = answer.await.expect("no panic");
        }
    });
    let grown = server.status_kb("VmHWM") - before;
    // A connection's window, what is read ahead of each body, and what a connection costs; not 4 MiB each.
    assert!(grown < 24 * 1024, "grown by {grown} kB");
}

#[test]
fn idle_connections_are_closed() {
    let server = Serving::start("http-hello", Options { idle_ms_max: 100, ..Options::default() });
    block_on(async {
        let (mut client, connection) = connect(&server).await;
        assert_eq!(
            text(client.send_request(request("/")).await.expect("an answer")).await.len(),
            18
        );
        connection.await.expect("no panic").expect("a regular end");
    });
    assert_eq!(server.counters().requests_active.load(Ordering::Relaxed), 0);
}
