//! What guests may reach: sockets of WASI 0.2 and 0.3, HTTP from servers, and `wasi_experimental_http`, with real
//! peers.

#[path = "support/server.rs"]
mod server;
#[path = "support/serving.rs"]
mod serving;
mod support;

use server::Server;
use serving::{Options, Serving};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use support::*;

const SOCKETS: [(u32, &str); 4] =
    [(WASMTIME, "sockets"), (WASMTIME, "sockets-03"), (PULLEY, "sockets"), (PULLEY, "sockets-03")];

fn args(args: &[&dyn ToString]) -> Vec<String> {
    args.iter().map(|arg| arg.to_string()).collect()
}

fn granted(network: Network, flags: u32) -> Grant {
    Grant { network, flags, ..Grant::default() }
}

fn egress(egress: u32, rules: &[(&'static str, u16)]) -> Grant {
    granted(Network { egress, rules: rules.to_vec(), ..Network::default() }, 0)
}

/// Answers connections with what they say, as long as the test lives; at both addresses that `localhost` may have.
fn tcp_echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    for listener in [Some(listener), TcpListener::bind(("::1", port)).ok()].into_iter().flatten() {
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
    }
    port
}

fn udp_echo() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = socket.local_addr().expect("a bound socket").port();
    for socket in [Some(socket), UdpSocket::bind(("::1", port)).ok()].into_iter().flatten() {
        thread::spawn(move || {
            let mut datagram = [0; 2048];
            while let Ok((size, from)) = socket.recv_from(&mut datagram) {
                let _ = socket.send_to(&datagram[..size], from);
            }
        });
    }
    port
}

#[test]
fn sockets_reach_what_the_rules_say() {
    let (tcp, udp) = (tcp_echo(), udp_echo());
    for (runtime, guest) in SOCKETS {
        for (kind, port) in [("tcp", tcp), ("udp", udp)] {
            let call = |host: &str| args(&[&kind, &host, &port, &"a message"]);
            let allowed = [
                ("127.0.0.1", egress(EVERYTHING, &[])),
                ("127.0.0.1", egress(LISTED, &[("127.0.0.1", 0)])),
                ("127.0.0.1", egress(LISTED, &[("127.0.0.1", port)])),
                ("localhost", egress(EVERYTHING, &[])),
                // By the answer of the guest's own look-up.
                ("localhost", egress(LISTED, &[("localhost", port)])),
            ];
            for (host, grant) in allowed {
                let what = format!("{runtime} {guest} {kind} {host} {:?}", grant.network.rules);
                let report = run_guest_on(runtime, guest, &call(host), grant);
                assert_eq!(report.stdout, "a message\n", "{what}: {report:?}");
                assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{what}: {report:?}");
                assert_eq!(report.denied, 0, "{what}");
            }
            let denied = [
                ("127.0.0.1", egress(LISTED, &[("127.0.0.2", 0)])),
                ("127.0.0.1", egress(LISTED, &[("127.0.0.1", port ^ 1)])),
                // A rule by name is none for an address that nobody looked up.
                ("127.0.0.1", egress(LISTED, &[("localhost", 0)])),
                ("localhost", egress(LISTED, &[("127.0.0.1", 0)])),
                ("localhost", egress(LISTED, &[("localhost", port ^ 1)])),
                ("169.254.169.254", egress(EVERYTHING, &[])),
                ("127.0.0.1", granted(Network::default(), MAY_LISTEN)),
                ("localhost", granted(Network::default(), MAY_LISTEN)),
            ];
            for (host, grant) in denied {
                let what = format!("{runtime} {guest} {kind} {host} {:?}", grant.network.rules);
                let report = run_guest_on(runtime, guest, &call(host), grant);
                assert_eq!((report.kind, report.exit_code), (EXITED, 1), "{what}: {report:?}");
                assert!(report.stderr.ends_with(": access-denied\n"), "{what}: {report:?}");
                assert!(report.denied >= 1, "{what}: {report:?}");
            }
            // Without egress and listening there are no sockets at all.
            let report = run_guest_on(runtime, guest, &call("127.0.0.1"), Grant::default());
            assert!(
                report.stderr.ends_with(": access-denied\n"),
                "{runtime} {guest} {kind}: {report:?}"
            );
        }
    }
}

#[test]
fn look_ups_need_a_rule() {
    for (runtime, guest) in SOCKETS {
        let report = run_guest_on(
            runtime,
            guest,
            &args(&[&"lookup", &"localhost"]),
            egress(EVERYTHING, &[]),
        );
        assert!(report.stdout.contains("127.0.0.1\n"), "{runtime} {guest}: {report:?}");
        let listed = egress(LISTED, &[("*.example.com", 0)]);
        let report = run_guest_on(runtime, guest, &args(&[&"lookup", &"localhost"]), listed);
        assert_eq!(report.stderr, "lookup: access-denied\n", "{runtime} {guest}: {report:?}");
        assert_eq!(report.denied, 1);
        let report =
            run_guest_on(runtime, guest, &args(&[&"lookup", &"localhost"]), Grant::default());
        assert_eq!(report.stderr, "lookup: access-denied\n", "{runtime} {guest}: {report:?}");
    }
}

