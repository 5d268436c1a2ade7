//! What Skiff tells a guest beyond WASI: modes, owners, filesystems, and who it is.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use support::*;

/// What a core guest asks with: `$path` and its like take a place in memory, `$want` ends with 1 when a number differs.
const CORE: &str = r#"
  (import "skiff" "path_attributes_get"
    (func $attributes (param i32 i32 i32 i32 i32) (result i32)))
  (import "skiff" "path_access_check" (func $access (param i32 i32 i32) (result i32)))
  (import "skiff" "path_mode_set" (func $set_mode (param i32 i32 i32) (result i32)))
  (import "skiff" "identity_get" (func $identity (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $want (param $step i32) (param $found i32) (param $wanted i32)
    (if (i32.ne (local.get $found) (local.get $wanted)) (then (call $exit (local.get $step)))))
"#;

/// Runs steps of a core guest on every engine; each is a call and the number it has to give.
fn steps(root: Option<&str>, steps: &[(String, i64)]) {
    let mut data = String::new();
    let mut calls = String::new();
    for (index, (call, wanted)) in steps.iter().enumerate() {
        // 'PATH' stands for its place and size.
        let at = 4096 + 64 * index;
        let call = match call.split('\'').collect::<Vec<_>>()[..] {
            [before, path, after] => {
                data += &format!("(data (i32.const {at}) \"{path}\")");
                let size = wat_size(path);
                format!("{before}(i32.const {at}) (i32.const {size}){after}")
            }
            _ => call.clone(),
        };
        calls += &format!("(call $want (i32.const {}) {call} (i32.const {wanted}))\n", index + 1);
    }
    let wat = format!(r#"(module {CORE} {data} (func (export "_start") {calls}))"#);
    let grant = Grant { root: root.map(str::to_owned), ..Grant::default() };
    let report = run_everywhere(&wat, &grant);
    let step = usize::try_from(report.exit_code - 1).ok().and_then(|step| steps.get(step));
    assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{step:?} {report:?}");
}

/// A text's size without the escapes `\hh`.
fn wat_size(text: &str) -> usize {
    text.len() - 2 * text.matches('\\').count()
}

fn attributes(flags: u32, path: &str) -> String {
    format!("(call $attributes (i32.const {flags}) '{path}' (i32.const 0) (i32.const 40))")
}

fn load(at: u32) -> String {
    format!("(i32.load (i32.const {at}))")
}

fn access(path: &str, rights: u32) -> String {
    format!("(call $access '{path}' (i32.const {rights}))")
}

fn set_mode(path: &str, mode: u32) -> String {
    format!("(call $set_mode '{path}' (i32.const {mode}))")
}

/// A root with the file `secret` (0640, 1001:1002), folders, and links to and out of it.
fn files() -> Folder {
    let folder = Folder::new();
    let root = &folder.0;
    std::fs::create_dir(format!("{root}/d")).expect("a folder");
    std::fs::write(format!("{root}/d/secret"), "x").expect("a file");
    std::fs::set_permissions(format!("{root}/d/secret"), PermissionsExt::from_mode(0o640)).unwrap();
    // Only root may give files away.
    let _ = std::os::unix::fs::chown(format!("{root}/d/secret"), Some(1001), Some(1002));
    symlink("d/secret", format!("{root}/link")).unwrap();
    symlink("/etc/passwd", format!("{root}/absolute")).unwrap();
    symlink("../../../../etc/passwd", format!("{root}/up")).unwrap();
    symlink("loop", format!("{root}/loop")).unwrap();
    folder
}

#[test]
fn core_guests_learn_mode_owners_and_filesystem() {
    let folder = files();
    let is = std::fs::metadata(format!("{}/d/secret", folder.0)).expect("a file");
    steps(
        Some(&folder.0),
        &[
            (attributes(1, "/d/secret"), 0),
            (load(0), 0o100640),
            (load(4), is.uid().into()),
            (load(8), is.gid().into()),
            (load(16), is.blocks() as i64),
            (attributes(0, "link"), 0),
            (load(0), 0o120777),
            (attributes(1, "link"), 0),
            (load(0), 0o100640),
            (attributes(1, "/"), 0),
            (load(0), 0o40700),
            (attributes(1, "//d/../d/"), 0),
            (load(0), 0o40755),
        ],
    );
}

#[test]
fn filesystems_have_names() {
    let folder = Folder::new();
    let c_path = std::ffi::CString::new(folder.0.as_str()).unwrap();
    // SAFETY: a text that ends, and a structure of numbers.
    let magic = unsafe {
        let mut system: libc::statfs = std::mem::zeroed();
        assert_eq!(libc::statfs(c_path.as_ptr(), &mut system), 0);
        system.f_type
    };
    // The tests' own: whatever holds /tmp here, and proc, which is everywhere.
    let name = |bytes: &[u8; 4]| i32::from_le_bytes(*bytes).into();
    steps(Some(&folder.0), &[(attributes(0, "."), 0), (load(12), magic as i32 as i64)]);
    steps(
        Some("/proc/self"),
        &[(attributes(0, "stat"), 0), (load(12), 0x9fa0), (load(24), name(b"proc")), (load(28), 0)],
    );
}

#[test]
fn paths_stay_below_the_root() {
    let (no_entry, not_directory, not_permitted) = (44, 54, 63);
    steps(
        Some(&files().0),
        &[
            (attributes(1, "missing"), no_entry),
            (attributes(1, ""), no_entry),
            (attributes(1, "d/secret/x"), not_directory),
            (attributes(1, "../etc/passwd"), not_permitted),
            (attributes(1, "/../etc/passwd"), not_permitted),
            (attributes(1, "absolute"), not_permitted),
            (attributes(1, "up"), not_permitted),
            (attributes(0, "up"), 0),
            (access("up", 4), not_permitted),
            (set_mode("absolute", 0o644), not_permitted),
            (attributes(1, "loop"), 32),
            (attributes(1, "\\ff"), 25),
            (attributes(1, "a\\00b"), 28),
            (attributes(2, "link"), 28),
        ],
    );
    let call = "(call $attributes (i32.const 1) (i32.const 0) (i32.const 4097) (i32.const 0) (i32.const 40))";
    steps(Some(&files().0), &[(call.into(), 37)]);
    steps(None, &[(attributes(1, "/"), no_entry)]);
}

#[test]
fn memory_that_is_not_the_guests_is_refused() {
    let call = |at: u32, size: u32, into: u32, room: u32| {
        format!(
            "(call $attributes (i32.const 1) (i32.const {at}) (i32.const {size})
              (i32.const {into}) (i32.const {room}))"
        )
    };
    steps(
        Some(&files().0),
        &[
            (call(65_535, 2, 0, 40), 21),
            (call(u32::MAX, u32::MAX, 0, 40), 21),
            ("(i32.store (i32.const 64) (i32.const 0x2f)) (i32.const 0)".into(), 0),
            (call(64, 1, 65_500, 40), 21),
            (call(64, 1, 0, 39), 28),
            (call(64, 1, 0, 1000), 0),
            ("(call $identity (i32.const 0) (i32.const 11))".into(), 28),
            ("(call $identity (i32.const 65530) (i32.const 12))".into(), 21),
        ],
    );
    let wat = r#"(module (import "skiff" "identity_get" (func $identity (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (func (export "_start") (call $exit (call $identity (i32.const 0) (i32.const 12)))))"#;
    assert_eq!(run_everywhere(wat, &Grant::default()).exit_code, 21, "it has no memory");
}

#[test]
fn modes_are_set_but_none_that_lends_ids() {
    let folder = files();
    steps(
        Some(&folder.0),
        &[
            (set_mode("link", 0o604), 0),
            (attributes(1, "d/secret"), 0),
            (load(0), 0o100604),
            (set_mode("d", 0o1777), 0),
            (attributes(1, "d"), 0),
            (load(0), 0o41777),
            (set_mode("link", 0o4755), 63),
            (set_mode("link", 0o2755), 63),
            (set_mode("link", 0o100644), 63),
            (set_mode("missing", 0o644), 44),
            (access("missing", 0), 44),
            (access("link", 0), 0),
            (access("link", 8), 28),
        ],
    );
    // Devices and pipes are not opened for it.
    let pipe = std::ffi::CString::new(format!("{}/pipe", folder.0)).unwrap();
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    steps(Some(&folder.0), &[(set_mode("pipe", 0o644), 58)]);
}

#[test]
fn identity_is_the_runners() {
    // SAFETY: numbers only.
    let (uid, gid, groups) = unsafe {
        (libc::geteuid(), libc::getegid(), libc::getgroups(0, std::ptr::null_mut()) as i64)
    };
    steps(
        None,
        &[
            ("(call $identity (i32.const 0) (i32.const 4096))".into(), 0),
            (load(0), uid.into()),
            (load(4), gid.into()),
            (load(8), groups),
        ],
    );
}

/// Asks for the root folder by its descriptor and prints "MODE" of it as a number of 32 bits, by exit code.
fn by_descriptor(version: &str, run: &str) -> String {
    format!(
        r#"(component
  (import "wasi:filesystem/types@{version}" (instance $types
    (export "descriptor" (type (sub resource)))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@{version}" (instance $preopens
    (alias outer 1 $descriptor (type $outer))
    (export "descriptor" (type $d (eq $outer)))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))
  (import "skiff:pod/metadata@0.1.0" (instance $metadata
    (alias outer 1 $descriptor (type $outer))
    (export "descriptor" (type $d (eq $outer)))
    (type $record (record (field "mode" u32) (field "uid" u32) (field "gid" u32) (field "blocks" u64)
      (field "filesystem-magic" u32) (field "filesystem-type" string)))
    (export "attributes" (type $attributes (eq $record)))
    (type $codes (enum "access" "illegal-byte-sequence" "insufficient-memory" "invalid" "io" "loop"
      "name-too-long" "no-entry" "not-directory" "not-permitted" "read-only" "unsupported"))
    (export "error" (type $error (eq $codes)))
    (export "get-attributes" (func (param "of" (borrow $d)) (result (result $attributes (error $error)))))))
  (core module $memory
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3)))))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $folders (canon lower (func $preopens "get-directories") (memory $m) (realloc $realloc)))
  (core func $ask (canon lower (func $metadata "get-attributes") (memory $m) (realloc $realloc)))
  (core module $guest
    (import "h" "memory" (memory 1))
    (import "h" "folders" (func $folders (param i32)))
    (import "h" "ask" (func $ask (param i32 i32)))
    ;; 1, an error, unless the answer has the root's mode, and a name for its filesystem.
    (func (export "run") (result i32)
      (call $folders (i32.const 0))
      (call $ask (i32.load (i32.load (i32.const 0))) (i32.const 64))
      (i32.or
        (i32.or (i32.load8_u (i32.const 64)) (i32.ne (i32.load (i32.const 72)) (i32.const 0x41c0)))
        (i32.eqz (i32.load (i32.const 104))))))
  (core instance $guest (instantiate $guest (with "h" (instance
    (export "memory" (memory $m)) (export "folders" (func $folders)) (export "ask" (func $ask))))))
  (func $run {run} (canon lift (core func $guest "run")))
  (instance $r (export "run" (func $run)))
  (export "wasi:cli/run@{version}" (instance $r)))"#
    )
}

