//! Servers: real connections to a server in a forked child, with the guests of `guests/`.

#[path = "support/serving.rs"]
mod serving;
mod support;

use serving::*;
use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::*;

const HELLO: &str = "http-hello";
const HELLO_03: &str = "http-hello-03";

#[test]
fn answers_on_one_connection_with_an_instance_for_each_request() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options::default());
        let mut client = server.connect();
        for _ in 0..3 {
            let reply = client.get("/count");
            assert_eq!((reply.status, reply.text(), reply.is_whole), (200, "1\n", true), "{guest}");
        }
        assert_eq!(client.get("/").text(), "Hello from Skiff!\n");
        assert_eq!(client.get("/status/418").status, 418);
        drop(client);
        assert_eq!(server.count(|counters| &counters.responses[1]), 4);
        assert_eq!(server.count(|counters| &counters.responses[3]), 1);
        let latencies: u64 =
            server.counters().latency.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(latencies, 5);
        assert!(server.count(|counters| &counters.instances) >= 5);
        let report = server.end();
        assert_eq!((report.kind, report.exit_code, report.stderr.as_str()), (EXITED, 0, ""));
    }
}

#[test]
fn an_instance_is_ready_before_the_next_request() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options::default());
        let mut client = server.connect();
        let instances = || server.count(|counters| &counters.instances);
        for answered in 1..=3 {
            assert_eq!(client.get("/count").text(), "1\n", "{guest}");
            // Those that answered, and one that was made since: the request took the one before.
            let give_up = Instant::now() + Duration::from_secs(10);
            while instances() <= answered && Instant::now() < give_up {
                std::thread::yield_now();
            }
            assert_eq!(instances(), answered + 1, "{guest}");
        }
    }
}

#[test]
fn answers_without_slots_too() {
    let server = Serving::start(HELLO, Options { without_slots: true, ..Options::default() });
    assert_eq!(server.get("/").text(), "Hello from Skiff!\n");
}

#[test]
fn answers_in_a_small_address_space() {
    // Room for fewer slots than asked for; for none at all, but three instances.
    for gib in [300, 16] {
        let options = Options { address_space_bytes_max: gib << 30, ..Options::default() };
        let server = Serving::start(HELLO, options);
        let mut held: Vec<Client> = (0..2).map(|_| begin_echo(&server)).collect();
        assert_eq!(server.get("/").status, 200);
        held.iter_mut().for_each(end_echo);
    }
    let options = Options { address_space_bytes_max: 16 << 30, ..Options::default() };
    let server = Serving::start(HELLO, options);
    let mut held: Vec<Client> = (0..3).map(|_| begin_echo(&server)).collect();
    assert_eq!(server.get("/").status, 503);
    held.iter_mut().for_each(end_echo);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn answers_in_pulley() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options { runtime: PULLEY, ..Options::default() });
        assert_eq!(server.get("/").text(), "Hello from Skiff!\n");
    }
}

#[test]
fn reuses_an_instance_as_often_as_allowed() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options { reuse_count: 3, ..Options::default() });
        let mut client = server.connect();
        let counts: Vec<String> = (0..7).map(|_| client.get("/count").text().to_owned()).collect();
        assert_eq!(counts, ["1\n", "2\n", "3\n", "1\n", "2\n", "3\n", "1\n"], "{guest}");
    }
}

#[test]
fn an_instance_of_0_3_handles_several_requests_at_once() {
    let options = Options { reuse_count: 100, reuse_concurrent: 4, ..Options::default() };
    let server = Serving::start(HELLO_03, options);
    let mut held = Vec::new();
    for active in 1..=4 {
        let mut client = server.connect();
        client.send(b"GET /sleep/300 HTTP/1.1\r\nhost: test\r\n\r\n");
        while server.count(|counters| &counters.requests_active) < active {
            std::thread::yield_now();
        }
        held.push(client);
    }
    // A fifth needs another one.
    assert_eq!(server.get("/count").text(), "1\n");
    assert_eq!(server.count(|counters| &counters.instances), 2);
    for client in &mut held {
        assert_eq!(client.reply().status, 200);
    }
}

