//! Running a command to its end.

use crate::component_wasi::{self, ComponentState};
use crate::core_wasi::CoreState;
use crate::coredump;
use crate::engine::Parts;
use crate::failure::truncate;
use crate::grant::Grant;
use crate::limits::{Cap, MemoryCap};
use std::fmt::{self, Write};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, Component, ComponentExportIndex};
use wasmtime::{Error, Extern, FrameInfo, Module, Result, Store, Trap, Val, WasmBacktrace};
use wasmtime::{bail, format_err};
use wasmtime_wasi::I32Exit;

/// Where the backtrace of a message begins.
const BACKTRACE: &str = "\nwasm backtrace:";

/// Longest name of a function or module in a backtrace: they are the guest's.
const NAME_BYTES_MAX: usize = 1000;

/// The numbers of `skiff_outcome_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exited = 1,
    Trapped = 2,
    OutOfMemory = 3,
    HostPanic = 4,
    StartFailed = 5,
}

/// `skiff_outcome`.
#[derive(Debug)]
pub struct Outcome {
    pub ending: Ending,
    pub exit_code: i32,
    pub message: String,
    pub bytes_peak: u64,
    pub bytes_refused: u64,
}

impl Outcome {
    pub fn failed(ending: Ending, message: String) -> Outcome {
        Outcome { ending, exit_code: -1, message, bytes_peak: 0, bytes_refused: 0 }
    }

    /// Adds a line to the message, before the backtrace: a long one is cut at its end.
    pub fn with_note(mut self, note: Option<String>) -> Outcome {
        if let Some(note) = note {
            let at = self.message.find(BACKTRACE).unwrap_or(self.message.len());
            self.message.insert_str(at, &format!("\n{note}"));
        }
        self
    }
}

/// What has been reached when an error ends a run.
pub enum Stage {
    /// Not one instruction of the guest.
    Starting,
    Running,
}

/// The exit code, or where and why there is none.
pub type Ended = std::result::Result<i32, (Stage, Error)>;