#[test]
fn components_ask_by_descriptor_in_02_and_03() {
    let folder = Folder::new();
    for (version, run) in [("0.2.0", "(result (result))"), ("0.3.0", "async (result (result))")] {
        let wasm = wat::parse_str(by_descriptor(version, run)).expect("valid text");
        for runtime in [WASMTIME, PULLEY] {
            let grant = Grant { root: Some(folder.0.clone()), ..Grant::default() };
            let report = Engine::fit_for(runtime, &wasm).run(&wasm, &grant);
            assert_eq!((report.kind, report.exit_code), (EXITED, 0), "{version}: {report:?}");
        }
    }
}

#[test]
fn interfaces_have_versions() {
    for (name, code) in [
        ("skiff:pod/metadata@0.1.0", OK),
        ("skiff:pod/identity@0.1.7", OK),
        ("skiff:pod/metadata", UNSUPPORTED),
        ("skiff:pod/metadata@0.2.0", UNSUPPORTED),
        ("skiff:pod/nosuch@0.1.0", UNSUPPORTED),
    ] {
        let text = format!(r#"(component (import "{name}" (instance)))"#);
        assert_eq!(inspect(WASMTIME, &wat::parse_str(text).unwrap()).0, code, "{name}");
    }
    let wat = r#"(module (import "skiff" "path_owner_set" (func)))"#;
    assert_eq!(inspect(WASMTIME, &wat::parse_str(wat).unwrap()).0, UNSUPPORTED);
}
