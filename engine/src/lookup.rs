//! `wasi:sockets/ip-name-lookup` with the rules of the grant: a socket knows only addresses, so what a rule says
//! of a name is decided here, and the answers are remembered for the sockets.

use crate::component_wasi::ComponentState;
use crate::egress::Policy;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use v02::ResolveAddressStream as Stream;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as v02;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, SocketError};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as v03;
use wasmtime_wasi::p3::bindings::sockets::types;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView, WasiSocketsView};

/// Puts the interface of WASI 0.2 in place of the one that is in the linker.
pub fn add_02(linker: &mut Linker<ComponentState>) -> Result<()> {
    v02::add_to_linker::<_, Lookup>(linker, view)
}

/// The same for WASI 0.3.
pub fn add_03(linker: &mut Linker<ComponentState>) -> Result<()> {
    v03::add_to_linker::<_, Lookup>(linker, view)
}

/// The names of look-ups in progress, by the number of their stream. No larger than the resource table.
pub type Names = HashMap<u32, String>;

struct Lookup;

impl HasData for Lookup {
    type Data<'a> = LookupView<'a>;
}

struct LookupView<'a> {
    policy: Arc<Policy>,
    names: &'a mut Names,
    sockets: WasiSocketsCtxView<'a>,
}

fn view(state: &mut ComponentState) -> LookupView<'_> {
    let ComponentState { wasi, table, policy, names, .. } = state;
    LookupView {
        policy: policy.clone(),
        names,
        sockets: WasiSocketsCtxView { ctx: wasi.sockets(), table },
    }
}

fn of_02(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

fn of_03(address: &types::IpAddress) -> IpAddr {
    match *address {
        types::IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        types::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

// The look-ups' errors are those of the interface `network`.
impl network::Host for LookupView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets, error)
    }

    fn network_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets, error)
    }
}

impl network::HostNetwork for LookupView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

impl v02::Host for LookupView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<Stream>, SocketError> {
        if !self.policy.may_look_up(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        let stream = v02::Host::resolve_addresses(&mut self.sockets, network, name.clone())?;
        self.names.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl v02::HostResolveAddressStream for LookupView<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<Stream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let number = stream.rep();
        let next = v02::HostResolveAddressStream::resolve_next_address(&mut self.sockets, stream)?;
        if let (Some(address), Some(name)) = (next, self.names.get(&number)) {
            self.policy.learn(name, of_02(address));
        }
        Ok(next)
    }

    fn subscribe(&mut self, stream: Resource<Stream>) -> Result<Resource<DynPollable>> {
        v02::HostResolveAddressStream::subscribe(&mut self.sockets, stream)
    }

    fn drop(&mut self, stream: Resource<Stream>) -> Result<()> {
        self.names.remove(&stream.rep());
        v02::HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

impl v03::Host for LookupView<'_> {}

impl v03::HostWithStore<ComponentState> for Lookup {
    async fn resolve_addresses(
        store: &Accessor<ComponentState, Self>,
        name: String,
    ) -> Result<Result<Vec<types::IpAddress>, v03::ErrorCode>> {
        let policy = store.with(|mut view| view.get().policy);
        if !policy.may_look_up(&name) {
            return Ok(Err(v03::ErrorCode::AccessDenied));
        }
        let sockets = store.with_getter::<WasiSockets>(WasiSocketsView::sockets);
        let found = WasiSockets::resolve_addresses(&sockets, name.clone()).await?;
        for address in found.iter().flatten() {
            policy.learn(&name, of_03(address));
        }
        Ok(found)
    }
}
