//! A word for EROFS: where the kernel refuses to write because a mount is read-only, `wasmtime-wasi` says I/O error. The
//! calls that write to a folder are wrapped here: one that failed so on a read-only mount says that instead. Files need
//! no wrapping: nothing on a read-only mount can be opened for writing.

use crate::component_wasi::ComponentState;
use crate::metadata::{Written, writes_to_read_only};
use std::os::fd::AsFd;
use v02::HostDescriptor;
use v03::HostDescriptorWithStore;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::ResourceTable;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types as v02;
use wasmtime_wasi::p3::bindings::filesystem::types as v03;

/// As Wasmtime's linkers name them; the tests of the components see when these are others.
const TYPES_02: &str = "wasi:filesystem/types@0.2.12";
const TYPES_03: &str = "wasi:filesystem/types@0.3.0";

/// Where a call writes: below which descriptor. None: it does not write.
type Place = Option<(u32, Written, String)>;

fn is_read_only(table: &ResourceTable, place: &Place) -> bool {
    let Some((folder, written, path)) = place else { return false };
    match table.get(&Resource::<Descriptor>::new_borrow(*folder)) {
        Ok(Descriptor::Dir(folder)) => writes_to_read_only(folder.dir.as_fd(), path, *written),
        _ => false,
    }
}

fn written(folder: &Resource<Descriptor>, written: Written, path: &str) -> Place {
    Some((folder.rep(), written, path.to_owned()))
}

/// Each function of the interface with what it writes to, which is found before the call takes it.
/// `store`: as an asynchronous function of WASI 0.2; `accessor`: as a concurrent one of 0.3.
macro_rules! wrap {
    ($with:ident, $types:ident, $of:ident;
     $($name:literal $function:ident($fd:ident, $($arg:ident: $ty:ty),*) at $place:expr;)*) => {
        $(wrap!(@$with $types, $of, $name, $function, $fd, [$($arg: $ty),*], $place);)*
    };
    (@store $types:ident, $of:ident, $name:literal, $function:ident, $fd:ident,
     [$($arg:ident: $ty:ty),*], $place:expr) => {
        $types.func_wrap_async(
            concat!("[method]descriptor.", $name),
            |mut store: StoreContextMut<'_, ComponentState>,
             ($fd, $($arg),*): (Resource<Descriptor>, $($ty),*)| {
                let place = $place;
                Box::new(async move {
                    let state = store.data_mut();
                    let done = state.filesystem().$function($fd, $($arg),*).await;
                    wrap!(@named $of, done, is_read_only(&state.table, &place))
                })
            },
        )?
    };
    (@accessor $types:ident, $of:ident, $name:literal, $function:ident, $fd:ident,
     [$($arg:ident: $ty:ty),*], $place:expr) => {
        $types.func_wrap_concurrent(
            concat!("[method]descriptor.", $name),
            |accessor: &Accessor<ComponentState>,
             ($fd, $($arg),*): (Resource<Descriptor>, $($ty),*)| {
                let place = $place;
                Box::pin(async move {
                    let files = accessor.with_getter::<WasiFilesystem>(ComponentState::filesystem);
                    let done = WasiFilesystem::$function(&files, $fd, $($arg),*).await;
                    let of_place = || accessor.with(|mut it| is_read_only(&it.get().table, &place));
                    wrap!(@named $of, done, of_place())
                })
            },
        )?
    };
    (@named $of:ident, $done:ident, $is_read_only:expr) => {
        Ok((match $done.map_err(|error| error.downcast()) {
            Ok(value) => Ok(value),
            Err(code) => Err(match code? {
                $of::ErrorCode::Io if $is_read_only => $of::ErrorCode::ReadOnly,
                code => code,
            }),
        },))
    };
}

macro_rules! wrap_all {
    ($with:ident, $types:ident, $of:ident) => {
        wrap! { $with, $types, $of;
            "open-at" open_at(
                fd, follow: $of::PathFlags, path: String, open: $of::OpenFlags, flags: $of::DescriptorFlags
            ) at {
                let making = open.intersects($of::OpenFlags::CREATE | $of::OpenFlags::TRUNCATE);
                let writing = making || flags.contains($of::DescriptorFlags::WRITE);
                if writing { written(&fd, Written::File, &path) } else { None }
            };
            "set-times-at" set_times_at(
                fd, follow: $of::PathFlags, path: String, accessed: $of::NewTimestamp, modified: $of::NewTimestamp
            ) at written(&fd, Written::File, &path);
            "create-directory-at" create_directory_at(fd, path: String) at
                written(&fd, Written::Entry, &path);
            "remove-directory-at" remove_directory_at(fd, path: String) at
                written(&fd, Written::Entry, &path);
            "unlink-file-at" unlink_file_at(fd, path: String) at written(&fd, Written::Entry, &path);
            "symlink-at" symlink_at(fd, to: String, path: String) at
                written(&fd, Written::Entry, &path);
            "link-at" link_at(
                fd, follow: $of::PathFlags, from: String, to: Resource<Descriptor>, path: String
            ) at written(&to, Written::Entry, &path);
            "rename-at" rename_at(fd, from: String, to: Resource<Descriptor>, path: String) at
                written(&to, Written::Entry, &path);
        }
    };
}

/// Puts the calls in place of those that are in the linker.
pub fn add_02(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut types = linker.instance(TYPES_02)?;
    wrap_all!(store, types, v02);
    Ok(())
}

/// The same for WASI 0.3.
pub fn add_03(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut types = linker.instance(TYPES_03)?;
    wrap_all!(accessor, types, v03);
    Ok(())
}
