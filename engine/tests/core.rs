//! Core modules with WASI 0.1, and what every guest has in common; on every engine.

mod support;

use support::read_only::WRITES;
use support::run_everywhere as run;
use support::*;

/// Functions that print and exit, for guests written as text.
const PRELUDE: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  ;; Writes to a descriptor; the addresses below 64 are scratch.
  (func $write (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $size))
    (call $check (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  ;; Ends with 100 + errno when a call failed.
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (i32.add (i32.const 100) (local.get $errno))))))
"#;

/// A module with more imports first, then the prelude, then a body.
fn module(imports: &str, body: &str) -> String {
    format!("(module $guest {imports} {PRELUDE} {body})")
}

#[test]
fn exit_codes_are_the_guests_own() {
    for code in [0, 1, 3, 125, 126, 130, 255] {
        let body = format!(r#"(func (export "_start") (call $exit (i32.const {code})))"#);
        let report = run(&module("", &body), &Grant::default());
        assert_eq!((report.kind, report.exit_code), (EXITED, code), "{report:?}");
        assert_eq!(report.message, "");
    }
}

#[test]
fn exit_codes_are_taken_modulo_256() {
    let report = run(
        &module("", r#"(func (export "_start") (call $exit (i32.const 0x1ff)))"#),
        &Grant::default(),
    );
    assert_eq!((report.kind, report.exit_code), (EXITED, 255));
}

#[test]
fn output_goes_to_its_stream() {
    let body = r#"(data (i32.const 64) "to outto err")
      (func (export "_start")
        (call $write (i32.const 1) (i32.const 64) (i32.const 6))
        (call $write (i32.const 2) (i32.const 70) (i32.const 6)))"#;
    let report = run(&module("", body), &Grant::default());
    assert_eq!((report.stdout.as_str(), report.stderr.as_str()), ("to out", "to err"));
}

#[test]
fn long_output_arrives_whole() {
    let body = r#"(func (export "_start")
        (memory.fill (i32.const 64) (i32.const 97) (i32.const 50000))
        (call $write (i32.const 1) (i32.const 64) (i32.const 50000)))"#;
    let report = run(&module("", body), &Grant::default());
    assert_eq!(report.stdout, "a".repeat(50000));
}

#[test]
fn trap_has_reason_and_names() {
    let body = r#"(func $deep (unreachable)) (func (export "_start") (call $deep))"#;
    let report = run(&module("", body), &Grant::default());
    assert_eq!((report.kind, report.exit_code), (TRAPPED, -1));
    assert!(report.message.starts_with("wasm trap: wasm `unreachable`"), "{}", report.message);
    assert!(report.message.contains("0: guest!deep @ 0x"), "{}", report.message);
}

#[test]
fn endless_recursion_is_a_trap() {
    let body = r#"(func $again (export "_start") (call $again))"#;
    let report = run(&module("", body), &Grant::default());
    assert_eq!(report.kind, TRAPPED);
    assert!(report.message.contains("call stack exhausted"), "{}", report.message);
}

#[test]
fn deep_recursion_within_the_stack_runs() {
    let body = r#"(func $down (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
          (else (i32.const 0))))
      (func (export "_start") (call $exit (i32.rem_u (call $down (i32.const 5000)) (i32.const 256))))"#;
    let report = run(&module("", body), &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 5000 % 256), "{report:?}");
}

#[test]
fn message_is_bounded() {
    let body = r#"(func $again (export "_start") (call $again))"#;
    let grant = Grant { message_bytes_max: 40, ..Grant::default() };
    assert_eq!(run(&module("", body), &grant).message.len(), 40);
}

/// Grows by $argument pages; traps when it is refused.
const GROW: &str = r#"(func (export "_start")
    (if (i32.eq (memory.grow (i32.const 31)) (i32.const -1)) (then (unreachable))))"#;

