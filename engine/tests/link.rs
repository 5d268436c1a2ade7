//! Linking components.

mod support;

use skiff_engine::ffi;
use std::ptr;
use support::*;

/// `t:num/add@0.1.0`, whose function takes and gives what the test says.
fn adder(version: &str, parameter: &str) -> Vec<u8> {
    let wat = format!(
        r#"(component
          (core module $m (func (export "add") (param i32) (result i32)
            (i32.add (local.get 0) (i32.const 40))))
          (core instance $i (instantiate $m))
          (func $add (param "x" {parameter}) (result {parameter})
            (canon lift (core func $i "add")))
          (instance $e (export "add" (func $add)))
          (export "t:num/add@{version}" (instance $e)))"#
    );
    wat::parse_str(wat).expect("valid text")
}

/// A command that ends well only if `add` of 2 is 42.
fn socket(imports: &str) -> Vec<u8> {
    let wat = format!(
        r#"(component
          (import "t:num/add@0.1.0" (instance $num
            (export "add" (func (param "x" u32) (result u32)))))
          {imports}
          (core func $add (canon lower (func $num "add")))
          (core module $m
            (import "h" "add" (func $add (param i32) (result i32)))
            (func (export "run") (result i32)
              (i32.ne (call $add (i32.const 2)) (i32.const 42))))
          (core instance $i (instantiate $m (with "h" (instance (export "add" (func $add))))))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance $r (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $r)))"#
    );
    wat::parse_str(wat).expect("valid text")
}

fn link(socket: &[u8], plugs: &[&[u8]]) -> Result<Vec<u8>, (i32, String)> {
    let slice = |bytes: &[u8]| ffi::Slice { data: bytes.as_ptr(), size: bytes.len() };
    let plugs: Vec<ffi::Slice> = plugs.iter().map(|plug| slice(plug)).collect();
    let mut linked = ffi::Bytes { data: ptr::null_mut(), size: 0 };
    let mut error = ffi::Text { data: ptr::null_mut(), size: 0 };
    let code = unsafe {
        ffi::skiff_link(slice(socket), plugs.as_ptr(), plugs.len(), &mut linked, &mut error)
    };
    if code != OK {
        return Err((code, text(error)));
    }
    let bytes = unsafe { std::slice::from_raw_parts(linked.data, linked.size) }.to_vec();
    unsafe { ffi::skiff_bytes_free(&mut linked) };
    Ok(bytes)
}

fn refusal(socket: &[u8], plugs: &[&[u8]]) -> String {
    let (code, text) = link(socket, plugs).expect_err("cannot be linked");
    assert_eq!(code, INVALID, "{text}");
    text
}

#[test]
fn linked_components_run() {
    let linked = link(&socket(""), &[&adder("0.1.0", "u32")]).expect("links");
    for runtime in [WASMTIME, PULLEY] {
        let report = Engine::fit_for(runtime, &linked).run(&linked, &Grant::default());
        assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    }
}

#[test]
fn compatible_versions_fit() {
    let linked = link(&socket(""), &[&adder("0.1.7", "u32")]).expect("links");
    let report = Engine::fit_for(WASMTIME, &linked).run(&linked, &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    let text = refusal(&socket(""), &[&adder("0.2.0", "u32")]);
    assert_eq!(
        text,
        "plug 1 exports nothing that the socket imports: it exports t:num/add@0.2.0, \
         the socket imports t:num/add@0.1.0"
    );
}

#[test]
fn what_no_plug_gives_stays_imported() {
    let wanting = socket(r#"(import "wasi:cli/exit@0.2.0" (instance (export "exit" (func))))"#);
    let linked = link(&wanting, &[&adder("0.1.0", "u32")]).expect("links");
    let (_, found, _) = inspect(WASMTIME, &linked);
    assert_eq!(text(found.imports), "wasi:cli/exit@0.2.0");
    assert_eq!(text(found.exports), "wasi:cli/run@0.2.0");
}

#[test]
fn mismatches_name_plug_and_interface() {
    let (good, other) = (adder("0.1.0", "u32"), adder("0.1.0", "s32"));
    let text = refusal(&socket(""), &[&other]);
    assert!(text.starts_with("plug 1, t:num/add@0.1.0: "), "{text}");
    assert!(text.contains("u32") && text.contains("s32"), "{text}");
    let text = refusal(&socket(""), &[&good, &good]);
    assert_eq!(text, "plug 2, t:num/add@0.1.0: an earlier plug gives it already");
    let empty = wat::parse_str("(component)").expect("valid text");
    let text = refusal(&socket(""), &[&good, &empty]);
    assert!(text.starts_with("plug 2 exports nothing"), "{text}");
}

#[test]
fn only_components_are_linked() {
    let core = wat::parse_str("(module)").expect("valid text");
    let good = adder("0.1.0", "u32");
    let core_text = "it is a core module, only components can be linked";
    assert_eq!(refusal(&core, &[&good]), format!("the socket: {core_text}"));
    assert_eq!(refusal(&socket(""), &[&good, &core]), format!("plug 2: {core_text}"));
    let text = refusal(&socket(""), &[b"#!/bin/sh"]);
    assert!(text.starts_with("plug 1: not a Wasm module: it looks like a script"), "{text}");
    let mut cut = good.clone();
    cut.truncate(good.len() - 5);
    assert!(refusal(&socket(""), &[&cut]).starts_with("plug 1: "));
}

#[test]
fn number_of_plugs_is_bounded() {
    let good = adder("0.1.0", "u32");
    assert_eq!(refusal(&socket(""), &[]), "0 plugs, but there must be 1 to 64");
    assert_eq!(refusal(&socket(""), &[good.as_slice(); 65]), "65 plugs, but there must be 1 to 64");
}
