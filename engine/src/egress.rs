//! Where a guest may connect to: the rules of the grant, applied to addresses, to names and to HTTP hosts.

use crate::grant::{CountersRef, Destination, Egress, EgressRule, HttpHosts, Reach};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use wasmtime_wasi::sockets::SocketAddrUse;

/// How many answers of name look-ups are remembered; the oldest go first.
const LEARNED_MAX: usize = 1024;
/// The longest name that DNS has.
const NAME_BYTES_MAX: usize = 253;

/// What comes before an IPv4 address that is mapped to IPv6.
const MAPPED_BITS: u32 = 96;

/// Where clouds answer with a machine's credentials: a guest reaches them by a rule for exactly this address only.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// What a host name of an HTTP request is allowed to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nothing; the name is not even looked up.
    Denied,
    /// Every address of the name.
    ByName,
    /// Those addresses that a rule names.
    ByAddress,
}

/// The rules of one guest, and what its look-ups were told.
pub struct Policy {
    egress: Egress,
    hosts: HttpHosts,
    may_listen: bool,
    counters: CountersRef,
    learned: Mutex<VecDeque<(IpAddr, String)>>,
}

/// A name without what makes no difference. None: no name that a rule may cover.
fn plain(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
    // The resolver would decode an escape after we compared.
    let usable = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('%');
    usable.then_some(name)
}

/// An address written down, with or without the brackets of a URL.
pub fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl EgressRule {
    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }

    /// `name` is a plain one.
    fn names(&self, name: &str) -> bool {
        let Destination::Name(rule) = &self.to else { return false };
        match rule.strip_prefix("*.") {
            Some(domain) => name
                .strip_suffix(domain)
                .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
            None => rule.strip_suffix('.').unwrap_or(rule) == name,
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        let Destination::Network { address: network, prefix_bits } = self.to else { return false };
        // IPv4 lies within IPv6 by our way of writing it alone: `::/0` does not mean it.
        if address.is_ipv4() && prefix_bits < MAPPED_BITS {
            return false;
        }
        // A prefix of no bits: everything.
        let mask = u128::MAX.checked_shl(128 - prefix_bits.min(128)).unwrap_or(0);
        (bits(address) ^ network) & mask == 0
    }

    fn is_exactly(&self, address: IpAddr) -> bool {
        let one = matches!(self.to, Destination::Network { prefix_bits: 128, .. });
        one && self.holds(address)
    }
}

impl Policy {
    pub fn new(
        egress: Egress,
        hosts: HttpHosts,
        may_listen: bool,
        counters: CountersRef,
    ) -> Policy {
        Policy { egress, hosts, may_listen, counters, learned: Mutex::default() }
    }

    /// Whether there are sockets at all.
    pub fn has_sockets(&self) -> bool {
        self.may_listen || self.egress.reach != Reach::Nothing
    }

    pub fn count_denied(&self) {
        self.counters.denied.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_outgoing(&self) {
        self.counters.outgoing.fetch_add(1, Ordering::Relaxed);
    }

    fn any_rule(&self, port: u16, fits: impl Fn(&EgressRule) -> bool) -> bool {
        self.egress.rules.iter().any(|rule| rule.has_port(port) && fits(rule))
    }

    /// Whether the rules that name addresses allow this one.
    fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        match self.egress.reach {
            Reach::Nothing => false,
            Reach::Everything => true,
            Reach::Listed => self.any_rule(port, |rule| rule.holds(address)),
        }
    }

    fn is_withheld(&self, address: IpAddr, port: u16) -> bool {
        METADATA.contains(&address) && !self.any_rule(port, |rule| rule.is_exactly(address))
    }

    /// Whether a socket may connect or send to the address.
    fn may_reach(&self, to: SocketAddr) -> bool {
        let (address, port) = (to.ip().to_canonical(), to.port());
        if self.egress.reach == Reach::Nothing || self.is_withheld(address, port) {
            return false;
        }
        let by_name = || {
            let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
            let mut names = learned.iter().filter(|(known, _)| *known == address);
            names.any(|(_, name)| self.any_rule(port, |rule| rule.names(name)))
        };
        self.allows_address(address, port) || by_name()
    }

