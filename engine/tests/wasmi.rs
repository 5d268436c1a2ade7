//! What is Wasmi's own; what all engines have in common is in core.rs.

mod support;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use support::*;

fn compile(wat: &str) -> Result<File, (i32, String)> {
    Engine::with(WASMI, COMMAND).compile(&wat::parse_str(wat).expect("valid text"))
}

#[test]
fn every_proposal_of_wasmi_runs() {
    let wat = r#"(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (memory $second i64 1)
      (global $extended i32 (i32.add (i32.const 40) (i32.const 2)))
      (func $two (result i32 i32) (i32.const 1) (i32.const 1))
      (func $tail (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (return_call $tail (i32.sub (local.get 0) (i32.const 1))))
          (else (global.get $extended))))
      (func (export "_start")
        (memory.fill $second (i64.const 8) (i32.const 7) (i64.const 8))
        (if (i32.ne (i32.load8_u $second (i64.const 15)) (i32.const 7)) (then (unreachable)))
        (if (i32.ne (i32x4.extract_lane 2 (i32x4.splat (i32.const 5))) (i32.const 5))
          (then (unreachable)))
        (if (i32.ne (i32.trunc_sat_f32_s (f32.const nan)) (i32.const 0)) (then (unreachable)))
        (call $exit (i32.add (call $tail (i32.const 1000000)) (i32.add (call $two))))))"#;
    let report = run_everywhere(wat, &Grant::default());
    assert_eq!((report.kind, report.exit_code), (EXITED, 44), "{report:?}");
}

#[test]
fn what_wasmi_cannot_do_is_named() {
    let throws = "(module (tag $t) (func (throw $t)))";
    let (code, text) = compile(throws).expect_err("no exceptions");
    assert_eq!(code, UNSUPPORTED);
    assert_eq!(text, "wasmi cannot do what the module uses: exceptions");
    let collects = "(module (type (struct (field i32))))";
    let (code, text) = compile(collects).expect_err("no garbage collection");
    assert_eq!(code, UNSUPPORTED);
    assert!(text.contains("garbage collection"), "{text}");
    let (code, text) = compile("(module (memory 1 1 shared))").expect_err("no threads");
    assert_eq!((code, text.contains("threads")), (UNSUPPORTED, true), "{text}");
}

#[test]
fn invalid_modules_are_invalid() {
    let (code, text) = compile("(module (func (i32.const 1)))").expect_err("a value too many");
    assert_eq!(code, INVALID, "{text}");
}

#[test]
fn components_are_unsupported() {
    let wasm = wat::parse_str("(component)").expect("valid text");
    let (code, found, text) = inspect(WASMI, &wasm);
    assert_eq!((code, found.kind), (UNSUPPORTED, 2));
    assert_eq!(text, "wasmi runs core modules only, and this is a component");
}

#[test]
fn trap_tells_its_reason_and_that_there_is_no_dump() {
    let wat = r#"(module (func $deep (unreachable)) (func (export "_start") (call $deep)))"#;
    let grant = Grant { coredump: Some(memfd()), ..Grant::default() };
    let report = run_on(WASMI, wat, &grant);
    assert_eq!((report.kind, report.exit_code), (TRAPPED, -1));
    let expected = "wasm trap: wasm `unreachable` instruction executed\n\
                    core dump: none, wasmi cannot make one";
    assert_eq!(report.message, expected);
}

#[test]
fn errors_of_host_functions_keep_their_texts() {
    let wat = r#"(module
      (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
      (func (export "_start") (drop (call $yield))))"#;
    let report = run_everywhere(wat, &Grant::default());
    assert_eq!(report.kind, TRAPPED);
    assert!(report.message.contains("exports no memory named `memory`"), "{}", report.message);
    let starts =
        wat.replace(r#"(func (export "_start")"#, r#"(func (export "_start")) (start 2) (func"#);
    assert_eq!(run_everywhere(&starts, &Grant::default()).kind, TRAPPED);
}

#[test]
fn inspection_of_source_and_artifact_agree() {
    let wat = r#"(module (import "skiff" "terminating" (func (result i32)))
      (memory (export "memory") 3) (func (export "_start")))"#;
    let wasm = wat::parse_str(wat).expect("valid text");
    let (code, found, _) = inspect(WASMI, &wasm);
    assert_eq!(code, OK);
    let engine = Engine::with(WASMI, COMMAND);
    let module = engine.load(&engine.compile(&wasm).expect("compiles")).expect("loads");
    let mut again = std::mem::MaybeUninit::zeroed();
    let again = unsafe {
        let none = std::ptr::null_mut();
        let code = skiff_engine::ffi::skiff_module_inspect(module, again.as_mut_ptr(), none);
        assert_eq!(code, OK);
        skiff_engine::ffi::skiff_module_free(module);
        again.assume_init()
    };
    assert_eq!((again.kind, again.wasi, again.flags), (found.kind, found.wasi, found.flags));
    assert_eq!((again.memory_bytes_min, found.memory_bytes_min), (3 * 65536, 3 * 65536));
    assert_eq!(text(again.imports), text(found.imports));
    assert_eq!(text(again.exports), text(found.exports));
}

#[test]
fn foreign_artifacts_are_refused() {
    let wasm = wat::parse_str("(module)").expect("valid text");
    let read = |file: &File| {
        let mut bytes = vec![0; file.metadata().expect("a size").len() as usize];
        file.read_exact_at(&mut bytes, 0).expect("an artifact");
        bytes
    };
    let native = read(&Engine::new().compile(&wasm).expect("compiles"));
    let engine = Engine::with(WASMI, COMMAND);
    let own = read(&engine.compile(&wasm).expect("compiles"));
    let mut other_version = own.clone();
    let at = own.windows(5).position(|w| w == b"2.0.0").expect("the engine's version");
    other_version[at] = b'3';
    let refused: [&[u8]; 6] =
        [&native, &wasm, b"", &own[..50], &own[..own.len() - 1], &other_version];
    for content in refused {
        let mut file = memfd();
        file.write_all(content).expect("a file in memory");
        let (code, text) = engine.load(&file).expect_err("no artifact");
        assert_eq!(code, INCOMPATIBLE, "{text}");
    }
    let mut file = memfd();
    file.write_all(&own).expect("a file in memory");
    assert!(engine.load(&file).is_ok());
    drop(engine);
    assert_eq!(Engine::new().load(&file).expect_err("no artifact").0, INCOMPATIBLE);
}

#[test]
fn first_memory_that_the_machine_refuses_is_out_of_memory() {
    // 16 TiB of address space is more than a process has with this limit.
    let wat = r#"(module (memory i64 0) (func (export "_start")
        (if (i64.eq (memory.grow (i64.const 0x10000000)) (i64.const -1)) (then (unreachable)))))"#;
    let report = run_on(WASMI, wat, &Grant::default());
    assert_eq!((report.kind, report.bytes_refused), (OUT_OF_MEMORY, 1 << 44), "{report:?}");
}