#[test]
fn memory_within_the_limit_is_granted() {
    let grant = Grant { memory_bytes_max: 32 * 65536, ..Grant::default() };
    let report = run(&module("", GROW), &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    assert_eq!((report.bytes_peak, report.bytes_refused), (32 * 65536, 0));
}

#[test]
fn trap_after_a_refused_growth_is_out_of_memory() {
    let grant = Grant { memory_bytes_max: 31 * 65536, ..Grant::default() };
    let report = run(&module("", GROW), &grant);
    assert_eq!((report.kind, report.bytes_refused), (OUT_OF_MEMORY, 32 * 65536));
    let limit = "memory limit of 2031616 bytes reached: the guest asked for 2097152 bytes\n";
    assert!(report.message.starts_with(limit), "{}", report.message);
}

#[test]
fn memories_and_tables_are_added_up() {
    let body = r#"(memory 4) (table $t 0 funcref)
      (func (export "_start")
        (if (i32.eq (table.grow $t (ref.null func) (i32.const 32768)) (i32.const -1))
          (then (call $exit (i32.const 7)))))"#;
    // One page and four pages, then a table of four pages.
    let fits = Grant { memory_bytes_max: 9 * 65536, ..Grant::default() };
    assert_eq!(run(&module("", body), &fits).exit_code, 0);
    let grant = Grant { memory_bytes_max: 8 * 65536, ..Grant::default() };
    let report = run(&module("", body), &grant);
    assert_eq!((report.kind, report.exit_code), (OUT_OF_MEMORY, 7), "{report:?}");
}

/// A list of which nothing can be collected.
#[test]
fn the_heap_of_collected_objects_counts_too() {
    let body = r#"(type $cell (struct (field (ref null $cell))))
      (global $list (mut (ref null $cell)) (ref.null $cell))
      (func (export "_start")
        (loop $on
          (global.set $list (struct.new $cell (global.get $list)))
          (br $on)))"#;
    const LIMIT: u64 = 4 << 20;
    for runtime in [WASMTIME, PULLEY] {
        let grant = Grant { memory_bytes_max: LIMIT, ..Grant::default() };
        let report = run_on(runtime, &module("", body), &grant);
        assert_eq!(report.kind, OUT_OF_MEMORY, "{report:?}");
        assert!(report.bytes_peak <= LIMIT && report.bytes_peak > LIMIT / 4, "{report:?}");
    }
}

#[test]
fn first_memory_above_the_limit_is_out_of_memory() {
    let wat = r#"(module (memory 100) (func (export "_start")))"#;
    let report = run(wat, &Grant { memory_bytes_max: 65536, ..Grant::default() });
    assert_eq!((report.kind, report.bytes_refused), (OUT_OF_MEMORY, 6553600), "{report:?}");
}

#[test]
fn survived_refusal_is_no_failure() {
    let body = r#"(func (export "_start") (drop (memory.grow (i32.const 1000))))"#;
    let report = run(&module("", body), &Grant { memory_bytes_max: 65536, ..Grant::default() });
    assert_eq!((report.kind, report.exit_code), (EXITED, 0));
}

#[test]
fn arguments_and_environment_arrive() {
    let imports = r#"
      (import "wasi_snapshot_preview1" "args_sizes_get" (func $as (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "args_get" (func $ag (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $es (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_get" (func $eg (param i32 i32) (result i32)))"#;
    let body = r#"(func (export "_start")
        (call $check (call $as (i32.const 16) (i32.const 20)))
        (call $check (call $ag (i32.const 100) (i32.const 1000)))
        (call $write (i32.const 1) (i32.const 1000) (i32.load (i32.const 20)))
        (call $check (call $es (i32.const 16) (i32.const 20)))
        (call $check (call $eg (i32.const 100) (i32.const 1000)))
        (call $write (i32.const 1) (i32.const 1000) (i32.load (i32.const 20))))"#;
    let grant = Grant {
        args: vec!["guest.wasm", "--flag", "ä b"],
        env: vec!["A=1", "ignored", "B=x=y"],
        ..Grant::default()
    };
    let report = run(&module(imports, body), &grant);
    assert_eq!(report.stdout, "guest.wasm\0--flag\0ä b\0A=1\0B=x=y\0");
}

#[test]
fn stdin_is_read_to_its_end() {
    let imports = r#"(import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))"#;
    let body = r#"(func (export "_start")
        (loop $more
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (i32.const 2))
          (call $check (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (i32.load (i32.const 8)) (then
            (call $write (i32.const 1) (i32.const 64) (i32.load (i32.const 8)))
            (br $more)))))"#;
    let grant = Grant { stdin: Some("hello"), ..Grant::default() };
    assert_eq!(run(&module(imports, body), &grant).stdout, "hello");
    assert_eq!(run(&module(imports, body), &Grant::default()).stdout, "");
}

const FILES: &str = r#"
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))"#;

#[test]
fn files_below_the_root_are_written_and_read() {
    let body = r#"(data (i32.const 64) "out.txt") (data (i32.const 80) "in.txt")
      (func (export "_start")
        (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 80) (i32.const 6)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
        (i32.store (i32.const 0) (i32.const 1000))
        (i32.store (i32.const 4) (i32.const 100))
        (call $check (call $fd_read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1)
          (i32.const 20)))
        (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 7)
          (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 24)))
        (call $write (i32.load (i32.const 24)) (i32.const 1000) (i32.load (i32.const 20)))
        (call $check (call $close (i32.load (i32.const 24)))))"#;
    let folder = Folder::new();
    std::fs::write(format!("{}/in.txt", folder.0), "content").expect("a file");
    let grant = Grant { root: Some(folder.0.clone()), ..Grant::default() };
    let report = run(&module(FILES, body), &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    let written = std::fs::read_to_string(format!("{}/out.txt", folder.0)).expect("a file");
    assert_eq!(written, "content");
}

#[test]
fn nothing_above_the_root_is_seen() {
    let body = r#"(data (i32.const 64) "../../etc/passwd")
      (func (export "_start")
        (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 16)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16))))"#;
    let folder = Folder::new();
    let report =
        run(&module(FILES, body), &Grant { root: Some(folder.0.clone()), ..Grant::default() });
    assert_eq!(report.exit_code, 100 + 63, "EPERM: {report:?}");
    let report = run(&module(FILES, body), &Grant::default());
    assert_eq!(report.exit_code, 100 + 8, "EBADF without a root: {report:?}");
}