/// An echo that has begun: its head and the first piece came.
fn begin_echo(server: &Serving) -> Client {
    let mut client = server.connect();
    client.send(b"POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send_chunk(b"first");
    assert_eq!(client.head().status, 200);
    let mut piece = [0; 10];
    client.stream.read_exact(&mut piece).expect("a chunk");
    assert_eq!(&piece, b"5\r\nfirst\r\n");
    client
}

fn end_echo(client: &mut Client) {
    client.send_chunk(b"last");
    client.send(b"0\r\n\r\n");
    let mut rest = [0; 14];
    client.stream.read_exact(&mut rest).expect("the rest");
    assert_eq!(&rest, b"4\r\nlast\r\n0\r\n\r\n");
}

#[test]
fn guests_whose_bodies_came_already_take_turns_in_few_instances() {
    const CLIENTS: usize = 32;
    let server = Serving::start(HELLO, Options { reuse_count: 1000, ..Options::default() });
    let request = [
        b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 16384\r\n\r\n".as_slice(),
        &[b'x'; 16384],
    ]
    .concat();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(&request));
    for client in &mut clients {
        assert_eq!(client.reply().body, [b'x'; 16384]);
    }
    // A head that comes apart from its body begins at once.
    assert!(server.count(|counters| &counters.instances) < CLIENTS as u64 / 2);
}

#[test]
fn a_client_that_asks_before_it_sends_is_answered_without_its_body() {
    let server = Serving::start(HELLO, Options::default());
    for path in ["/count", "/echo"] {
        let mut client = server.connect();
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\n");
        client.send(format!("{head}content-length: 4\r\n\r\n").as_bytes());
        // The guest sends its head before it reads, so nobody says 100.
        assert_eq!(client.head().status, 200, "{path}");
    }
}

#[test]
fn refuses_requests_without_one_host() {
    let server = Serving::start(HELLO, Options::default());
    for head in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \u{fc}\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(head.as_bytes());
        assert_eq!(client.reply().status, 400, "{head:?}");
    }
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert_eq!(client.head().status, 200);
    let mut client = server.connect();
    client.send(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n");
    assert_eq!(client.reply().status, 501);
}

#[test]
fn refuses_what_is_no_http() {
    let server = Serving::start(HELLO, Options::default());
    let mut client = server.connect();
    client.send(b"\x16\x03\x01 hello?\r\n\r\n");
    assert_eq!(client.reply().status, 400);
    assert!(client.is_closed());
    // It is counted when the connection is done.
    while server.count(|counters| &counters.responses[3]) < 1 {
        std::thread::yield_now();
    }
}

#[test]
fn refuses_headers_beyond_the_limit() {
    let server = Serving::start(HELLO, Options { header_bytes_max: 10_000, ..Options::default() });
    let mut client = server.connect();
    let large = "x".repeat(9_000);
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\na: {large}\r\n\r\n").as_bytes());
    assert_eq!(client.reply().status, 200);
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\na: {large}{large}\r\n\r\n").as_bytes());
    assert_eq!(client.reply().status, 431);
    client.send(format!("GET /{large}?{large} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
    assert_eq!(client.reply().status, 431);
    // What does not even fit into the buffer of a connection.
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\na: {}", large.repeat(15)).as_bytes());
    assert_eq!(client.reply().status, 431);
    assert!(client.is_closed());
}

#[test]
fn refuses_bodies_beyond_the_limit() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options { body_bytes_max: 1000, ..Options::default() });
        assert_eq!(server.connect().post("/echo", &[b'x'; 1000]).body, [b'x'; 1000]);
        assert_eq!(server.connect().post("/echo", &[b'x'; 1001]).status, 413);
        // Without a length the guest finds out.
        let mut client = server.connect();
        client.send(b"POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send_chunk(&[b'x'; 900]);
        client.send_chunk(&[b'x'; 900]);
        let reply = client.reply();
        assert!(reply.body.len() <= 900, "{guest}: {reply:?}");
        // That of 0.3 would have to look at the result of the body, apart from its bytes.
        assert_eq!(reply.is_whole, guest == HELLO_03);
    }
}