/// Says hello to a guest that listens, once it has said where, and wants to hear the same.
fn greet(kind: &'static str) -> Box<dyn Fn(&str)> {
    Box::new(move |text| {
        let Some(address) = text.strip_prefix("listening on ") else { return };
        let port = address.trim().rsplit(':').next().expect("ADDRESS:PORT");
        let to = format!("127.0.0.1:{port}");
        let mut echo = [0; 5];
        if kind == "tcp-listen" {
            let mut peer = TcpStream::connect(to).expect("a listener");
            peer.write_all(b"hello").expect("an open connection");
            peer.read_exact(&mut echo).expect("an answer");
        } else {
            let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            peer.send_to(b"hello", to).expect("a listener");
            peer.recv_from(&mut echo).expect("an answer");
        }
        assert_eq!(&echo, b"hello");
    })
}

#[test]
fn listening_is_a_right() {
    for (runtime, guest) in SOCKETS {
        for (kind, port) in [("tcp-listen", 0), ("tcp-listen", 4242), ("udp-listen", 4242)] {
            // Also for a guest that may reach everything.
            let call = args(&[&kind, &port, &1]);
            let report = run_guest_on(runtime, guest, &call, egress(EVERYTHING, &[]));
            let refused = report.stderr.ends_with(": access-denied\n");
            assert!(refused && report.denied == 1, "{runtime} {guest} {kind} {port}: {report:?}");
        }
        // A datagram's sender has to be reached as well, a connection's has not.
        for (kind, reach) in [("tcp-listen", NOTHING), ("udp-listen", EVERYTHING)] {
            let network = Network { egress: reach, ..Network::default() };
            let mut grant = granted(network, MAY_LISTEN);
            grant.heard = Some(greet(kind));
            let report = run_guest_on(runtime, guest, &args(&[&kind, &0, &1]), grant);
            assert_eq!(
                (report.kind, report.exit_code),
                (EXITED, 0),
                "{runtime} {guest}: {report:?}"
            );
            assert!(report.stdout.ends_with("echoed 5 bytes\n"), "{runtime} {guest}: {report:?}");
            assert_eq!(report.denied, 0);
        }
    }
}