    /// Whether a socket may be used so; refusals are counted.
    pub fn check(&self, address: SocketAddr, to: SocketAddrUse) -> bool {
        let allowed = match to {
            // Also the bind to no address and no port that is part of a connect.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
                self.may_listen || address.ip().is_unspecified() && address.port() == 0
            }
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => self.may_listen,
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => self.may_reach(address),
            // Strangers send what they like: no fault of the guest.
            SocketAddrUse::UdpReceive => return self.may_listen || self.may_reach(address),
        };
        let binds = matches!(to, SocketAddrUse::UdpBind) && address.port() != 0;
        if !allowed {
            self.count_denied();
        } else if binds || matches!(to, SocketAddrUse::TcpListen) {
            self.counters.listens.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    /// Whether a socket's guest may look the name up; refusals are counted.
    pub fn may_look_up(&self, name: &str) -> bool {
        let allowed = match self.egress.reach {
            Reach::Nothing => false,
            Reach::Everything => true,
            // An address is its own answer: nobody is asked.
            Reach::Listed => {
                literal(name).is_some()
                    || plain(name)
                        .is_some_and(|name| self.egress.rules.iter().any(|rule| rule.names(&name)))
            }
        };
        if !allowed {
            self.count_denied();
        }
        allowed
    }

    /// Remembers an answer: rules by name allow the addresses that the guest was told.
    pub fn learn(&self, name: &str, address: IpAddr) {
        if self.egress.reach != Reach::Listed || literal(name).is_some() {
            return;
        }
        let Some(name) = plain(name) else { return };
        let answer = (address.to_canonical(), name);
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.retain(|known| *known != answer);
        if learned.len() == LEARNED_MAX {
            learned.pop_front();
        }
        learned.push_back(answer);
    }

    /// Where an HTTP request to `host` may go. `krustlets` is for `wasi_experimental_http`, which may use the HTTP
    /// hosts and nothing else.
    pub fn route(&self, host: &str, port: u16, krustlets: bool) -> Route {
        let address = literal(host);
        let Some(name) = address.map(|address| address.to_string()).or_else(|| plain(host)) else {
            return Route::Denied;
        };
        if krustlets || self.hosts.narrow_all {
            let listed = || {
                let mut hosts = self.hosts.hosts.iter();
                hosts.any(|own| match literal(own) {
                    Some(own) => Some(own) == address,
                    None => own.strip_suffix('.').unwrap_or(own) == name,
                })
            };
            match self.hosts.reach {
                Reach::Everything => {}
                Reach::Listed if listed() => {}
                _ => return Route::Denied,
            }
        }
        match (self.egress.reach, address) {
            (Reach::Nothing, _) => Route::Denied,
            (Reach::Everything, _) => Route::ByName,
            (Reach::Listed, None) if self.any_rule(port, |rule| rule.names(&name)) => Route::ByName,
            (Reach::Listed, Some(address)) if !self.allows_address(address, port) => Route::Denied,
            (Reach::Listed, Some(_)) => Route::ByAddress,
            // Without a rule for any address of this port the answer could be of no use.
            (Reach::Listed, None) => {
                let networks = |rule: &EgressRule| matches!(rule.to, Destination::Network { .. });
                if self.any_rule(port, networks) { Route::ByAddress } else { Route::Denied }
            }
        }
    }

    /// Whether a request of this route may connect to an address that its host was resolved to.
    pub fn may_follow(&self, route: Route, to: SocketAddr) -> bool {
        let (address, port) = (to.ip().to_canonical(), to.port());
        let by_route = match route {
            Route::Denied => false,
            Route::ByName => true,
            Route::ByAddress => self.allows_address(address, port),
        };
        by_route && !self.is_withheld(address, port)
    }
}

#[cfg(test)]
mod tests;
