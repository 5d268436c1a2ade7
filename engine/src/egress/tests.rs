use super::*;
use crate::grant::Counters;
use std::sync::Arc;

fn name(name: &str, port: u16) -> EgressRule {
    let to = Destination::Name(name.to_owned());
    EgressRule { to, port: (port != 0).then_some(port) }
}

fn network(network: &str, port: u16) -> EgressRule {
    let (address, length) = network.split_once('/').expect("ADDRESS/BITS");
    let address: IpAddr = address.parse().expect("an address");
    let before = if address.is_ipv4() { 96 } else { 0 };
    let prefix_bits = before + length.parse::<u32>().expect("a number");
    let to = Destination::Network { address: bits(address), prefix_bits };
    EgressRule { to, port: (port != 0).then_some(port) }
}

fn hosts(reach: Reach, hosts: &[&str], narrow_all: bool) -> HttpHosts {
    HttpHosts { reach, hosts: hosts.iter().map(|host| host.to_string()).collect(), narrow_all }
}

fn policy(reach: Reach, rules: Vec<EgressRule>, http: HttpHosts, may_listen: bool) -> Policy {
    let counters = CountersRef::own(Arc::new(Counters::default()));
    Policy::new(Egress { reach, rules }, http, may_listen, counters)
}

fn listed(rules: Vec<EgressRule>) -> Policy {
    policy(Reach::Listed, rules, hosts(Reach::Nothing, &[], false), false)
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("ADDRESS:PORT")
}

fn connects(policy: &Policy, to: &str) -> bool {
    policy.check(at(to), SocketAddrUse::TcpConnect)
}

fn denied(policy: &Policy) -> u64 {
    policy.counters.denied.load(Ordering::Relaxed)
}

#[test]
fn addresses_match_networks() {
    let cases = [
        ("10.0.0.0/8", 0, "10.1.2.3:80", true),
        ("10.0.0.0/8", 0, "11.1.2.3:80", false),
        ("10.0.0.0/8", 443, "10.1.2.3:443", true),
        ("10.0.0.0/8", 443, "10.1.2.3:80", false),
        ("10.0.0.0/8", 0, "[::ffff:10.1.2.3]:80", true),
        ("10.0.0.0/8", 0, "[::a01:203]:80", false),
        ("192.0.2.7/32", 0, "192.0.2.7:80", true),
        ("192.0.2.7/32", 0, "192.0.2.6:80", false),
        ("0.0.0.0/0", 0, "203.0.113.1:80", true),
        ("0.0.0.0/0", 0, "[2001:db8::1]:80", false),
        ("::/0", 0, "[2001:db8::1]:80", true),
        // As in a NetworkPolicy: a network of one family says nothing of the other.
        ("::/0", 0, "203.0.113.1:80", false),
        ("::/64", 0, "203.0.113.1:80", false),
        ("::/0", 0, "[::ffff:203.0.113.1]:80", false),
        ("::ffff:0:0/96", 0, "203.0.113.1:80", true),
        ("2001:db8::/32", 0, "[2001:db8:1::1]:80", true),
        ("2001:db8::/32", 0, "[2001:db9::1]:80", false),
        ("2001:db8::/127", 0, "[2001:db8::1]:80", true),
        ("2001:db8::/127", 0, "[2001:db8::2]:80", false),
    ];
    for (rule, port, to, allowed) in cases {
        let policy = listed(vec![network(rule, port)]);
        assert_eq!(connects(&policy, to), allowed, "{rule} port {port}: {to}");
        assert_eq!(denied(&policy), u64::from(!allowed));
    }
}