#[test]
fn writing_to_a_read_only_mount_is_named() {
    let folder = Folder::read_only();
    let grant = Grant { root: Some(folder.0.clone()), ..Grant::default() };
    let report = run_everywhere(WRITES, &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
}

#[test]
fn missing_root_fails_the_start() {
    let wat = r#"(module (func (export "_start")))"#;
    let report = run(wat, &Grant { root: Some("/nowhere".into()), ..Grant::default() });
    assert_eq!(report.kind, START_FAILED);
    assert!(report.message.contains("cannot open the root /nowhere"), "{}", report.message);
}

#[test]
fn named_function_runs_after_initialize() {
    let body = r#"(global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 40)))
      (func (export "answer") (result i32) (i32.add (global.get $ready) (i32.const 2)))
      (func (export "with parameters") (param i32))"#;
    let grant = |entry| Grant { entry, ..Grant::default() };
    let report = run(&module("", body), &grant(Some("answer")));
    assert_eq!((report.kind, report.exit_code), (EXITED, 42));
    let report = run(&module("", body), &grant(None));
    assert_eq!(report.kind, START_FAILED);
    assert!(report.message.contains("is a reactor"), "{}", report.message);
    let report = run(&module("", body), &grant(Some("absent")));
    assert_eq!(report.message, "the module exports no function `absent`");
    let report = run(&module("", body), &grant(Some("with parameters")));
    assert_eq!(report.kind, START_FAILED);
}

const POLL: &str = r#"
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))"#;

/// Waits for the monotonic clock, in nanoseconds; the subscription is at 128, the event at 256.
const SLEEP: &str = r#"(func $sleep (param $duration i64)
    (i64.store (i32.const 128) (i64.const 77))
    (i32.store8 (i32.const 136) (i32.const 0))
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (local.get $duration))
    (i32.store16 (i32.const 168) (i32.const 0))
    (call $check (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 16)))
    ;; One event with our userdata.
    (if (i32.ne (i32.load (i32.const 16)) (i32.const 1)) (then (unreachable)))
    (if (i64.ne (i64.load (i32.const 256)) (i64.const 77)) (then (unreachable))))"#;

