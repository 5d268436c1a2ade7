//! What Skiff itself offers to guests: the interfaces of the package `skiff:pod` for components, the functions of the
//! module `skiff` for core modules (docs/guest-api.md).

use crate::component_wasi::ComponentState;
use crate::core_wasi::CoreState;
use crate::metadata::{self, Attributes, Identity, Refusal};
use crate::stop::Stop;
use std::os::fd::AsFd;
use std::sync::Arc;
use wasmtime::component::{Linker, LinkerInstance, Resource, flags};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::{Pollable, subscribe};

/// The interface by which a guest learns that it shall end.
pub const LIFECYCLE: &str = "skiff:pod/lifecycle";
const METADATA: &str = "skiff:pod/metadata";
const IDENTITY: &str = "skiff:pod/identity";
/// Later ones only add.
const VERSION: &str = "0.1.0";
const VERSIONS: &str = "0.1.";

/// The module name of the core functions.
pub const MODULE: &str = "skiff";
pub const TERMINATING: &str = "terminating";
const FUNCTIONS: [&str; 5] =
    [TERMINATING, "path_attributes_get", "path_access_check", "path_mode_set", "identity_get"];

/// WASI 0.1's number for memory that a guest does not have.
const FAULT: i32 = 21;
const SYMLINK_FOLLOW: u32 = 1;

type Context<'a> = StoreContextMut<'a, ComponentState>;

flags! {
    PathFlags {
        #[component(name = "symlink-follow")]
        const SYMLINK_FOLLOW;
    }
}

flags! {
    Rights {
        #[component(name = "read")]
        const READ;
        #[component(name = "write")]
        const WRITE;
        #[component(name = "execute")]
        const EXECUTE;
    }
}

/// Whether a component's linker has the interface.
pub fn provides_interface(name: &str) -> bool {
    match name.split_once('@') {
        // Lifecycle is older than its version.
        None => name == LIFECYCLE,
        Some((name, version)) => {
            [LIFECYCLE, METADATA, IDENTITY].contains(&name) && version.starts_with(VERSIONS)
        }
    }
}

/// Whether a core module's linker has the function.
pub fn provides_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

/// Adds all to a component's linker; `concurrent`: it knows WASI 0.3.
pub fn add_interfaces(linker: &mut Linker<ComponentState>, concurrent: bool) -> Result<()> {
    for name in [LIFECYCLE.to_owned(), format!("{LIFECYCLE}@{VERSION}")] {
        add_lifecycle(linker.instance(&name)?, concurrent)?;
    }
    add_metadata(linker.instance(&format!("{METADATA}@{VERSION}"))?)?;
    let mut identity = linker.instance(&format!("{IDENTITY}@{VERSION}"))?;
    identity.func_wrap("get-identity", |_: Context<'_>, (): ()| Ok((metadata::identity(),)))
}

/// `subscribe` is for WASI 0.2, `wait` for 0.3.
fn add_lifecycle(
    mut lifecycle: LinkerInstance<'_, ComponentState>,
    concurrent: bool,
) -> Result<()> {
    lifecycle.func_wrap(TERMINATING, |store: Context<'_>, (): ()| {
        Ok((store.data().stop.terminating(),))
    })?;
    lifecycle.func_wrap("subscribe", |mut store: Context<'_>, (): ()| {
        let state = store.data_mut();
        let order = state.table.push(StopOrder(state.stop.clone()))?;
        Ok((subscribe(&mut state.table, order)?,))
    })?;
    if concurrent {
        lifecycle.func_wrap_concurrent("wait", |store, (): ()| {
            let stop = store.with(|mut access| access.get().stop.clone());
            Box::pin(async move {
                stop.ordered().await;
                stop.set_noticed();
                Ok(())
            })
        })?;
    }
    Ok(())
}

/// The pollable of `subscribe`: ready once the guest is asked to stop, and from then on.
struct StopOrder(Arc<Stop>);

#[async_trait]
impl Pollable for StopOrder {
    async fn ready(&mut self) {
        self.0.ordered().await;
        self.0.set_noticed();
    }
}