#[test]
fn metadata_addresses_need_a_rule_of_their_own() {
    for (address, of_all) in [("169.254.169.254:80", "0.0.0.0/0"), ("[fd00:ec2::254]:80", "::/0")] {
        let own = at(address).ip().to_string();
        let exact = network(&format!("{own}/{}", if own.contains(':') { 128 } else { 32 }), 80);
        let everything = |rules| {
            let http = hosts(Reach::Everything, &[], false);
            policy(Reach::Everything, rules, http, true)
        };
        for (policy, allowed) in [
            (everything(vec![]), false),
            (everything(vec![exact.clone()]), true),
            (listed(vec![network(of_all, 0)]), false),
            (listed(vec![network(of_all, 0), exact.clone()]), true),
        ] {
            assert_eq!(connects(&policy, address), allowed, "{address}");
            let route = policy.route("metadata.example", 80, false);
            assert_eq!(policy.may_follow(route, at(address)), allowed, "{address} by a name");
        }
        // A rule by name is none for the address, whatever DNS says.
        let policy = listed(vec![name("metadata.example", 0)]);
        policy.learn("metadata.example", at(address).ip());
        assert!(!connects(&policy, address));
        assert!(!policy.may_follow(policy.route("metadata.example", 80, false), at(address)));
    }
    let mapped = policy(Reach::Everything, vec![], hosts(Reach::Nothing, &[], false), false);
    assert!(!connects(&mapped, "[::ffff:169.254.169.254]:80"));
}

#[test]
fn names_match_without_case_and_below_a_star() {
    let cases = [
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com", true),
        ("example.com", "example.com.", true),
        ("example.com.", "example.com", true),
        ("example.com", "a.example.com", false),
        ("example.com", "badexample.com", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.example.com", "badexample.com", false),
        ("*.example.com", "a%2f.example.com", false),
        ("example.com", "", false),
        ("example.com", ".", false),
    ];
    for (rule, host, allowed) in cases {
        let policy = listed(vec![name(rule, 0)]);
        assert_eq!(policy.may_look_up(host), allowed, "{rule}: {host}");
        assert_eq!(denied(&policy), u64::from(!allowed));
        let route = if allowed { Route::ByName } else { Route::Denied };
        assert_eq!(policy.route(host, 80, false), route, "{rule}: {host}");
    }
    let long = format!("{}.example.com", "a".repeat(253));
    assert!(!listed(vec![name("*.example.com", 0)]).may_look_up(&long));
}

#[test]
fn looked_up_addresses_are_reached_by_the_rules_of_their_name() {
    let policy = listed(vec![name("db.example", 5432), name("other.example", 0)]);
    let address = at("198.51.100.1:5432").ip();
    assert!(!connects(&policy, "198.51.100.1:5432"));
    policy.learn("DB.example.", address);
    assert!(connects(&policy, "198.51.100.1:5432"));
    assert!(!connects(&policy, "198.51.100.1:80"));
    assert!(!connects(&policy, "198.51.100.2:5432"));
    policy.learn("other.example", address);
    assert!(connects(&policy, "198.51.100.1:80"));
    // What no rule covers is not learned by a literal, nor by a stranger's name.
    policy.learn("198.51.100.9", at("198.51.100.9:1").ip());
    policy.learn("stranger.example", at("198.51.100.9:1").ip());
    assert!(!connects(&policy, "198.51.100.9:80"));
}

#[test]
fn old_answers_are_forgotten() {
    let policy = listed(vec![name("*.example", 0)]);
    let answer = |number: u32| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number));
    for number in 0..=LEARNED_MAX as u32 {
        policy.learn("first.example", answer(0));
        policy.learn("many.example", answer(number + 1));
    }
    assert_eq!(policy.learned.lock().unwrap().len(), LEARNED_MAX);
    assert!(policy.may_reach(SocketAddr::new(answer(0), 80)), "it was asked for again and again");
    assert!(!policy.may_reach(SocketAddr::new(answer(1), 80)));
    assert!(policy.may_reach(SocketAddr::new(answer(LEARNED_MAX as u32), 80)));
}

