//! Components with WASI 0.2.

mod support;

use support::read_only::WRITES;
use support::*;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND_ADAPTER,
};

/// A core command of WASI 0.1 as compilers make components of it.
fn adapted(wat: &str) -> Vec<u8> {
    wit_component::ComponentEncoder::default()
        .module(&wat::parse_str(wat).expect("valid text"))
        .and_then(|encoder| encoder.adapter(ADAPTER_NAME, COMMAND_ADAPTER))
        .and_then(|encoder| encoder.encode())
        .expect("a component")
}

/// A component whose `wasi:cli/run` is the core function `run`, with imports that the caller writes: each
/// `$name` of `lowered` is a core function of the component that the core module imports from "h".
fn component(imports: &str, lowered: &[&str], core: &str) -> String {
    let exports: String =
        lowered.iter().map(|name| format!(r#"(export "{name}" (func ${name}))"#)).collect();
    format!(
        r#"(component {imports}
          (core module $m {core})
          (core instance $i (instantiate $m (with "h" (instance {exports}))))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance $r (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $r)))"#
    )
}

const HELLO: &str = r#"(module $guest
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $as (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $ag (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "out.txt")
  (func $check (param i32) (if (local.get 0) (then (unreachable))))
  (func $write (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $size))
    (call $check (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (call $check (call $as (i32.const 16) (i32.const 20)))
    (call $check (call $ag (i32.const 100) (i32.const 1000)))
    (call $write (i32.const 1) (i32.const 1000) (i32.load (i32.const 20)))
    (i32.store (i32.const 0) (i32.const 2000))
    (i32.store (i32.const 4) (i32.const 100))
    (call $check (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 24)))
    (call $write (i32.const 2) (i32.const 2000) (i32.load (i32.const 24)))
    (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 7)
      (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 28)))
    (call $write (i32.load (i32.const 28)) (i32.const 2000) (i32.load (i32.const 24)))))"#;

#[test]
fn command_has_arguments_streams_and_files() {
    let folder = Folder::new();
    let grant = Grant {
        args: vec!["guest", "argument"],
        stdin: Some("from stdin"),
        root: Some(folder.0.clone()),
        ..Grant::default()
    };
    let report = Engine::new().run(&adapted(HELLO), &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    assert_eq!(report.stdout, "guest\0argument\0");
    assert_eq!(report.stderr, "from stdin");
    let written = std::fs::read_to_string(format!("{}/out.txt", folder.0)).expect("a file");
    assert_eq!(written, "from stdin");
}

#[test]
fn writing_to_a_read_only_mount_is_named() {
    let folder = Folder::read_only();
    let grant = Grant { root: Some(folder.0.clone()), ..Grant::default() };
    let report = Engine::new().run(&adapted(WRITES), &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
}

#[test]
fn exit_is_0_or_1() {
    for (code, seen) in [(0, 0), (3, 1)] {
        let wat = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const {code}))))"#
        );
        let report = Engine::new().run(&adapted(&wat), &Grant::default());
        assert_eq!((report.kind, report.exit_code), (EXITED, seen), "{report:?}");
    }
}

#[test]
fn exit_with_code_is_the_guests_own() {
    let imports = r#"(import "wasi:cli/exit@0.2.12" (instance $exit
        (export "exit-with-code" (func (param "status-code" u8)))))
      (core func $exit_code (canon lower (func $exit "exit-with-code")))"#;
    let core = r#"(import "h" "exit_code" (func $exit (param i32)))
      (func (export "run") (result i32) (call $exit (i32.const 130)) (unreachable))"#;
    let report = run(&component(imports, &["exit_code"], core), &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 130), "{report:?}");
}

#[test]
fn error_of_run_is_exit_code_1() {
    let core = r#"(func (export "run") (result i32) (i32.const 1))"#;
    let report = run(&component("", &[], core), &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 1), "{report:?}");
}

