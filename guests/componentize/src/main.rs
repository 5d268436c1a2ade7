//! Makes components of C programs.
//!
//! `componentize IN.wasm OUT.wasm` wraps a core module as a component. What it imports from WASI 0.1
//! goes through Wasmtime's adapter to WASI 0.2; a module that exports `_start` becomes a command
//! (`wasi:cli/run`), any other has the imports and exports of the world it was bound to.
//!
//! `componentize bind DEPS WORLD.wit OUT [SYNC…]` writes C bindings of the one world in WORLD.wit into
//! the folder OUT: `NAME.c`, `NAME.h` and `NAME_component_type.o`, NAME being the world's. The packages
//! that the world uses are looked up in the folder DEPS. Each SYNC names an async function, such as
//! `import:wasi:clocks/monotonic-clock@0.3.0#wait-for`, that is to be bound as one that blocks.

use std::path::Path;
use std::process::ExitCode;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;
use wit_parser::Resolve;

fn exports_start(module: &[u8]) -> bool {
    // The export's name is stored as its length and its bytes.
    module.windows(7).any(|window| window == b"\x06_start")
}

fn encode(input: &str, output: &str) -> anyhow::Result<()> {
    let module = std::fs::read(input)?;
    let adapter = if exports_start(&module) {
        WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    let component = ComponentEncoder::default()
        .module(&module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
        .validate(true)
        .encode()?;
    std::fs::write(output, component)?;
    Ok(())
}

fn bind(deps: &str, world: &str, out: &str, sync: &[String]) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    resolve.push_dir(deps)?;
    let package = resolve.push_file(world)?;
    let id = resolve.select_world(&[package], None)?;

    let mut options = wit_bindgen_c::Opts::default();
    for name in sync {
        options.async_.push(name);
    }
    let mut files = Files::default();
    options.build().generate(&mut resolve, id, &mut files)?;
    std::fs::create_dir_all(out)?;
    for (name, contents) in files.iter() {
        std::fs::write(Path::new(out).join(name), contents)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (of, result) = match words.as_slice() {
        ["bind", deps, world, out, ..] => (*world, bind(deps, world, out, &arguments[4..])),
        [input, output] => (*input, encode(input, output)),
        _ => {
            eprintln!(
                "usage: componentize IN.wasm OUT.wasm\n       \
                 componentize bind DEPS WORLD.wit OUT [SYNC…]"
            );
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}` prints the causes too: errors in WIT name the place only there.
            eprintln!("componentize {of}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