/// Runs a core module to its end.
pub fn run_core(parts: &Parts, module: &Module, grant: &Grant) -> Outcome {
    let state = match CoreState::new(grant) {
        Ok(state) => state,
        Err(error) => {
            return conclude(Err((Stage::Starting, error)), &MemoryCap::new(Cap::fixed(0)), grant);
        }
    };
    let mut store = Store::new(&parts.engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(grant.hostcall_bytes_max);
    let ended = start_core(parts, module, grant, &mut store);
    let dumped = coredump::of_end(&ended, &mut store, grant);
    conclude(ended, &store.data().memory, grant).with_note(dumped)
}

fn start_core(
    parts: &Parts,
    module: &Module,
    grant: &Grant,
    store: &mut Store<CoreState>,
) -> Ended {
    let starting = |error| (Stage::Starting, error);
    let instance = parts.core.instantiate(&mut *store, module).map_err(starting)?;
    let function = |name: &str| match instance.get_export(&mut *store, name) {
        Some(Extern::Func(function)) => Some((function, function.ty(&*store).params().len())),
        _ => None,
    };
    let (entry, before) = core_entry(grant.entry.as_deref(), function).map_err(starting)?;
    if let Some(initialize) = before {
        initialize.call(&mut *store, &[], &mut []).map_err(|error| (Stage::Running, error))?;
    }
    let mut results = vec![Val::I32(0); entry.ty(&*store).results().len()];
    entry.call(store, &[], &mut results).map_err(|error| (Stage::Running, error))?;
    Ok(match results[..] {
        [Val::I32(code)] => code & 0xff,
        _ => 0,
    })
}

/// The function of a core module to call, and the one to call before it. `function` finds an exported one
/// and the number of its parameters.
pub fn core_entry<F>(
    entry: Option<&str>,
    mut function: impl FnMut(&str) -> Option<(F, usize)>,
) -> Result<(F, Option<F>)> {
    let initialize = function("_initialize");
    let Some((found, parameters)) = function(entry.unwrap_or("_start")) else {
        match entry {
            Some(name) => bail!("the module exports no function `{name}`"),
            None if initialize.is_some() => bail!(
                "the module is a reactor (it exports `_initialize` but no `_start`): \
                 name the function to call, as in module.wasm#function"
            ),
            None => bail!("the module exports no function `_start`"),
        }
    };
    if parameters != 0 {
        bail!("the function `{}` takes parameters", entry.unwrap_or("_start"));
    }
    let before = initialize.filter(|_| entry != Some("_initialize"));
    Ok((found, before.map(|(initialize, _)| initialize)))
}

/// Runs a component to its end.
pub fn run_component(parts: &Parts, component: &Component, grant: &Grant) -> Outcome {
    let no_memory = MemoryCap::new(Cap::fixed(0));
    let event_loop = match grant.event_loop() {
        Ok(event_loop) => event_loop,
        Err(error) => return conclude(Err((Stage::Starting, error.into())), &no_memory, grant),
    };
    let outcome = event_loop.block_on(async {
        let mut store = match component_wasi::new_store(&parts.engine, grant) {
            Ok(store) => store,
            Err(error) => return conclude(Err((Stage::Starting, error)), &no_memory, grant),
        };
        let ended = start_component(parts, component, grant, &mut store).await;
        let dumped = coredump::of_end(&ended, &mut store, grant);
        conclude(ended, &store.data().memory, grant).with_note(dumped)
    });
    // A blocked thread would keep an ordinary shutdown waiting; the process ends anyway.
    event_loop.shutdown_background();
    outcome
}

async fn start_component(
    parts: &Parts,
    component: &Component,
    grant: &Grant,
    store: &mut Store<ComponentState>,
) -> Ended {
    let starting = |error| (Stage::Starting, error);
    let entry = component_entry(parts, component, grant.entry.as_deref()).map_err(starting)?;
    let linked = parts.component.instantiate_pre(component).map_err(component_wasi::unlinked);
    let instance = linked.map_err(starting)?.instantiate_async(&mut *store).await;
    let instance = instance.map_err(starting)?;
    let Some(function) = instance.get_func(&mut *store, entry) else {
        return Err(starting(format_err!("the component's entry is no function")));
    };
    let ty = function.ty(&*store);
    if ty.params().len() != 0 {
        return Err(starting(format_err!("the component's entry takes parameters")));
    }
    let mut results = vec![component::Val::Bool(false); ty.results().len()];
    let called = function.call_async(&mut *store, &[], &mut results).await;
    called.map_err(|error| (Stage::Running, error))?;
    Ok(match results[..] {
        [component::Val::Result(Err(_))] => 1,
        _ => 0,
    })
}

/// The function to call: `wasi:cli/run`, or `function` or `interface#function` as the grant names it.
fn component_entry(
    parts: &Parts,
    component: &Component,
    entry: Option<&str>,
) -> Result<ComponentExportIndex> {
    let Some(entry) = entry else {
        let ty = component.component_type();
        let mut exports = ty.exports(&parts.engine);
        let runs = |(name, _): &(&str, _)| {
            name.starts_with("wasi:cli/run@0.3.") || name.starts_with("wasi:cli/run@0.2.")
        };
        let Some((name, _)) = exports.find(runs) else {
            bail!("the component exports no `wasi:cli/run` of 0.2 or 0.3: it is not a command");
        };
        return find(component, Some(name), "run")
            .ok_or_else(|| format_err!("`{name}` of the component has no function `run`"));
    };
    let (interface, function) = match entry.rsplit_once('#') {
        Some((interface, function)) => (Some(interface), function),
        None => (None, entry),
    };
    find(component, interface, function)
        .ok_or_else(|| format_err!("the component exports no function `{entry}`"))
}

fn find(
    component: &Component,
    interface: Option<&str>,
    function: &str,
) -> Option<ComponentExportIndex> {
    let interface = match interface {
        Some(name) => Some(component.get_export_index(None, name)?),
        None => None,
    };
    let (item, index) = component.get_export(interface.as_ref(), function)?;
    matches!(item, ComponentItem::ComponentFunc(_)).then_some(index)
}

/// Judges how a run ended. A guest that ends abnormally after a refused growth is out of memory, whatever
/// way it chose to say so.
pub fn conclude(ended: Ended, memory: &MemoryCap, grant: &Grant) -> Outcome {
    let (mut ending, exit_code, mut message) = match ended {
        Ok(code) => (Ending::Exited, code, String::new()),
        Err((stage, error)) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => (Ending::Exited, *code & 0xff, String::new()),
            None => {
                let in_guest = error.downcast_ref::<WasmBacktrace>().is_some()
                    || error.downcast_ref::<Trap>().is_some();
                let ending = match stage {
                    Stage::Starting if !in_guest => Ending::StartFailed,
                    _ => Ending::Trapped,
                };
                (ending, -1, describe(&error))
            }
        },
    };
    if memory.bytes_refused > 0 && exit_code != 0 {
        ending = Ending::OutOfMemory;
        let cause = match grant.memory_cap.bytes() {
            limit if memory.bytes_refused > limit => {
                format!("memory limit of {limit} bytes reached")
            }
            _ => String::from("the machine refused memory"),
        };
        let end = match exit_code {
            -1 => message,
            code => format!("exit code {code}"),
        };
        message = format!("{cause}: the guest asked for {} bytes\n{end}", memory.bytes_refused);
    }
    Outcome {
        ending,
        exit_code,
        message,
        bytes_peak: memory.bytes_peak,
        bytes_refused: memory.bytes_refused,
    }
}