#[test]
fn clock_wait_lasts_as_long_as_asked() {
    let body = format!(
        r#"{SLEEP} (func (export "_start")
        (call $check (call $now (i32.const 1) (i64.const 0) (i32.const 32)))
        (call $sleep (i64.const 20000000))
        (call $check (call $now (i32.const 1) (i64.const 0) (i32.const 40)))
        (if (i64.lt_u (i64.sub (i64.load (i32.const 40)) (i64.load (i32.const 32)))
              (i64.const 20000000)) (then (unreachable))))"#
    );
    let report = run(&module(POLL, &body), &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
}

#[test]
fn stop_ends_a_pending_wait_once() {
    let imports = format!(r#"{POLL} (import "skiff" "terminating" (func $stop (result i32)))"#);
    // Not terminating before; a wait of an hour ends; terminating afterwards; the next wait is whole.
    let body = format!(
        r#"{SLEEP} (func (export "_start")
        (if (call $stop) (then (unreachable)))
        (call $write (i32.const 1) (i32.const 64) (i32.const 1))
        (call $sleep (i64.const 3600000000000))
        (if (i32.eqz (call $stop)) (then (unreachable)))
        (call $check (call $now (i32.const 1) (i64.const 0) (i32.const 32)))
        (call $sleep (i64.const 20000000))
        (call $check (call $now (i32.const 1) (i64.const 0) (i32.const 40)))
        (if (i64.lt_u (i64.sub (i64.load (i32.const 40)) (i64.load (i32.const 32)))
              (i64.const 20000000)) (then (unreachable)))
        (call $exit (i32.const 9)))"#
    );
    let grant = Grant { stop_after_output: true, ..Grant::default() };
    let report = run(&module(&imports, &body), &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 9), "{report:?}");
}

#[test]
fn poll_sees_stdin_and_rejects_nonsense() {
    // Subscriptions: stdin readable (userdata 5), and an hour.
    let body = r#"(func (export "_start")
        (i64.store (i32.const 128) (i64.const 5))
        (i32.store8 (i32.const 136) (i32.const 1))
        (i32.store (i32.const 144) (i32.const 0))
        (i64.store (i32.const 176) (i64.const 6))
        (i32.store8 (i32.const 184) (i32.const 0))
        (i32.store (i32.const 192) (i32.const 1))
        (i64.store (i32.const 200) (i64.const 3600000000000))
        (call $check (call $poll (i32.const 128) (i32.const 256) (i32.const 2) (i32.const 16)))
        (if (i32.ne (i32.load (i32.const 16)) (i32.const 1)) (then (unreachable)))
        (if (i64.ne (i64.load (i32.const 256)) (i64.const 5)) (then (unreachable)))
        ;; EINVAL without subscriptions, EFAULT outside of memory, EBADF for descriptor 99.
        (if (i32.ne (call $poll (i32.const 128) (i32.const 256) (i32.const 0) (i32.const 16))
              (i32.const 28)) (then (unreachable)))
        (if (i32.ne (call $poll (i32.const -8) (i32.const 256) (i32.const 1) (i32.const 16))
              (i32.const 21)) (then (unreachable)))
        (i32.store (i32.const 144) (i32.const 99))
        (if (i32.ne (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 16))
              (i32.const 8)) (then (unreachable))))"#;
    for stdin in [Some("x"), None] {
        let report = run(&module(POLL, body), &Grant { stdin, ..Grant::default() });
        assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    }
}

#[test]
fn what_poll_keeps_of_its_subscriptions_is_bounded() {
    let body = |count: u32| {
        format!(
            r#"(func (export "_start")
                (drop (call $poll (i32.const 0) (i32.const 0) (i32.const {count}) (i32.const 0))))"#
        )
    };
    let grant = || Grant { hostcall_bytes_max: 10_000, ..Grant::default() };
    let report = run(&module(POLL, &body(100)), &grant());
    assert_eq!(report.kind, EXITED, "{report:?}");
    let report = run(&module(POLL, &body(1000)), &grant());
    assert_eq!(report.kind, TRAPPED, "{report:?}");
    assert!(report.message.contains("1000 subscriptions are too many"), "{report:?}");
}

