//! The host functions of core modules, for both engines: WASI 0.1, those of `skiff` and Krustlet's HTTP.
//!
//! Wasmtime's own linker for WASI 0.1 makes an event loop with threads for every process. Here each function
//! runs to its end on the guest's thread: files may block it, the standard streams do so themselves, and the
//! only wait, `poll_oneoff`, is a plain poll(2) in poll.rs. So a sleeping core module is one thread without
//! event loop.

use crate::core_http::{self, CoreHttp, Refusal};
use crate::grant::Grant;
use crate::limits::MemoryCap;
use crate::metadata::{self, Files, Written};
use crate::pod;
use crate::poll;
use crate::stdio::Waiting;
use crate::stop::Stop;
use crate::wasmi_engine::host_error;
use std::future::Future;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::{Caller, Engine, Extern, Linker, Result, format_err};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wasmtime_wasi::{I32Exit, WasiView};
use wiggle::GuestMemory;

/// The module name of WASI 0.1's functions.
pub const MODULE: &str = "wasi_snapshot_preview1";

/// What a core module's store holds.
pub struct CoreState {
    pub wasi: WasiP1Ctx,
    pub stop: Arc<Stop>,
    pub memory: MemoryCap,
    /// stdin's descriptor, for `poll_oneoff`; None: at its end.
    pub stdin: Option<RawFd>,
    pub http: CoreHttp,
    pub files: Files,
    /// What a call may copy into the host's memory.
    pub hostcall_bytes_max: usize,
}

impl CoreState {
    /// Draws random numbers and opens the root.
    pub fn new(grant: &Grant) -> Result<CoreState> {
        let mut wasi = grant.wasi(Waiting::InThread)?.build_p1();
        wasi.ctx().table.set_max_capacity(grant.handles_max);
        Ok(CoreState {
            wasi,
            stop: grant.stop.clone(),
            memory: MemoryCap::new(grant.memory_cap),
            stdin: grant.stdin,
            http: CoreHttp::new(
                grant.client.clone(),
                grant.http_requests_max,
                grant.hostcall_bytes_max,
            ),
            files: grant.files(),
            hostcall_bytes_max: grant.hostcall_bytes_max,
        })
    }
}

/// A guest's call of a host function, in either engine.
pub trait Call {
    /// The guest's memory and its state. None: it exports no memory.
    fn guest(&mut self) -> Option<(&mut [u8], &mut CoreState)>;
}

impl Call for Caller<'_, CoreState> {
    fn guest(&mut self) -> Option<(&mut [u8], &mut CoreState)> {
        let Some(Extern::Memory(memory)) = self.get_export("memory") else { return None };
        Some(memory.data_and_store_mut(self))
    }
}

/// Takes the guest's memory and its WASI context out of a call. Only functions that are called by a guest
/// with an exported memory get so far; threads are off, so it is never shared.
pub fn with_guest<R>(
    caller: &mut impl Call,
    call: impl FnOnce(&mut CoreState, &mut GuestMemory<'_>) -> Result<R>,
) -> Result<R> {
    let Some((bytes, state)) = caller.guest() else {
        return Err(format_err!("the module calls WASI but exports no memory named `memory`"));
    };
    state.wasi.set_hostcall_fuel(state.hostcall_bytes_max);
    call(state, &mut GuestMemory::Unshared(bytes))
}

/// The result of a host function that has nothing to wait for, see above.
pub fn finish<R>(future: impl Future<Output = Result<R>>) -> Result<R> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(format_err!("a host function for core modules would have to wait")),
    }
}

/// The first descriptor of a folder: the root, to which libraries resolve every path.
const ROOT: i32 = 3;
/// Of `path_open`: create and truncate, and the right `fd_write`.
const MAKING: i32 = 1 | 8;
const WRITING: i64 = 1 << 6;

/// A word for EROFS, as in read_only.rs, for the number of a call that wrote at the path in the guest's memory. Where a
/// folder is that the guest opened by itself is not known here: below one it stays an I/O error.
fn name_read_only(
    state: &CoreState,
    memory: &mut GuestMemory<'_>,
    number: i32,
    (written, folder, path, size): (Written, i32, i32, i32),
) -> i32 {
    if number != metadata::Refusal::Io.number() || folder != ROOT {
        return number;
    }
    let GuestMemory::Unshared(memory) = memory else { return number };
    match pod::path(memory, (path as u32, size as u32)) {
        Ok(path) if state.files.write_to_read_only(path, written) => {
            metadata::Refusal::ReadOnly.number()
        }
        _ => number,
    }
}

