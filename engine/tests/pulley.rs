//! The interpreters map no executable memory. (core.rs runs every core module so, on both.)

mod support;

use support::*;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND_ADAPTER,
};

fn without_executable_memory() -> Grant {
    Grant { no_executable_memory: true, ..Grant::default() }
}

#[test]
fn native_code_is_killed_where_executable_memory_is_forbidden() {
    let wat = r#"(module (func (export "_start")))"#;
    let report = run_on(WASMTIME, wat, &without_executable_memory());
    assert_eq!(report.signal, libc::SIGSYS, "the filter works: {report:?}");
}

#[test]
fn component_of_wasi_02_runs() {
    let wat = r#"(module $guest
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "hello")
      (func (export "_start")
        ;; Sleeps for a millisecond, so that the event loop turns.
        (i32.store (i32.const 144) (i32.const 1))
        (i64.store (i32.const 152) (i64.const 1000000))
        (if (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 16))
          (then (unreachable)))
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 5))
        (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
          (then (unreachable)))))"#;
    let wasm = wit_component::ComponentEncoder::default()
        .module(&wat::parse_str(wat).expect("valid text"))
        .and_then(|encoder| encoder.adapter(ADAPTER_NAME, COMMAND_ADAPTER))
        .and_then(|encoder| encoder.encode())
        .expect("a component");
    let report = Engine::fit_for(PULLEY, &wasm).run(&wasm, &without_executable_memory());
    assert_eq!((report.signal, report.kind, report.exit_code), (0, EXITED, 0), "{report:?}");
    assert_eq!(report.stdout, "hello");
}

#[test]
fn component_of_wasi_03_runs() {
    let wat = r#"(component
      (core module $m
        (import "h" "return" (func $return (param i32)))
        (func (export "run") (result i32) (call $return (i32.const 1)) (i32.const 0))
        (func (export "callback") (param i32 i32 i32) (result i32) (unreachable)))
      (core func $return (canon task.return (result (result))))
      (core instance $i (instantiate $m
        (with "h" (instance (export "return" (func $return))))))
      (func $run async (result (result))
        (canon lift (core func $i "run") async (callback (core func $i "callback"))))
      (instance $r (export "run" (func $run)))
      (export "wasi:cli/run@0.3.0" (instance $r)))"#;
    let entry = Some("wasi:cli/run@0.3.0#run");
    let report = run_on(PULLEY, wat, &Grant { entry, ..without_executable_memory() });
    assert_eq!((report.signal, report.kind, report.exit_code), (0, EXITED, 1), "{report:?}");
}

#[test]
fn trap_has_reason_and_names() {
    let wat = r#"(module $guest (func $deep (unreachable)) (func (export "_start") (call $deep)))"#;
    let report = run_on(PULLEY, wat, &without_executable_memory());
    assert_eq!(report.kind, TRAPPED);
    assert!(report.message.starts_with("wasm trap: wasm `unreachable`"), "{}", report.message);
    assert!(report.message.contains("0: guest!deep @ 0x"), "{}", report.message);
}

#[test]
fn artifacts_of_the_other_engines_are_refused() {
    let wasm = wat::parse_str("(module)").expect("valid text");
    let native = Engine::new().compile(&wasm).expect("compiles");
    let engine = Engine::with(PULLEY, COMMAND);
    let (code, text) = engine.load(&native).expect_err("native code");
    assert_eq!(code, INCOMPATIBLE, "{text}");
    let own = engine.compile(&wasm).expect("compiles");
    drop(engine);
    let (code, text) = Engine::new().load(&own).expect_err("Pulley's code");
    assert_eq!(code, INCOMPATIBLE, "{text}");
}