#[test]
fn refuses_requests_beyond_the_limit() {
    let server = Serving::start(HELLO, Options { requests_max: 2, ..Options::default() });
    let (mut one, mut other) = (begin_echo(&server), begin_echo(&server));
    let refused = server.get("/");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(server.count(|counters| &counters.requests_active), 2);
    end_echo(&mut one);
    end_echo(&mut other);
    assert_eq!(one.get("/").status, 200);
}

#[test]
fn refuses_requests_when_instances_are_used_up() {
    // Eight slots, two for each instance, and five stacks: one for each, and a quarter more.
    let server = Serving::start(HELLO, Options { instances_max: 4, ..Options::default() });
    let mut held: Vec<Client> = (0..5).map(|_| begin_echo(&server)).collect();
    let refused = server.get("/");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    held.iter_mut().for_each(end_echo);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_request_waits_for_an_instance() {
    let server = Serving::start(HELLO, Options { instances_max: 4, ..Options::default() });
    let mut held: Vec<Client> = (0..5).map(|_| begin_echo(&server)).collect();
    let mut waiting = server.connect();
    waiting.send(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    while server.count(|counters| &counters.requests_active) < 6 {
        std::thread::yield_now();
    }
    held.iter_mut().for_each(end_echo);
    assert_eq!(waiting.reply().status, 200);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let server = Serving::start(HELLO, Options { connections_max: 1, ..Options::default() });
    let mut first = server.connect();
    assert_eq!(first.get("/").status, 200);
    let mut second = server.connect();
    second.send(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(first.get("/").status, 200);
    assert_eq!(server.count(|counters| &counters.responses[1]), 2);
    drop(first);
    assert_eq!(second.reply().status, 200);
}

#[test]
fn a_trap_fails_its_request_alone() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options { reuse_count: 100, ..Options::default() });
        let mut other = begin_echo(&server);
        let mut client = server.connect();
        assert_eq!(client.get("/trap").status, 500);
        assert_eq!(client.get("/count").text(), "1\n");
        end_echo(&mut other);
        assert_eq!(server.count(|counters| &counters.traps), 1);
        let report = server.end();
        let lines: Vec<&str> = report.stderr.lines().collect();
        assert_eq!(
            lines[0],
            "skiff: GET /trap: wasm trap: wasm `unreachable` instruction executed"
        );
        assert_eq!(lines[1], "wasm backtrace:");
        assert!(lines[2].starts_with("   0: "), "{lines:?}");
        assert_eq!(report.kind, EXITED);
    }
}

#[test]
fn a_trap_after_the_head_cuts_the_response() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options::default());
        let mut client = server.connect();
        let reply = client.get("/trap-after");
        assert_eq!((reply.status, reply.is_whole), (200, false), "{guest}");
        assert_eq!(reply.text(), "this is not all\n");
        assert!(client.is_closed());
        assert_eq!(server.get("/").status, 200);
        assert_eq!(server.count(|counters| &counters.traps), 1);
    }
}

#[test]
fn a_trap_fails_all_that_share_the_instance() {
    let options = Options { reuse_count: 100, reuse_concurrent: 2, ..Options::default() };
    let server = Serving::start(HELLO_03, options);
    let mut other = begin_echo(&server);
    assert_eq!(server.get("/trap").status, 500);
    assert!(!other.rest().ends_with(b"0\r\n\r\n"));
    assert_eq!(server.get("/count").text(), "1\n");
    assert_eq!(server.count(|counters| &counters.traps), 1);
}