/// A descriptor is that of `wasi:filesystem`, whether of 0.2 or 0.3: behind both is one type.
fn add_metadata(mut metadata: LinkerInstance<'_, ComponentState>) -> Result<()> {
    metadata.func_wrap(
        "get-attributes",
        |store: Context<'_>, (of,): (Resource<Descriptor>,)| {
            let file = match store.data().table.get(&of)? {
                Descriptor::File(file) => &file.file,
                Descriptor::Dir(folder) => &folder.dir,
            };
            Ok((metadata::attributes(file.as_fd()),))
        },
    )?;
    metadata.func_wrap(
        "get-attributes-at",
        |store: Context<'_>, (flags, path): (PathFlags, String)| {
            let follow = flags == PathFlags::SYMLINK_FOLLOW;
            Ok((store.data().files.attributes_at(&path, follow),))
        },
    )?;
    metadata.func_wrap(
        "check-access-at",
        |store: Context<'_>, (path, rights): (String, Rights)| {
            let asked = [
                (Rights::READ, metadata::READ),
                (Rights::WRITE, metadata::WRITE),
                (Rights::EXECUTE, metadata::EXECUTE),
            ];
            let bits = asked.into_iter().filter(|(right, _)| rights & *right == *right);
            let bits = bits.fold(0, |all, (_, bit)| all | bit);
            Ok((store.data().files.access_at(&path, bits),))
        },
    )?;
    metadata.func_wrap("set-mode-at", |store: Context<'_>, (path, mode): (String, u32)| {
        Ok((store.data().files.set_mode_at(&path, mode),))
    })
}

/// A number of WASI 0.1: 0, or why not.
type Done = std::result::Result<(), i32>;
/// A piece of the guest's memory: where it begins, and its size.
pub type Piece = (u32, u32);

fn bytes(memory: &mut [u8], (at, size): Piece) -> std::result::Result<&mut [u8], i32> {
    let end = (at as usize).checked_add(size as usize).ok_or(FAULT)?;
    memory.get_mut(at as usize..end).ok_or(FAULT)
}

pub fn path(memory: &mut [u8], piece: Piece) -> std::result::Result<&str, i32> {
    let text = std::str::from_utf8(bytes(memory, piece)?);
    text.map_err(|_| Refusal::IllegalByteSequence.number())
}

/// Fills what the guest has room for: later versions have more to tell, and none less than `least` bytes.
fn answer(memory: &mut [u8], into: Piece, told: &[u8], least: usize) -> Done {
    let room = bytes(memory, into)?;
    if room.len() < least {
        return Err(Refusal::Invalid.number());
    }
    let size = room.len().min(told.len());
    room[..size].copy_from_slice(&told[..size]);
    Ok(())
}

/// `struct skiff_attributes`: numbers of 32 bits for mode, uid, gid and filesystem, one of 64 for blocks, and 16 bytes for
/// the filesystem's name, which ends with a NUL.
fn encode_attributes(of: &Attributes) -> [u8; 40] {
    let mut told = [0; 40];
    for (at, number) in [of.mode, of.uid, of.gid, of.filesystem_magic].into_iter().enumerate() {
        told[at * 4..at * 4 + 4].copy_from_slice(&number.to_le_bytes());
    }
    told[16..24].copy_from_slice(&of.blocks.to_le_bytes());
    let name = of.filesystem_type.as_bytes();
    told[24..24 + name.len()].copy_from_slice(name);
    told
}

/// `struct skiff_identity`: numbers of 32 bits for uid, gid, the count of the supplementary groups, and these.
fn encode_identity(of: &Identity) -> Vec<u8> {
    let head = [of.uid, of.gid, of.groups.len() as u32];
    head.iter().chain(&of.groups).flat_map(|number| number.to_le_bytes()).collect()
}

/// What a core function returns.
pub fn number(result: Done) -> i32 {
    result.err().unwrap_or(0)
}

/// The guest exports no memory to read a path from.
pub fn no_memory() -> i32 {
    FAULT
}

pub fn path_attributes_get(
    state: &CoreState,
    memory: &mut [u8],
    (flags, of): (u32, Piece),
    into: Piece,
) -> Done {
    if flags & !SYMLINK_FOLLOW != 0 {
        return Err(Refusal::Invalid.number());
    }
    let found = state.files.attributes_at(path(memory, of)?, flags == SYMLINK_FOLLOW);
    let told = encode_attributes(&found.map_err(Refusal::number)?);
    answer(memory, into, &told, told.len())
}

pub fn path_access_check(state: &CoreState, memory: &mut [u8], of: Piece, rights: u32) -> Done {
    state.files.access_at(path(memory, of)?, rights).map_err(Refusal::number)
}

pub fn path_mode_set(state: &CoreState, memory: &mut [u8], of: Piece, mode: u32) -> Done {
    state.files.set_mode_at(path(memory, of)?, mode).map_err(Refusal::number)
}

pub fn identity_get(memory: &mut [u8], into: Piece) -> Done {
    answer(memory, into, &encode_identity(&metadata::identity()), 12)
}