/// Krustlet's: a mode, its hosts, and what egress says.
fn krustlets(mode: u32, hosts: &[&'static str], egress: u32) -> Grant {
    let network = Network {
        egress,
        http_mode: mode,
        http_mode_set: mode != NOTHING,
        http_hosts: hosts.to_vec(),
        ca_file: Some("tests/tls/ca.pem"),
        ..Network::default()
    };
    granted(network, 0)
}

#[test]
fn core_modules_fetch() {
    let url = |server: &Server, path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    let server = Server::plain();
    let all = || krustlets(EVERYTHING, &[], EVERYTHING);
    let report = run_guest("core-http", &args(&[&url(&server, "/hello")]), all());
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    let lines: Vec<&str> = report.stdout.lines().collect();
    assert_eq!((lines[0], lines[2], lines[3]), ("status 200", "content-type text/plain", "hello"));
    assert_eq!((report.outgoing, report.denied), (1, 0));

    let echo = args(&[&url(&server, "/echo"), &"POST", &"a body"]);
    let report = run_guest("core-http", &echo, all());
    assert!(report.stdout.ends_with("\na body"), "{report:?}");
    assert!(report.stdout.contains("\nno content-type\n"), "{report:?}");
    let seen = run_guest("core-http", &args(&[&url(&server, "/request")]), all()).stdout;
    let host = format!("\nhost: 127.0.0.1:{}\n", server.port);
    assert!(seen.contains("GET HTTP/1.1\n") && seen.contains(&host), "{seen}");
    assert!(seen.contains("\nx-guest: core-http\n"), "{seen}");
    let report = run_guest("core-http", &args(&[&url(&server, "/bytes/1000000")]), all());
    assert_eq!(report.stdout.matches('x').count(), 1_000_000);
    let report = run_guest("core-http", &args(&[&url(&server, "/cut")]), all());
    assert_eq!(report.stderr, "body_read: error 11\n", "{report:?}");

    let report = run_guest("core-http", &args(&[&url(&server, "/to/hello")]), all());
    assert!(report.stdout.ends_with("\nhello"), "{report:?}");
    assert_eq!(report.outgoing, 2);

    let tls = Server::tls(&[b"h2", b"http/1.1"]);
    let https = format!("https://localhost:{}/request", tls.port);
    let report = run_guest("core-http", &args(&[&https]), all());
    assert!(report.stdout.contains("GET HTTP/2.0\n"), "{report:?}");
}

#[test]
fn core_modules_fetch_from_listed_hosts_only() {
    let server = Server::plain();
    let url = format!("http://127.0.0.1:{}/hello", server.port);
    let cases = [
        (krustlets(NOTHING, &[], EVERYTHING), false),
        (krustlets(LISTED, &[], EVERYTHING), false),
        (krustlets(LISTED, &["localhost"], EVERYTHING), false),
        (krustlets(LISTED, &["localhost", "127.0.0.1"], EVERYTHING), true),
        (krustlets(EVERYTHING, &[], NOTHING), false),
        (krustlets(EVERYTHING, &[], EVERYTHING), true),
    ];
    let mut reached = 0;
    for (grant, allowed) in cases {
        let what = format!("{} {:?}", grant.network.http_mode, grant.network.http_hosts);
        let report = run_guest("core-http", &args(&[&url]), grant);
        if allowed {
            reached += 1;
            assert!(report.stdout.starts_with("status 200\n"), "{what}: {report:?}");
        } else {
            assert_eq!(report.stderr, "req: error 7\n", "{what}: {report:?}");
        }
        assert_eq!(report.denied, u64::from(!allowed), "{what}");
        assert_eq!(server.connections(), reached, "{what}");
    }
}

#[test]
fn core_modules_see_what_went_wrong() {
    let all = || krustlets(EVERYTHING, &[], EVERYTHING);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (call, number) in [
        (args(&[&format!("http://{closed}/")]), 11),
        (args(&[&"http://nowhere.invalid/"]), 11),
        (args(&[&"not a url"]), 10),
        (args(&[&"/path/only"]), 10),
        (args(&[&"http://127.0.0.1/", &"NOT A METHOD"]), 8),
    ] {
        let report = run_guest("core-http", &call, all());
        assert_eq!(report.stderr, format!("req: error {number}\n"), "{call:?} {report:?}");
    }
    // Open responses are bounded.
    let server = Server::plain();
    let url = format!("http://127.0.0.1:{}/hello", server.port);
    let mut grant = all();
    grant.network.http_requests_max = 3;
    let report = run_guest("core-http", &args(&[&"--keep", &4, &url]), grant);
    assert_eq!(report.stdout.matches("status 200").count(), 3, "{report:?}");
    assert_eq!(report.stderr, "req: error 13\n");
}

/// Other engines call the same functions.
#[test]
fn core_modules_fetch_in_interpreters() {
    let server = Server::plain();
    let url = format!("http://127.0.0.1:{}/hello", server.port);
    for runtime in [PULLEY, WASMI] {
        let all = krustlets(EVERYTHING, &[], EVERYTHING);
        let report = run_guest_on(runtime, "core-http", &args(&[&url]), all);
        assert!(report.stdout.ends_with("\nhello"), "{report:?}");
        let none = krustlets(NOTHING, &[], EVERYTHING);
        let report = run_guest_on(runtime, "core-http", &args(&[&url]), none);
        assert_eq!((report.stderr.as_str(), report.denied), ("req: error 7\n", 1), "{report:?}");
    }
}

#[test]
fn servers_fetch() {
    let peer = Server::plain();
    let fetch = |path: &str| format!("/fetch?url=http://127.0.0.1:{}{path}", peer.port);
    let guests = ["http-hello", "http-hello-03"];
    for (runtime, guest) in [WASMTIME, PULLEY].map(|r| guests.map(|guest| (r, guest))).concat() {
        let open = Options { runtime, egress: EVERYTHING, ..Options::default() };
        let open = Serving::start(guest, open);
        let reply = open.get(&fetch("/hello"));
        assert_eq!((reply.status, reply.text()), (200, "hello"), "{runtime} {guest}: {reply:?}");
        let reply = open.connect().post(&fetch("/echo"), &[b'x'; 200_000]);
        assert_eq!((reply.status, reply.body.len()), (200, 200_000), "{runtime} {guest}");
        assert_eq!(open.count(|counters| &counters.outgoing), 2);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let reply = open.get(&format!("/fetch?url=http://{closed}/"));
        assert_eq!(reply.status, 502, "{runtime} {guest}");
        assert!(
            reply.text().to_lowercase().contains("connection-refused"),
            "{runtime} {guest}: {reply:?}"
        );
        let before = peer.connections();
        let shut = Serving::start(guest, Options { runtime, ..Options::default() });
        let reply = shut.get(&fetch("/hello"));
        assert_eq!(reply.status, 502, "{runtime} {guest}");
        assert!(
            reply.text().to_lowercase().contains("request-denied"),
            "{runtime} {guest}: {reply:?}"
        );
        assert_eq!(shut.count(|counters| &counters.denied), 1);
        assert_eq!(peer.connections(), before);
    }
}
