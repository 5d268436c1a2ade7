//! A read-only mount, and a guest that tries to write there.

use super::Folder;

impl Folder {
    /// A read-only mount with an empty file `in.txt`, for this thread and what it forks. Needs root.
    pub fn read_only() -> Folder {
        let folder = Folder::new();
        let path = std::ffi::CString::new(folder.0.as_str()).expect("no zero");
        let mount = |flags, kind: &std::ffi::CStr| unsafe {
            libc::mount(kind.as_ptr(), path.as_ptr(), kind.as_ptr(), flags, std::ptr::null())
        };
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "needs root");
            let all = libc::MS_REC | libc::MS_PRIVATE;
            let (none, root) = (std::ptr::null(), c"/".as_ptr());
            assert_eq!(libc::mount(none, root, none, all, std::ptr::null()), 0);
        }
        assert_eq!(mount(0, c"tmpfs"), 0);
        std::fs::write(format!("{}/in.txt", folder.0), "").expect("a file");
        assert_eq!(mount(libc::MS_REMOUNT | libc::MS_RDONLY, c"tmpfs"), 0);
        folder
    }
}

/// Calls of a core module that write below the root, which is their only preopened folder. Each ends the guest with its
/// number as the exit code unless it failed because of a read-only mount.
pub const WRITES: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times"
    (func $set_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $create_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $remove_directory (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file"
    (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link"
    (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename"
    (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "in.txt") (data (i32.const 80) "d/new") (data (i32.const 96) "new")
  (func $want (param $step i32) (param $found i32) (param $wanted i32)
    (if (i32.ne (local.get $found) (local.get $wanted)) (then (call $exit (local.get $step)))))
  (func $opened (param $flags i32) (param $rights i64) (param $at i32) (param $size i32)
    (result i32)
    (call $open (i32.const 3) (i32.const 1) (local.get $at) (local.get $size) (local.get $flags)
      (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 0)))
  (func (export "_start")
    (call $want (i32.const 1) (i32.const 0)
      (call $opened (i32.const 0) (i64.const 2) (i32.const 64) (i32.const 6)))
    (call $want (i32.const 2) (i32.const 69)
      (call $opened (i32.const 0) (i64.const 64) (i32.const 64) (i32.const 6)))
    (call $want (i32.const 3) (i32.const 69)
      (call $opened (i32.const 8) (i64.const 66) (i32.const 64) (i32.const 6)))
    (call $want (i32.const 4) (i32.const 69)
      (call $opened (i32.const 1) (i64.const 64) (i32.const 96) (i32.const 3)))
    (call $want (i32.const 5) (i32.const 44)
      (call $opened (i32.const 1) (i64.const 64) (i32.const 80) (i32.const 5)))
    (call $want (i32.const 6) (i32.const 69) (call $set_times (i32.const 3) (i32.const 1)
      (i32.const 64) (i32.const 6) (i64.const 1) (i64.const 1) (i32.const 5)))
    (call $want (i32.const 7) (i32.const 69)
      (call $create_directory (i32.const 3) (i32.const 96) (i32.const 3)))
    (call $want (i32.const 8) (i32.const 69)
      (call $unlink (i32.const 3) (i32.const 64) (i32.const 6)))
    (call $want (i32.const 9) (i32.const 69)
      (call $symlink (i32.const 64) (i32.const 6) (i32.const 3) (i32.const 96) (i32.const 3)))
    (call $want (i32.const 10) (i32.const 69) (call $link (i32.const 3) (i32.const 0)
      (i32.const 64) (i32.const 6) (i32.const 3) (i32.const 96) (i32.const 3)))
    (call $want (i32.const 11) (i32.const 69) (call $rename (i32.const 3)
      (i32.const 64) (i32.const 6) (i32.const 3) (i32.const 96) (i32.const 3)))
    (call $want (i32.const 12) (i32.const 69)
      (call $remove_directory (i32.const 3) (i32.const 96) (i32.const 3)))))"#;