#[test]
fn trap_has_names() {
    let core = r#"(func $deep (unreachable))
      (func (export "run") (result i32) (call $deep) (i32.const 0))"#;
    let report = run(&component("", &[], core), &Grant::default());
    assert_eq!(report.kind, TRAPPED);
    assert!(report.message.starts_with("wasm trap: wasm `unreachable`"), "{}", report.message);
    assert!(report.message.contains("0: m!deep @ 0x"), "{}", report.message);
}

#[test]
fn memory_is_limited() {
    let core = r#"(memory 1) (func (export "run") (result i32)
        (i32.eq (memory.grow (i32.const 10)) (i32.const -1)))"#;
    let report =
        run(&component("", &[], core), &Grant { memory_bytes_max: 10 * 65536, ..Grant::default() });
    assert_eq!((report.kind, report.exit_code), (OUT_OF_MEMORY, 1), "{report:?}");
    assert_eq!(report.bytes_refused, 11 * 65536);
}

#[test]
fn named_functions_are_called() {
    let wat = r#"(component (core module $m (func (export "a") (unreachable)) (func (export "b")))
      (core instance $i (instantiate $m))
      (func $a (canon lift (core func $i "a")))
      (func $b (canon lift (core func $i "b")))
      (instance $r (export "fall" (func $a)))
      (export "go" (func $b))
      (export "my:own/work@1.0.0" (instance $r)))"#;
    let grant = |entry| Grant { entry, ..Grant::default() };
    assert_eq!(run(wat, &grant(Some("go"))).kind, EXITED);
    assert_eq!(run(wat, &grant(Some("my:own/work@1.0.0#fall"))).kind, TRAPPED);
    let report = run(wat, &grant(Some("nothing")));
    assert_eq!(report.message, "the component exports no function `nothing`");
    let report = run(wat, &grant(None));
    assert_eq!(report.kind, START_FAILED);
    assert!(report.message.contains("not a command"), "{}", report.message);
}

/// Clock, poll and lifecycle, lowered to core functions.
const STOPPABLE: &str = r#"
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $q (eq $outer)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $q))))))
  (import "skiff:pod/lifecycle" (instance $life
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $q (eq $outer)))
    (export "subscribe" (func (result (own $q))))
    (export "terminating" (func (result bool)))))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $now (canon lower (func $clock "now")))
  (core func $wait (canon lower (func $clock "subscribe-duration")))
  (core func $subscribe (canon lower (func $life "subscribe")))
  (core func $terminating (canon lower (func $life "terminating")))"#;

const STOPPABLE_CORE: &str = r#"
  (import "h" "block" (func $block (param i32)))
  (import "h" "now" (func $now (result i64)))
  (import "h" "wait" (func $wait (param i64) (result i32)))
  (import "h" "subscribe" (func $subscribe (result i32)))
  (import "h" "terminating" (func $terminating (result i32)))
  (func $sleep (param i64) (call $block (call $wait (local.get 0))))"#;

const STOPPABLE_NAMES: [&str; 5] = ["block", "now", "wait", "subscribe", "terminating"];

#[test]
fn clock_wait_lasts_as_long_as_asked() {
    let core = format!(
        r#"{STOPPABLE_CORE} (func (export "run") (result i32) (local $begin i64)
        (if (call $terminating) (then (unreachable)))
        (local.set $begin (call $now))
        (call $sleep (i64.const 0))
        (call $sleep (i64.const 20000000))
        (i64.lt_u (i64.sub (call $now) (local.get $begin)) (i64.const 20000000)))"#
    );
    let report = run(&component(STOPPABLE, &STOPPABLE_NAMES, &core), &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
}

#[test]
fn stop_ends_a_pending_wait_once() {
    let core = format!(
        r#"{STOPPABLE_CORE} (func (export "run") (result i32) (local $begin i64)
        ;; The order comes while this waits for an hour.
        (call $sleep (i64.const 3600000000000))
        (if (i32.eqz (call $terminating)) (then (unreachable)))
        (call $block (call $subscribe))
        (local.set $begin (call $now))
        (call $sleep (i64.const 20000000))
        (i64.lt_u (i64.sub (call $now) (local.get $begin)) (i64.const 20000000)))"#
    );
    let wasm = wat::parse_str(component(STOPPABLE, &STOPPABLE_NAMES, &core)).expect("valid text");
    let engine = Engine::new();
    let (code, found, error) = inspect(WASMTIME, &wasm);
    assert_eq!((code, error.as_str()), (OK, ""));
    assert_eq!((found.kind, found.wasi, found.flags), (2, 2, 1 << 2 | 1 << 5));
    let grant = Grant { stop_soon: true, ..Grant::default() };
    let report = engine.run(&wasm, &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
}