macro_rules! wasi_functions {
    ($($kind:ident $name:ident($($arg:ident: $ty:ty),*)
       $(, writes $written:ident($($place:ident),*) $(if $when:expr)?)?;)*) => {
        /// The names of all functions of WASI 0.1.
        const FUNCTIONS: &[&str] = &[$(stringify!($name),)* "poll_oneoff", "proc_exit"];

        /// Each of them for a call of either engine.
        mod calls {
            use super::*;

            $(pub fn $name(caller: &mut impl Call, $($arg: $ty),*) -> Result<i32> {
                with_guest(caller, |state, memory| {
                    let result = wasi_functions!(@$kind wasi::$name(&mut state.wasi, memory, $($arg),*));
                    $(let place = (Written::$written, $($place),*);
                    if true $(&& $when)? {
                        return result.map(|number| name_read_only(state, memory, number, place));
                    })?
                    result
                })
            })*
        }

        fn add_to_wasmtime(linker: &mut Linker<CoreState>) -> Result<()> {
            $(linker.func_wrap(
                MODULE,
                stringify!($name),
                |mut caller: Caller<'_, CoreState>, $($arg: $ty),*| {
                    calls::$name(&mut caller, $($arg),*)
                },
            )?;)*
            Ok(())
        }

        fn add_to_wasmi(
            linker: &mut wasmi::Linker<CoreState>,
        ) -> Result<(), wasmi::errors::LinkerError> {
            $(linker.func_wrap(
                MODULE,
                stringify!($name),
                |mut caller: wasmi::Caller<'_, CoreState>, $($arg: $ty),*| {
                    calls::$name(&mut caller, $($arg),*).map_err(host_error)
                },
            )?;)*
            Ok(())
        }
    };
    (@now $call:expr) => { $call };
    (@ready $call:expr) => { finish($call) };
}

// `now`: a plain function; `ready`: a future that is ready at once.
wasi_functions! {
    now args_get(a: i32, b: i32);
    now args_sizes_get(a: i32, b: i32);
    now environ_get(a: i32, b: i32);
    now environ_sizes_get(a: i32, b: i32);
    now clock_res_get(a: i32, b: i32);
    now clock_time_get(a: i32, b: i64, c: i32);
    ready fd_advise(a: i32, b: i64, c: i64, d: i32);
    now fd_allocate(a: i32, b: i64, c: i64);
    ready fd_close(a: i32);
    ready fd_datasync(a: i32);
    ready fd_fdstat_get(a: i32, b: i32);
    now fd_fdstat_set_flags(a: i32, b: i32);
    now fd_fdstat_set_rights(a: i32, b: i64, c: i64);
    ready fd_filestat_get(a: i32, b: i32);
    ready fd_filestat_set_size(a: i32, b: i64);
    ready fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32);
    ready fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32);
    now fd_prestat_get(a: i32, b: i32);
    now fd_prestat_dir_name(a: i32, b: i32, c: i32);
    ready fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32);
    ready fd_read(a: i32, b: i32, c: i32, d: i32);
    ready fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32);
    ready fd_renumber(a: i32, b: i32);
    ready fd_seek(a: i32, b: i64, c: i32, d: i32);
    ready fd_sync(a: i32);
    now fd_tell(a: i32, b: i32);
    ready fd_write(a: i32, b: i32, c: i32, d: i32);
    ready path_create_directory(a: i32, b: i32, c: i32), writes Entry(a, b, c);
    ready path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32);
    ready path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32), writes File(a, c, d);
    ready path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32), writes Entry(e, f, g);
    ready path_open(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32),
        writes File(a, c, d) if e & MAKING != 0 || f & WRITING != 0;
    ready path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    ready path_remove_directory(a: i32, b: i32, c: i32), writes Entry(a, b, c);
    ready path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32), writes Entry(d, e, f);
    ready path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32), writes Entry(c, d, e);
    ready path_unlink_file(a: i32, b: i32, c: i32), writes Entry(a, b, c);
    now proc_raise(a: i32);
    now sched_yield();
    now random_get(a: i32, b: i32);
    now sock_accept(a: i32, b: i32, c: i32);
    now sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    now sock_send(a: i32, b: i32, c: i32, d: i32, e: i32);
    now sock_shutdown(a: i32, b: i32);
}

/// A call of `wasi_experimental_http`: its error number, also where the guest has no memory to read.
fn with_http(
    caller: &mut impl Call,
    call: impl FnOnce(&mut CoreHttp, &mut [u8]) -> std::result::Result<(), Refusal>,
) -> i32 {
    core_http::number(match caller.guest() {
        Some((memory, state)) => call(&mut state.http, memory),
        None => Err(Refusal::MemoryNotFound),
    })
}

/// A call of one of `skiff`'s functions that read or write the guest's memory: a number of WASI 0.1.
fn with_pod(
    caller: &mut impl Call,
    call: impl FnOnce(&mut CoreState, &mut [u8]) -> std::result::Result<(), i32>,
) -> i32 {
    match caller.guest() {
        Some((memory, state)) => pod::number(call(state, memory)),
        None => pod::no_memory(),
    }
}