#[test]
fn random_numbers_differ_between_forks_of_one_engine() {
    let imports = r#"(import "wasi_snapshot_preview1" "random_get"
        (func $random (param i32 i32) (result i32)))"#;
    let body = r#"(func $hex (param $digit i32)
        (i32.store8 (i32.const 32) (i32.add (i32.const 97) (local.get $digit)))
        (call $write (i32.const 1) (i32.const 32) (i32.const 1)))
      (func (export "_start") (local $i i32)
        (call $check (call $random (i32.const 64) (i32.const 16)))
        (loop $next
          (call $hex (i32.and (i32.load8_u offset=64 (local.get $i)) (i32.const 15)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (i32.const 16)))))"#;
    let wasm = wat::parse_str(module(imports, body)).expect("valid text");
    let engine = Engine::new();
    let [a, b] = [(); 2].map(|()| engine.run(&wasm, &Grant::default()).stdout);
    assert_eq!((a.len(), b.len()), (16, 16));
    assert_ne!(a, b);
}

#[test]
fn missing_imports_are_named_before_compiling() {
    let wat = r#"(module (import "env" "emscripten_notify" (func))
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "thread_spawn" (func))
      (import "env" "memory" (memory 1)))"#;
    let failed = Engine::new().compile(&wat::parse_str(wat).expect("valid text")).map(|_| ());
    let text = "the module needs imports that nobody provides: \
                env emscripten_notify, wasi_snapshot_preview1 thread_spawn, env memory";
    assert_eq!(failed, Err((UNSUPPORTED, text.to_owned())));
}

/// WASI 0.1's own four calls take a socket that somebody opened; standard libraries import them unused.
#[test]
fn what_makes_sockets_is_missing_with_a_remedy() {
    let import = |name: &str| {
        let wat = format!(
            r#"(module (import "wasi_snapshot_preview1" "{name}" (func (param i32 i32) (result i32)))
              (func (export "_start")))"#
        );
        Engine::new().compile(&wat::parse_str(&wat).expect("valid text")).map(|_| ())
    };
    let text = "the module needs imports that nobody provides: wasi_snapshot_preview1 sock_open; \
                core modules have no sockets: build it as a component";
    assert_eq!(import("sock_open"), Err((UNSUPPORTED, text.to_owned())));
    assert_eq!(import("sock_shutdown"), Ok(()));
}

#[test]
fn wrong_type_of_an_import_fails_the_start() {
    let wat = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i64)))
      (func (export "_start")))"#;
    let report = run(wat, &Grant::default());
    assert_eq!(report.kind, START_FAILED);
    assert!(report.message.contains("proc_exit"), "{}", report.message);
}

#[test]
fn strangers_are_recognised() {
    let engine = Engine::new();
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"#!/bin/sh\n", "script"),
        (b"(module)", "Wasm text"),
        (b"hello world\n", "looks like text"),
        (b"\x7fELF\x02", "native program"),
        (b"\xff\xfe", "00 61 73 6d"),
    ] {
        let (code, text) = engine.compile(bytes).map(|_| ()).expect_err("no Wasm");
        assert_eq!(code, INVALID);
        assert!(text.starts_with("not a Wasm module: ") && text.contains(word), "{text}");
    }
    let mut cut = wat::parse_str(module("", GROW)).expect("valid text");
    cut.truncate(cut.len() - 3);
    let (code, text) = engine.compile(&cut).map(|_| ()).expect_err("cut short");
    assert_eq!(code, INVALID);
    assert!(text.contains("not a valid Wasm module"), "{text}");
}

#[test]
fn invalid_function_body_is_named() {
    // Leaves a value too many; the text is Wasm's, the body is not.
    let wasm = wat::parse_str("(module (func (i32.const 1)))").expect("parses");
    let (code, text) = Engine::new().compile(&wasm).map(|_| ()).expect_err("invalid");
    assert_eq!(code, INVALID);
    assert!(text.contains("values remaining on stack"), "{text}");
}

