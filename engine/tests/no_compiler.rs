//! A build without the compiler (`--no-default-features`) offers Wasmi, and says so.

#![cfg(not(feature = "compiler"))]

mod support;

use skiff_engine::ffi;
use std::ptr;
use support::*;

#[test]
fn only_wasmi_is_offered() {
    let offered = [WASMTIME, PULLEY, WASMI].map(|runtime| ffi::skiff_has_runtime(runtime));
    assert_eq!(offered, [0, 0, 1]);
    for runtime in [WASMTIME, PULLEY] {
        // SAFETY: a structure of integers.
        let mut config: ffi::RawConfig = unsafe { std::mem::zeroed() };
        config.size = size_of::<ffi::RawConfig>() as u32;
        config.runtime = runtime;
        let (mut engine, mut error) =
            (ptr::null_mut(), ffi::Text { data: ptr::null_mut(), size: 0 });
        let code = unsafe { ffi::skiff_engine_new(&config, &mut engine, &mut error) };
        assert_eq!((code, engine.is_null()), (UNSUPPORTED, true));
        let expected =
            "this build has no compiler, and without one there is the runtime wasmi only";
        assert_eq!(text(error), expected);
    }
}

#[test]
fn wasmi_runs_guests() {
    let wat = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 3))))"#;
    let report = run_on(WASMI, wat, &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 3), "{report:?}");
}

#[test]
fn nothing_is_linked() {
    let wasm = wat::parse_str("(component)").expect("valid text");
    let slice = || ffi::Slice { data: wasm.as_ptr(), size: wasm.len() };
    let mut linked = ffi::Bytes { data: ptr::null_mut(), size: 0 };
    let mut error = ffi::Text { data: ptr::null_mut(), size: 0 };
    let code = unsafe { ffi::skiff_link(slice(), &slice(), 1, &mut linked, &mut error) };
    let expected = "this build has no compiler and cannot link components";
    assert_eq!((code, text(error).as_str()), (UNSUPPORTED, expected));
}

#[test]
fn artifacts_still_have_a_key() {
    let mut key = ffi::Text { data: ptr::null_mut(), size: 0 };
    let code = unsafe { ffi::skiff_compatibility_key(&mut key, ptr::null_mut()) };
    assert_eq!((code, text(key).len()), (OK, 32));
}