#[test]
fn binding_needs_the_right_to_listen() {
    use SocketAddrUse::*;
    let cases = [
        (TcpBind, "0.0.0.0:0", true),
        (TcpBind, "[::]:0", true),
        (TcpBind, "0.0.0.0:80", false),
        (TcpBind, "127.0.0.1:0", false),
        (TcpListen, "0.0.0.0:0", false),
        (TcpAccept, "192.0.2.1:1234", false),
        (UdpBind, "0.0.0.0:0", true),
        (UdpBind, "0.0.0.0:53", false),
        (UdpReceive, "192.0.2.1:53", false),
    ];
    for (to, address, allowed) in cases {
        let closed = listed(vec![network("198.51.100.0/24", 0)]);
        assert_eq!(closed.check(at(address), to), allowed, "{to:?} {address}");
        let open = policy(Reach::Nothing, vec![], hosts(Reach::Nothing, &[], false), true);
        assert!(open.check(at(address), to), "{to:?} {address} of a listener");
        assert!(!open.check(at("198.51.100.1:80"), TcpConnect));
        assert!(!open.check(at("198.51.100.1:80"), UdpSend));
    }
    let closed = listed(vec![network("198.51.100.0/24", 0)]);
    assert!(closed.check(at("198.51.100.1:53"), UdpReceive));
    assert!(!closed.check(at("192.0.2.1:53"), UdpReceive));
    assert_eq!(denied(&closed), 0, "a stranger's datagram is no fault of the guest");
}

#[test]
fn without_egress_there_is_nothing() {
    let none = |may_listen| {
        policy(Reach::Nothing, vec![], hosts(Reach::Everything, &[], false), may_listen)
    };
    assert!(!none(false).has_sockets());
    assert!(none(true).has_sockets());
    assert!(!none(true).may_look_up("example.com"));
    assert!(!none(true).may_look_up("127.0.0.1"));
    assert_eq!(none(true).route("example.com", 80, true), Route::Denied);
}

#[test]
fn http_hosts_narrow_what_egress_allows() {
    let all = |http| policy(Reach::Everything, vec![], http, false);
    // Mode, hosts, whether the user gave them; host; route of wasi:http, of Krustlet's.
    let cases: [(Reach, &[&str], bool, &str, Route, Route); 10] = [
        (Reach::Nothing, &[], false, "a.example", Route::ByName, Route::Denied),
        (Reach::Nothing, &[], true, "a.example", Route::Denied, Route::Denied),
        (Reach::Listed, &["a.example"], true, "A.example", Route::ByName, Route::ByName),
        (Reach::Listed, &["a.example"], true, "b.example", Route::Denied, Route::Denied),
        (Reach::Listed, &["a.example"], true, "b.a.example", Route::Denied, Route::Denied),
        (Reach::Listed, &["a.example"], false, "b.example", Route::ByName, Route::Denied),
        (Reach::Listed, &["192.0.2.1"], true, "192.0.2.1", Route::ByName, Route::ByName),
        (Reach::Listed, &["::1"], true, "[::1]", Route::ByName, Route::ByName),
        (Reach::Listed, &["192.0.2.1"], true, "192.0.2.2", Route::Denied, Route::Denied),
        (Reach::Everything, &[], true, "a.example", Route::ByName, Route::ByName),
    ];
    for (mode, list, narrow_all, host, wasi, krustlets) in cases {
        let policy = all(hosts(mode, list, narrow_all));
        assert_eq!(policy.route(host, 80, false), wasi, "{mode:?} {list:?} {host}");
        assert_eq!(policy.route(host, 80, true), krustlets, "{mode:?} {list:?} {host}");
    }
    let http = hosts(Reach::Listed, &["a.example", "b.example"], true);
    let both = policy(Reach::Listed, vec![name("b.example", 443)], http, false);
    assert_eq!(both.route("a.example", 443, true), Route::Denied, "egress lacks it");
    assert_eq!(both.route("b.example", 443, true), Route::ByName);
    assert_eq!(both.route("b.example", 80, true), Route::Denied);
}

#[test]
fn http_by_address_is_checked_after_the_look_up() {
    let policy = listed(vec![network("10.0.0.0/8", 80)]);
    let route = policy.route("rebinding.example", 80, false);
    assert_eq!(route, Route::ByAddress);
    assert!(policy.may_follow(route, at("10.0.0.1:80")));
    assert!(!policy.may_follow(route, at("127.0.0.1:80")));
    assert_eq!(policy.route("rebinding.example", 81, false), Route::Denied, "no rule has the port");
    assert_eq!(policy.route("10.9.9.9", 80, false), Route::ByAddress);
    assert_eq!(policy.route("127.0.0.1", 80, false), Route::Denied);
    assert_eq!(policy.route("[::ffff:10.9.9.9]", 80, false), Route::ByAddress);
}
