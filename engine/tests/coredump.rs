//! Core dumps of traps.

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use support::*;
use wasmparser::{DataKind, Operator, Parser, Payload};

/// Traps with something in its memory, above 2 GiB as well, and in its globals.
const TRAPS: &str = r#"(module $guest
  (memory (export "memory") 2)
  (memory $second 1)
  (global $counter (mut i64) (i64.const -77))
  (global (mut externref) (ref.null extern))
  (func $deep (unreachable))
  (func (export "_start")
    (i32.store (i32.const 70000) (i32.const 0x12345678))
    (i32.store $second (i32.const 8) (i32.const 9))
    (call $deep)))"#;

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().expect("a size").len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("the dump");
    bytes
}

/// The bytes of a memory at an address, as the dump has them.
fn dumped(dump: &[u8], memory: u32, address: usize) -> [u8; 4] {
    for payload in Parser::new(0).parse_all(dump) {
        let Payload::DataSection(segments) = payload.expect("a module") else { continue };
        for segment in segments {
            let segment = segment.expect("a segment");
            let DataKind::Active { memory_index, offset_expr } = segment.kind else { panic!() };
            let at = match offset_expr.get_operators_reader().read().expect("an offset") {
                Operator::I32Const { value } => value as u32 as usize,
                other => panic!("{other:?}"),
            };
            let range = at..at + segment.data.len();
            if memory_index == memory && range.contains(&address) {
                let found = &segment.data[address - at..address - at + 4];
                return found.try_into().expect("four bytes");
            }
        }
    }
    [0; 4]
}

#[test]
fn trap_leaves_a_core_dump() {
    for runtime in [WASMTIME, PULLEY] {
        let file = memfd();
        let copy = file.try_clone().expect("a descriptor");
        let grant = Grant { args: vec!["guest.wasm"], coredump: Some(copy), ..Grant::default() };
        let report = run_on(runtime, TRAPS, &grant);
        let dump = content(&file);
        assert_eq!(report.kind, TRAPPED);
        let lines: Vec<&str> = report.message.lines().collect();
        assert_eq!(lines[0], "wasm trap: wasm `unreachable` instruction executed");
        assert_eq!(lines[1], format!("core dump: {} bytes", dump.len()));
        assert_eq!(lines[2], "wasm backtrace:");
        assert_eq!(lines.len(), 5, "{}", report.message);

        wasmparser::Validator::new().validate_all(&dump).expect("a valid module");
        assert_eq!(dumped(&dump, 0, 70000), 0x12345678u32.to_le_bytes());
        assert_eq!(dumped(&dump, 1, 8), 9u32.to_le_bytes());
        let mut customs = Vec::new();
        for payload in Parser::new(0).parse_all(&dump) {
            match payload.expect("a module") {
                Payload::CustomSection(custom) => customs.push(custom.name().to_owned()),
                Payload::GlobalSection(globals) => {
                    let first = globals.into_iter().next().expect("a global").expect("valid");
                    let value = first.init_expr.get_operators_reader().read().expect("a value");
                    assert!(matches!(value, Operator::I64Const { value: -77 }), "{value:?}");
                }
                _ => {}
            }
        }
        assert_eq!(customs, ["core", "coremodules", "coreinstances", "corestack"]);
    }
}

#[test]
fn component_leaves_a_core_dump() {
    let wat = r#"(component
      (core module $m (memory 1) (func $deep (unreachable))
        (func (export "run") (result i32)
          (i32.store (i32.const 8) (i32.const 5)) (call $deep) (unreachable)))
      (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $r (export "run" (func $run)))
      (export "wasi:cli/run@0.2.0" (instance $r)))"#;
    let file = memfd();
    let copy = file.try_clone().expect("a descriptor");
    let report = run_on(WASMTIME, wat, &Grant { coredump: Some(copy), ..Grant::default() });
    let dump = content(&file);
    assert!(report.message.contains(&format!("core dump: {} bytes\n", dump.len())), "{report:?}");
    wasmparser::Validator::new().validate_all(&dump).expect("a valid module");
    assert_eq!(dumped(&dump, 0, 8), 5u32.to_le_bytes());
}

#[test]
fn larger_core_dump_than_allowed_is_not_written() {
    for bytes_max in [100, 8191, 8192 + 20, 8192 + 100] {
        let file = memfd();
        let copy = file.try_clone().expect("a descriptor");
        let grant =
            Grant { coredump: Some(copy), coredump_bytes_max: bytes_max, ..Grant::default() };
        let report = run_on(WASMTIME, TRAPS, &grant);
        let line = format!("core dump: none, it would be larger than {bytes_max} bytes");
        assert_eq!(report.message.lines().nth(1), Some(line.as_str()));
        assert_eq!(content(&file), b"");
    }
}

#[test]
fn exit_and_refused_descriptors_leave_none() {
    let wat = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 3))))"#;
    let file = memfd();
    let copy = file.try_clone().expect("a descriptor");
    let report = run_on(WASMTIME, wat, &Grant { coredump: Some(copy), ..Grant::default() });
    assert_eq!((report.exit_code, report.message.as_str()), (3, ""));
    assert_eq!(content(&file), b"");

    let reading = File::open("/dev/null").expect("a file");
    let report = run_on(WASMTIME, TRAPS, &Grant { coredump: Some(reading), ..Grant::default() });
    let line = report.message.lines().nth(1).unwrap_or_default();
    assert!(line.starts_with("core dump: none, Bad file descriptor"), "{line}");
}
