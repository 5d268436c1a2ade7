//! Components with WASI 0.3, and what a component must not import.

mod support;

use support::*;

fn command(args: &[&str], grant: Grant) -> Report {
    let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
    run_guest("command-03", &args, grant)
}

#[test]
fn command_has_arguments_environment_and_streams() {
    let grant = Grant { env: vec!["NAME=value"], ..Grant::default() };
    let report = command(&["args", "env", "NAME", "env", "OTHER", "eprint", "to stderr"], grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
    let arguments = "args\nenv\nNAME\nenv\nOTHER\neprint\nto stderr\n";
    assert_eq!(report.stdout, format!("{arguments}value\nnot set\n"));
    assert_eq!(report.stderr, "to stderr\n");
}

#[test]
fn exit_codes() {
    for (args, code) in [(&["exit", "0"][..], 0), (&["exit", "130"], 130), (&["fail"], 1)] {
        let report = command(args, Grant::default());
        assert_eq!((report.kind, report.exit_code), (EXITED, code), "{report:?}");
    }
    let report = command(&["print", "before", "trap"], Grant::default());
    assert_eq!((report.kind, report.exit_code), (TRAPPED, -1), "{report:?}");
    assert_eq!(report.stdout, "before\n");
    assert!(report.message.starts_with("wasm trap: wasm `unreachable`"), "{}", report.message);
}

#[test]
fn long_output_arrives_whole() {
    let long = String::leak("0123456789".repeat(5_000));
    let report = command(&["print", long], Grant::default());
    assert_eq!(report.stdout, format!("{long}\n"));
}

#[test]
fn waits_end() {
    let report = command(&["sleep", "0", "sleep", "20", "print", "woken"], Grant::default());
    assert_eq!((report.kind, report.stdout.as_str()), (EXITED, "woken\n"), "{report:?}");
}

/// The first wait ends early, the one that begins after it does not.
#[test]
fn stop_order_ends_a_wait_once() {
    let grant = Grant { stop_after_output: true, ..Grant::default() };
    let args = ["print", "begin", "sleep", "3600000", "print", "cut short", "sleep", "20"];
    let report = command(&args, grant);
    assert_eq!((report.kind, report.stdout.as_str()), (EXITED, "begin\ncut short\n"), "{report:?}");
}

#[test]
fn folders_are_made_and_a_read_only_mount_is_named() {
    let folder = Folder::new();
    let in_root = |folder: &Folder| Grant { root: Some(folder.0.clone()), ..Grant::default() };
    let report = command(&["mkdir", "new", "mkdir", "new"], in_root(&folder));
    assert_eq!(report.stdout, "00\n06\n", "made, then `exist`: {report:?}");
    let read_only = Folder::read_only();
    let report = command(&["mkdir", "new", "mkdir", "no/new"], in_root(&read_only));
    assert_eq!(report.stdout, "32\n19\n", "`read-only`, then `no-entry`: {report:?}");
}

#[test]
fn pulley_runs_it_as_well() {
    let wasm = guest("command-03");
    let grant = Grant { args: vec!["command-03", "print", "portable"], ..Grant::default() };
    let report = Engine::fit_for(PULLEY, &wasm).run(&wasm, &grant);
    assert_eq!((report.kind, report.stdout.as_str()), (EXITED, "portable\n"), "{report:?}");
}

/// A component whose `wasi:cli/run` 0.3 is the core function `run`.
fn component(imports: &str, lowered: &[&str], core: &str) -> Vec<u8> {
    let exports: String =
        lowered.iter().map(|name| format!(r#"(export "{name}" (func ${name}))"#)).collect();
    let text = format!(
        r#"(component {imports}
          (core module $m {core})
          (core instance $i (instantiate $m (with "h" (instance {exports}))))
          (func $run async (result (result)) (canon lift (core func $i "run")))
          (instance $r (export "run" (func $run)))
          (export "wasi:cli/run@0.3.0" (instance $r)))"#
    );
    wat::parse_str(text).expect("valid text")
}

#[test]
fn lifecycle_wait_ends_with_the_stop_order() {
    let imports = r#"(import "skiff:pod/lifecycle@0.1.0" (instance $lifecycle
        (export "terminating" (func (result bool)))
        (export "wait" (func async))))
      (core func $terminating (canon lower (func $lifecycle "terminating")))
      (core func $wait (canon lower (func $lifecycle "wait")))"#;
    // The error result unless it learns of the order by waiting, and only then.
    let core = r#"(import "h" "terminating" (func $terminating (result i32)))
      (import "h" "wait" (func $wait))
      (func (export "run") (result i32)
        (if (call $terminating) (then (return (i32.const 1))))
        (call $wait)
        (i32.eqz (call $terminating)))"#;
    let wasm = component(imports, &["terminating", "wait"], core);
    let grant = Grant { stop_soon: true, ..Grant::default() };
    let report = Engine::fit_for(WASMTIME, &wasm).run(&wasm, &grant);
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{report:?}");
}

#[test]
fn imports_that_nobody_provides_are_named_with_their_version() {
    let missing = [
        "wasi:keyvalue/store@0.2.0",
        "wasi:http/client@0.2.0",
        "wasi:cli/stdout@0.3.0-rc-2025-09-16",
        "wasi:io/poll@0.3.0",
        "wasi:cli/stdout@0.4.0",
        "my:own/interface",
    ];
    for name in missing {
        let text = format!(r#"(component (import "{name}" (instance (export "f" (func)))))"#);
        let (code, _, error) = inspect(WASMTIME, &wat::parse_str(text).unwrap());
        let expected = format!("the component needs imports that nobody provides: {name}");
        assert_eq!((code, error), (UNSUPPORTED, expected));
    }
    for name in ["wasi:http/client@0.3.0", "wasi:http/types@0.2.12", "wasi:sockets/types@0.3.9"] {
        let text = format!(r#"(component (import "{name}" (instance)))"#);
        let (code, _, error) = inspect(WASMTIME, &wat::parse_str(text).unwrap());
        assert_eq!((code, error.as_str()), (OK, ""), "{name}");
    }
}

#[test]
fn a_function_of_a_later_version_is_named_before_the_guest_runs() {
    for (interface, is_async) in [("wasi:cli/exit@0.2.99", ""), ("wasi:clocks/types@0.3.99", "")] {
        let imports = format!(
            r#"(import "{interface}" (instance $later (export "of-tomorrow" (func {is_async}))))
            (core func $of_tomorrow (canon lower (func $later "of-tomorrow")))"#
        );
        let core = r#"(import "h" "of_tomorrow" (func))
          (func (export "run") (result i32) (i32.const 0))"#;
        let wasm = component(&imports, &["of_tomorrow"], core);
        let report = Engine::fit_for(WASMTIME, &wasm).run(&wasm, &Grant::default());
        assert_eq!(report.kind, START_FAILED, "{report:?}");
        assert_eq!(
            report.message,
            format!(
                "the component needs the function `of-tomorrow` of {interface}, which nobody provides"
            )
        );
    }
}

#[test]
fn what_guests_import_passes_the_inspection() {
    for name in ["command-03", "http-hello", "http-hello-03", "sockets", "sockets-03"] {
        let (code, _, error) = inspect(WASMTIME, &guest(name));
        assert_eq!((code, error.as_str()), (OK, ""), "{name}");
    }
}