#[test]
fn threads_are_unsupported() {
    let wasm = wat::parse_str("(module (memory 1 1 shared))").expect("parses");
    let (code, text) = Engine::new().compile(&wasm).map(|_| ()).expect_err("threads are off");
    assert_eq!(code, UNSUPPORTED);
    assert!(text.contains("threads"), "{text}");
}

#[test]
fn inspection_of_source_and_artifact_agree() {
    let imports = r#"(import "skiff" "terminating" (func (result i32)))"#;
    let wasm = wat::parse_str(module(imports, GROW)).expect("valid text");
    let engine = Engine::new();
    let (code, found, _) = inspect(WASMTIME, &wasm);
    assert_eq!((code, found.kind, found.wasi, found.flags), (OK, 1, 1, 1 | 1 << 5));
    assert_eq!(found.memory_bytes_min, 65536);
    let imports = text(found.imports);
    assert_eq!(imports.lines().next(), Some("skiff terminating"));
    assert_eq!(text(found.exports), "memory\n_start");

    let artifact = engine.compile(&wasm).expect("compiles");
    let module = engine.load(&artifact).expect("loads");
    let mut again = std::mem::MaybeUninit::zeroed();
    let again = unsafe {
        let none = std::ptr::null_mut();
        let code = skiff_engine::ffi::skiff_module_inspect(module, again.as_mut_ptr(), none);
        assert_eq!(code, OK);
        skiff_engine::ffi::skiff_module_free(module);
        again.assume_init()
    };
    assert_eq!((again.kind, again.wasi, again.flags), (found.kind, found.wasi, found.flags));
    assert_eq!(again.memory_bytes_min, found.memory_bytes_min);
    assert_eq!(text(again.imports), imports);
    assert_eq!(text(again.exports), "memory\n_start");
}

#[test]
fn foreign_artifacts_are_refused() {
    use std::io::Write;
    use std::os::unix::fs::FileExt;
    let engine = Engine::new();
    let wasm = wat::parse_str("(module)").expect("valid text");
    let artifact = engine.compile(&wasm).expect("compiles");
    let size = artifact.metadata().expect("a size").len();
    let mut bytes = vec![0; size as usize];
    artifact.read_exact_at(&mut bytes, 0).expect("an artifact");
    // Another version of the engine writes its own into the same place: format 0, two bytes, "48".
    let at = bytes.windows(4).position(|w| w == b"\x00\x0248").expect("the engine's version");
    let folder = Folder::new();
    let open = |name: &str, content: &[u8]| {
        let path = format!("{}/{name}", folder.0);
        std::fs::File::create(&path).and_then(|mut file| file.write_all(content)).expect("a file");
        std::fs::File::open(path).expect("a file")
    };
    for (name, content) in [("wasm", &wasm[..]), ("empty", b""), ("text", &[b'x'; 100])] {
        let (code, text) = engine.load(&open(name, content)).expect_err("no artifact");
        assert_eq!(code, INCOMPATIBLE, "{text}");
    }
    bytes[at + 2..at + 4].copy_from_slice(b"47");
    let (code, text) = engine.load(&open("other", &bytes)).expect_err("another version");
    assert_eq!(code, INCOMPATIBLE, "{text}");
    assert!(text.contains("47"), "{text}");
}

#[test]
fn garbage_collected_and_throwing_guests_run() {
    let body = r#"(type $pair (struct (field i32) (field i32))) (tag $thrown (param i32))
      (func (export "_start")
        (block $caught (result i32)
          (try_table (catch $thrown $caught)
            (throw $thrown (struct.get $pair 1 (struct.new $pair (i32.const 1) (i32.const 6)))))
          (unreachable))
        (call $exit))"#;
    // Wasmi says that it cannot, see wasmi.rs.
    for runtime in [WASMTIME, PULLEY] {
        let report = run_on(runtime, &module("", body), &Grant::default());
        assert_eq!((report.kind, report.exit_code), (EXITED, 6), "{report:?}");
    }
}