macro_rules! number_functions {
    ($of:ident, $module:expr, $with:ident; $($name:ident($($arg:ident),*) => $call:expr;)*) => {
        /// Functions over numbers and the guest's memory, for either engine's linker.
        mod $of {
            use super::*;

            pub fn add_to_wasmtime(linker: &mut Linker<CoreState>) -> Result<()> {
                $(linker.func_wrap(
                    $module,
                    stringify!($name),
                    |mut caller: Caller<'_, CoreState>, $($arg: u32),*| $with(&mut caller, $call),
                )?;)*
                Ok(())
            }

            pub fn add_to_wasmi(
                linker: &mut wasmi::Linker<CoreState>,
            ) -> Result<(), wasmi::errors::LinkerError> {
                $(linker.func_wrap(
                    $module,
                    stringify!($name),
                    |mut caller: wasmi::Caller<'_, CoreState>, $($arg: u32),*| {
                        $with(&mut caller, $call)
                    },
                )?;)*
                Ok(())
            }
        }
    };
}

// Arguments that belong together are a piece of memory: where it begins, and its size.
number_functions! { http_functions, core_http::MODULE, with_http;
    req(url, url_size, method, method_size, headers, headers_size, body, body_size, status, handle) =>
        |http, memory| {
            let pieces =
                [(url, url_size), (method, method_size), (headers, headers_size), (body, body_size)];
            http.req(memory, pieces, status, handle)
        };
    close(handle) => |http, _| http.close(handle);
    header_get(handle, name, name_size, value, value_size, written) => |http, memory| {
        http.header_get(memory, handle, (name, name_size), (value, value_size), written)
    };
    headers_get_all(handle, buffer, size, written) => |http, memory| {
        http.headers_get_all(memory, handle, (buffer, size), written)
    };
    body_read(handle, buffer, size, count) => |http, memory| {
        http.body_read(memory, handle, (buffer, size), count)
    };
}

number_functions! { pod_functions, pod::MODULE, with_pod;
    path_attributes_get(flags, path, path_size, into, into_size) => |state, memory| {
        pod::path_attributes_get(state, memory, (flags, (path, path_size)), (into, into_size))
    };
    path_access_check(path, path_size, rights) => |state, memory| {
        pod::path_access_check(state, memory, (path, path_size), rights)
    };
    path_mode_set(path, path_size, mode) => |state, memory| {
        pod::path_mode_set(state, memory, (path, path_size), mode)
    };
    identity_get(into, into_size) => |_, memory| pod::identity_get(memory, (into, into_size));
}

/// Whether the linker has the function `name` of `module`.
pub fn provides(module: &str, name: &str) -> bool {
    match module {
        MODULE => FUNCTIONS.contains(&name),
        pod::MODULE => pod::provides_function(name),
        core_http::MODULE => core_http::FUNCTIONS.contains(&name),
        _ => false,
    }
}

/// Wasmtime's own makes an error of every code above 125.
fn exit(code: i32) -> wasmtime::Error {
    I32Exit(code & 0xff).into()
}

fn terminating(state: &CoreState) -> i32 {
    i32::from(state.stop.terminating())
}

/// The linker of all core modules; made once, before any fork.
pub fn linker(engine: &Engine) -> Result<Linker<CoreState>> {
    let mut linker = Linker::new(engine);
    add_to_wasmtime(&mut linker)?;
    http_functions::add_to_wasmtime(&mut linker)?;
    pod_functions::add_to_wasmtime(&mut linker)?;
    linker.func_wrap(
        MODULE,
        "poll_oneoff",
        |mut caller: Caller<'_, CoreState>, a: i32, b: i32, c: i32, d: i32| {
            poll::poll_oneoff(&mut caller, [a, b, c, d])
        },
    )?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> Result<()> { Err(exit(code)) })?;
    linker.func_wrap(pod::MODULE, pod::TERMINATING, |caller: Caller<'_, CoreState>| {
        terminating(caller.data())
    })?;
    Ok(linker)
}

/// The same for Wasmi.
pub fn wasmi_linker(
    engine: &wasmi::Engine,
) -> Result<wasmi::Linker<CoreState>, wasmi::errors::LinkerError> {
    let mut linker = wasmi::Linker::new(engine);
    add_to_wasmi(&mut linker)?;
    linker.func_wrap(
        MODULE,
        "poll_oneoff",
        |mut caller: wasmi::Caller<'_, CoreState>, a: i32, b: i32, c: i32, d: i32| {
            poll::poll_oneoff(&mut caller, [a, b, c, d]).map_err(host_error)
        },
    )?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> Result<(), wasmi::Error> {
        Err(host_error(exit(code)))
    })?;
    linker.func_wrap(pod::MODULE, pod::TERMINATING, |caller: wasmi::Caller<'_, CoreState>| {
        terminating(caller.data())
    })?;
    http_functions::add_to_wasmi(&mut linker)?;
    pod_functions::add_to_wasmi(&mut linker)?;
    Ok(linker)
}