/// The causes of an error, the innermost first, then the guest's backtrace.
pub fn describe(error: &Error) -> String {
    let mut lines = Vec::new();
    for cause in error.chain() {
        // The backtrace, printed below, and the core dump are links of the chain.
        let text = cause.to_string();
        if !text.starts_with("error while executing at wasm backtrace")
            && !text.starts_with("wasm coredump generated")
            && !lines.contains(&text)
        {
            lines.insert(0, text);
        }
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        lines.push(BACKTRACE.trim_start().to_owned());
        for (number, frame) in backtrace.frames().iter().enumerate() {
            lines.push(format!("{number:4}: {}", describe_frame(frame)));
        }
    }
    lines.join("\n")
}

/// "module!function @ offset in the module's file", as far as the module has names.
fn describe_frame(frame: &FrameInfo) -> String {
    let module = shortened(frame.module().name().unwrap_or("<unknown>"));
    let function = match frame.func_name() {
        Some(name) => demangle(name),
        None => format!("<function {}>", frame.func_index()),
    };
    match frame.module_offset() {
        Some(offset) => format!("{module}!{function} @ {offset:#x}"),
        None => format!("{module}!{function}"),
    }
}

/// A text of at most NAME_BYTES_MAX bytes; what comes after them is an error.
#[derive(Default)]
struct Name(String);

impl fmt::Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() <= NAME_BYTES_MAX {
            return Ok(());
        }
        truncate(&mut self.0, NAME_BYTES_MAX);
        self.0.push('…');
        Err(fmt::Error)
    }
}

fn shortened(name: &str) -> String {
    let mut short = Name::default();
    let _ = short.write_str(name);
    short.0
}

/// Only what looks mangled: to a C++ demangler the C function `f` is the type `float`. A mangled name may stand for
/// one that is longer by any factor, so the limit holds while it is written.
fn demangle(name: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        return shortened(name);
    }
    let mut plain = Name::default();
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let _ = write!(plain, "{rust:#}");
        return plain.0;
    }
    let cpp = name.starts_with("_Z").then(|| cpp_demangle::Symbol::new(name).ok()).flatten();
    let Some(cpp) = cpp else { return name.to_owned() };
    match cpp.structured_demangle(&mut plain, &cpp_demangle::DemangleOptions::default()) {
        Err(_) if plain.0.len() <= NAME_BYTES_MAX => name.to_owned(),
        _ => plain.0,
    }
}

#[cfg(test)]
mod tests {
    use super::demangle;

    #[test]
    fn demangles_what_is_mangled() {
        assert_eq!(demangle("f"), "f");
        assert_eq!(demangle("_start"), "_start");
        assert_eq!(
            demangle("_ZN4core9panicking5panic17h0123456789abcdefE"),
            "core::panicking::panic"
        );
        assert_eq!(demangle("_ZN5Yosys3runEi"), "Yosys::run(int)");
        assert_eq!(demangle("_ZN"), "_ZN");
    }

    #[test]
    fn names_are_bounded_however_long_they_would_become() {
        let long = "x".repeat(5000);
        assert_eq!(demangle(&long).len(), super::NAME_BYTES_MAX + "…".len());
        // Each type is a pair of the one before: 2^60 letters.
        let mut doubling = String::from("_Z1f1p");
        for number in 0..60 {
            let last = match number {
                0 => String::from("S_"),
                _ => format!("S{}_", base36(number - 1)),
            };
            doubling += &format!("S_I{last}{last}E");
        }
        let plain = demangle(&doubling);
        assert!(plain.len() <= super::NAME_BYTES_MAX + "…".len(), "{} bytes", plain.len());
    }

    fn base36(number: usize) -> String {
        let digit =
            |number: usize| char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 36]);
        match number {
            0..36 => digit(number).to_string(),
            _ => format!("{}{}", base36(number / 36), digit(number)),
        }
    }
}