#[test]
fn sockets_are_denied() {
    let names = [
        "unknown",
        "access-denied",
        "not-supported",
        "invalid-argument",
        "out-of-memory",
        "timeout",
        "concurrency-conflict",
        "not-in-progress",
        "would-block",
        "invalid-state",
        "new-socket-limit",
        "address-not-bindable",
        "address-in-use",
        "remote-unreachable",
        "connection-refused",
        "connection-reset",
        "connection-aborted",
        "datagram-too-large",
        "name-unresolvable",
        "temporary-resolver-failure",
        "permanent-resolver-failure",
    ];
    let names: String = names.iter().map(|name| format!(r#" "{name}""#)).collect();
    let imports = format!(
        r#"(import "wasi:sockets/network@0.2.0" (instance $network
          (type $c (enum {names})) (export "error-code" (type (eq $c)))
          (type $f (enum "ipv4" "ipv6")) (export "ip-address-family" (type (eq $f)))))
        (alias export $network "error-code" (type $code))
        (alias export $network "ip-address-family" (type $family))
        (import "wasi:sockets/tcp@0.2.0" (instance $tcp
          (export "tcp-socket" (type (sub resource)))))
        (alias export $tcp "tcp-socket" (type $socket))
        (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
          (alias outer 1 $code (type $c0)) (export "error-code" (type $c (eq $c0)))
          (alias outer 1 $family (type $f0)) (export "ip-address-family" (type $f (eq $f0)))
          (alias outer 1 $socket (type $s0)) (export "tcp-socket" (type $s (eq $s0)))
          (export "create-tcp-socket" (func (param "address-family" $f)
            (result (result (own $s) (error $c)))))))
        (core module $heap (memory (export "memory") 1))
        (core instance $heap (instantiate $heap))
        (alias core export $heap "memory" (core memory $memory))
        (core func $socket (canon lower (func $create "create-tcp-socket") (memory $memory)))"#
    );
    // The discriminants of the result and of its error are bytes 64 and 68.
    let wat = format!(
        r#"(component {imports}
          (core module $m
            (import "h" "socket" (func $socket (param i32 i32)))
            (import "h" "memory" (memory 1))
            (func (export "run") (result i32)
              (call $socket (i32.const 0) (i32.const 64))
              (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then (unreachable)))
              (i32.ne (i32.load8_u (i32.const 68)) (i32.const 1))))
          (core instance $i (instantiate $m (with "h" (instance
            (export "socket" (func $socket)) (export "memory" (memory $memory))))))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance $r (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $r)))"#
    );
    let wasm = wat::parse_str(wat).expect("valid text");
    let engine = Engine::new();
    assert_eq!(inspect(WASMTIME, &wasm).1.flags, 1 << 2 | 1 << 6);
    let report = engine.run(&wasm, &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
}

#[test]
fn missing_interfaces_are_named_before_compiling() {
    let wat = r#"(component
      (import "wasi:cli/environment@0.2.3" (instance))
      (import "wasi:keyvalue/store@0.2.0-draft" (instance))
      (import "wasi:cli/environment@0.4.0" (instance))
      (import "my:own/thing" (instance)))"#;
    let failed = Engine::new().compile(&wat::parse_str(wat).expect("valid text")).map(|_| ());
    let text = "the component needs imports that nobody provides: \
                wasi:keyvalue/store@0.2.0-draft, wasi:cli/environment@0.4.0, my:own/thing";
    assert_eq!(failed.expect_err("nobody has them"), (UNSUPPORTED, text.to_owned()));
}