/// A hundredth of many requests traps: exactly those fail.
fn trap_often(reuse_count: u32) {
    const THREADS: u64 = 4;
    const REQUESTS: u64 = 2_500;
    let server = Serving::start(HELLO, Options { reuse_count, ..Options::default() });
    let port = server.port;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(move || {
                let mut client = Client::connect(port).expect("the server listens");
                for number in 1..=REQUESTS {
                    let traps = number % 100 == 0;
                    let reply = client.get(if traps { "/trap" } else { "/" });
                    assert_eq!(reply.status, if traps { 500 } else { 200 });
                }
            });
        }
    });
    let all = THREADS * REQUESTS;
    assert_eq!(server.count(|counters| &counters.responses[1]), all - all / 100);
    assert_eq!(server.count(|counters| &counters.responses[4]), all / 100);
    assert_eq!(server.count(|counters| &counters.traps), all / 100);
    assert_eq!(server.end().kind, EXITED);
}

#[test]
fn exactly_the_requests_that_trap_fail_with_fresh_instances() {
    trap_often(1);
}

#[test]
fn exactly_the_requests_that_trap_fail_with_reused_instances() {
    trap_often(128);
}

#[test]
fn an_error_or_no_answer_is_500() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options { reuse_count: 9, ..Options::default() });
        let mut client = server.connect();
        assert_eq!(client.get("/error/oops").status, 500, "{guest}");
        if guest == HELLO {
            assert_eq!(client.get("/nothing").status, 500);
        }
        assert_eq!(client.get("/").status, 200);
        let report = server.end();
        assert!(
            report.stderr.starts_with("skiff: GET /error/oops: the guest answered with an error:")
        );
    }
}

#[test]
fn what_takes_too_long_is_504_in_shared_instances_too() {
    let (reuse_count, reuse_concurrent) = (100, 4);
    let options =
        Options { request_ms_max: 300, reuse_count, reuse_concurrent, ..Options::default() };
    let server = Serving::start(HELLO_03, options);
    let mut spinning = server.connect();
    spinning.send(b"GET /spin HTTP/1.1\r\nhost: test\r\n\r\n");
    while server.count(|counters| &counters.requests_active) < 1 {
        std::thread::yield_now();
    }
    assert_eq!(server.get("/").status, 200);
    assert_eq!(spinning.reply().status, 504);
    assert_eq!(server.get("/sleep/60000").status, 504);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn what_takes_too_long_is_504_and_others_go_on() {
    for guest in [HELLO, HELLO_03] {
        let options = Options { request_ms_max: 300, reuse_count: 9, ..Options::default() };
        let server = Serving::start(guest, options);
        let mut spinning = server.connect();
        spinning.send(b"GET /spin HTTP/1.1\r\nhost: test\r\n\r\n");
        let mut sleeping = server.connect();
        sleeping.send(b"GET /sleep/60000 HTTP/1.1\r\nhost: test\r\n\r\n");
        while server.count(|counters| &counters.requests_active) < 2 {
            std::thread::yield_now();
        }
        assert_eq!(server.get("/").status, 200);
        assert_eq!((spinning.reply().status, sleeping.reply().status), (504, 504), "{guest}");
        // Both instances are gone.
        assert_eq!(spinning.get("/count").text(), "2\n");
    }
}

#[test]
fn idle_connections_are_closed() {
    let server = Serving::start(HELLO, Options { idle_ms_max: 100, ..Options::default() });
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.send(b"GET / HTTP/1.1\r\n");
    let mut served = server.connect();
    assert_eq!(served.get("/").status, 200);
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    assert!(served.is_closed());
}

#[test]
fn a_client_that_stops_sending_or_reading_is_given_up() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options { idle_ms_max: 100, ..Options::default() });
        let mut sends_nothing = begin_echo(&server);
        let mut reads_nothing = server.connect();
        reads_nothing.send(b"GET /bytes/100000000 HTTP/1.1\r\nhost: test\r\n\r\n");
        // As above, that of 0.3 takes it for the end.
        assert_eq!(sends_nothing.rest().ends_with(b"0\r\n\r\n"), guest == HELLO_03);
        while server.count(|counters| &counters.requests_active) > 0 {
            std::thread::yield_now();
        }
        assert!(!reads_nothing.reply().is_whole);
    }
}

#[test]
fn bodies_stream_in_bounded_memory() {
    const PIECES: usize = 640;
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options::default());
        // What the guest needs at all is there after this.
        assert_eq!(server.connect().post("/echo", &[b'x'; 70_000]).body.len(), 70_000);
        let before = server.status_kb("VmHWM");
        let mut client = server.connect();
        let mut stream = client.stream.get_ref().try_clone().expect("a descriptor");
        let piece = vec![b'y'; 65_536];
        let reply = std::thread::scope(|scope| {
            scope.spawn(|| {
                let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).expect("the server reads");
                for _ in 0..PIECES {
                    stream.write_all(b"10000\r\n").expect("the server reads");
                    stream.write_all(&piece).expect("the server reads");
                    stream.write_all(b"\r\n").expect("the server reads");
                }
                stream.write_all(b"0\r\n\r\n").expect("the server reads");
            });
            client.reply()
        });
        assert_eq!((reply.body.len(), reply.is_whole), (PIECES * 65_536, true), "{guest}");
        assert!(reply.body.iter().all(|byte| *byte == b'y'));
        let grown = server.status_kb("VmHWM") - before;
        assert!(grown < 8 * 1024, "{guest}: grown by {grown} kB");
        let bytes = (PIECES * 65_536 + 70_000) as u64;
        assert_eq!(server.count(|counters| &counters.received_bytes), bytes);
        assert_eq!(server.count(|counters| &counters.sent_bytes), bytes);
    }
}

#[test]
fn trailers_follow_the_body() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options::default());
        let mut client = server.connect();
        client.send(b"GET /trailers HTTP/1.1\r\nhost: test\r\nte: trailers\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.text(), reply.header("x-sum")), ("12 and 30\n", Some("42")), "{guest}");
    }
}

#[test]
fn a_head_alone_is_answered_without_body() {
    let server = Serving::start(HELLO, Options::default());
    let mut client = server.connect();
    client.send(b"HEAD / HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.get("/").text(), "Hello from Skiff!\n");
}

#[test]
fn one_memory_limit_holds_for_all_instances() {
    let options = Options { memory_bytes_max: 32 << 20, ..Options::default() };
    let server = Serving::start(HELLO, options);
    assert_eq!(server.get("/grow/20").status, 200);
    assert_eq!(server.get("/grow/40").status, 507);
    let report = server.end();
    assert_eq!(report.kind, EXITED);
    assert!(report.bytes_refused > 32 << 20 && report.bytes_peak <= 32 << 20, "{report:?}");
    assert!(report.bytes_peak > 20 << 20, "{report:?}");
}

#[test]
fn what_is_in_flight_is_finished_after_the_stop() {
    for guest in [HELLO, HELLO_03] {
        let server = Serving::start(guest, Options { drain_ms: 300, ..Options::default() });
        let mut held = begin_echo(&server);
        let mut idle = server.connect();
        assert_eq!(idle.get("/").header("connection"), None);
        server.order_stop();
        // New connections are served, and each is told that it is the last time.
        while server.get("/").header("connection") != Some("close") {}
        assert_eq!(idle.get("/").header("connection"), Some("close"));
        assert!(idle.is_closed());
        while Client::connect(server.port).is_ok_and(|mut client| client.try_get()) {}
        end_echo(&mut held);
        let report = server.end();
        assert_eq!((report.kind, report.exit_code), (EXITED, 0));
    }
}

#[test]
fn a_drain_leaves_time_for_what_is_in_flight() {
    // Half of what the stop leaves, and not an hour.
    let options = Options { drain_ms: 3_600_000, drain_share: 2, ..Options::default() };
    let server = Serving::start(HELLO, options);
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 200);
    server.order_stop_within(3000);
    assert_eq!(server.get("/").header("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(server.end().kind, EXITED);
}

#[test]
fn a_server_without_requests_ends_at_once() {
    let server = Serving::start(HELLO, Options::default());
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, 200);
    assert_eq!(server.end().kind, EXITED);
    assert!(idle.is_closed());
}
