//! What WASI does not tell a guest: a file's mode, owners and filesystem, what it may do with the file, and who
//! the guest itself is. All of it as the guest's own process sees it: ids are those of its user namespace.
//!
//! A path is looked up below the guest's root as WASI looks it up: no `..` and no symbolic link leads out, and
//! an absolute link leads nowhere. Nothing here opens a file for more than its metadata but `set_mode_at`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use wasmtime::component::{ComponentType, Lower};

/// The longest path, as the kernel's own.
const PATH_BYTES_MAX: usize = 4096;
/// Setting the ids of who runs a file has no use for a guest, and on a volume it would reach outside.
const SETTABLE_MODE: u32 = 0o1777;
/// How often a look-up is begun again because a folder on its way was moved meanwhile.
const RACES_MAX: usize = 16;

/// What may be asked of `access_at`.
pub const READ: u32 = 4;
pub const WRITE: u32 = 2;
pub const EXECUTE: u32 = 1;

/// Why a call failed: what `wasi:filesystem` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Refusal {
    #[component(name = "access")]
    Access,
    #[component(name = "illegal-byte-sequence")]
    IllegalByteSequence,
    #[component(name = "insufficient-memory")]
    InsufficientMemory,
    #[component(name = "invalid")]
    Invalid,
    #[component(name = "io")]
    Io,
    #[component(name = "loop")]
    Loop,
    #[component(name = "name-too-long")]
    NameTooLong,
    #[component(name = "no-entry")]
    NoEntry,
    #[component(name = "not-directory")]
    NotDirectory,
    #[component(name = "not-permitted")]
    NotPermitted,
    #[component(name = "read-only")]
    ReadOnly,
    #[component(name = "unsupported")]
    Unsupported,
}

/// Each with its number in WASI 0.1 and on Linux.
const NUMBERS: [(Refusal, i32, i32); 13] = [
    (Refusal::Access, 2, libc::EACCES),
    (Refusal::IllegalByteSequence, 25, libc::EILSEQ),
    (Refusal::InsufficientMemory, 48, libc::ENOMEM),
    (Refusal::Invalid, 28, libc::EINVAL),
    (Refusal::Io, 29, libc::EIO),
    (Refusal::Loop, 32, libc::ELOOP),
    (Refusal::NameTooLong, 37, libc::ENAMETOOLONG),
    (Refusal::NoEntry, 44, libc::ENOENT),
    (Refusal::NotDirectory, 54, libc::ENOTDIR),
    (Refusal::NotPermitted, 63, libc::EPERM),
    // A path that leads out of the root.
    (Refusal::NotPermitted, 63, libc::EXDEV),
    (Refusal::ReadOnly, 69, libc::EROFS),
    (Refusal::Unsupported, 58, libc::EOPNOTSUPP),
];

impl Refusal {
    /// The number of WASI 0.1.
    pub fn number(self) -> i32 {
        NUMBERS.iter().find(|(refusal, ..)| *refusal == self).map_or(29, |(_, number, _)| *number)
    }

    fn last() -> Refusal {
        let errno = io::Error::last_os_error().raw_os_error();
        let known = NUMBERS.iter().find(|(.., linux)| Some(*linux) == errno);
        known.map_or(Refusal::Io, |(refusal, ..)| *refusal)
    }
}

/// A file's metadata beyond WASI's.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Attributes {
    /// As `st_mode`: kind and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of 512 bytes each.
    pub blocks: u64,
    /// The kernel's number of the filesystem.
    #[component(name = "filesystem-magic")]
    pub filesystem_magic: u32,
    /// Its name; where it has none here, the number as "0x0000f00d".
    #[component(name = "filesystem-type")]
    pub filesystem_type: String,
}

/// Who the guest is.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary ones, as the kernel lists them.
    pub groups: Vec<u32>,
}

/// At most 15 bytes each: the core form has room for no more.
const FILESYSTEMS: [(u32, &str); 21] = [
    (0x0000_ef53, "ext4"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlayfs"),
    (0x0000_9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0xe0f5_e1e2, "erofs"),
    (0x7371_7368, "squashfs"),
    (0x8584_58f6, "ramfs"),
    (0x9584_58f6, "hugetlbfs"),
    (0x0000_6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x00c3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x6367_7270, "cgroup2"),
    (0x0000_1cd1, "devpts"),
];

fn filesystem_name(magic: u32) -> String {
    let known = FILESYSTEMS.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("{magic:#010x}"), |(_, name)| (*name).to_owned())
}

/// The files below a guest's root.
pub struct Files {
    root: Option<String>,
    /// Opened at the first call: most guests make none.
    opened: OnceLock<Result<OwnedFd, Refusal>>,
}

impl Files {
    /// None: the guest has no files.
    pub fn below(root: Option<String>) -> Files {
        Files { root, opened: OnceLock::new() }
    }

    /// Of the file at the path, or of the symbolic link there.
    pub fn attributes_at(&self, path: &str, follow: bool) -> Result<Attributes, Refusal> {
        let links = if follow { 0 } else { libc::O_NOFOLLOW };
        attributes(self.open(path, libc::O_PATH | links)?.as_fd())
    }

    /// Whether the mount is read-only that a call writes to.
    pub fn write_to_read_only(&self, path: &str, written: Written) -> bool {
        self.root().is_ok_and(|root| writes_to_read_only(root, path, written))
    }

    /// Fails unless the guest has all of the rights to what the path leads to.
    pub fn access_at(&self, path: &str, rights: u32) -> Result<(), Refusal> {
        if rights & !(READ | WRITE | EXECUTE) != 0 {
            return Err(Refusal::Invalid);
        }
        let file = self.open(path, libc::O_PATH)?;
        let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS;
        // SAFETY: an open descriptor and a text that ends.
        let result = unsafe {
            // Not libc's function: it works without the descriptor's flag on old kernels, by modes alone.
            let (file, empty) = (file.as_raw_fd(), c"".as_ptr());
            libc::syscall(libc::SYS_faccessat2, file, empty, rights, flags)
        };
        if result == 0 { Ok(()) } else { Err(Refusal::last()) }
    }

    /// Sets the permissions of what the path leads to, a file or a folder of the guest that it may read or write.
    pub fn set_mode_at(&self, path: &str, mode: u32) -> Result<(), Refusal> {
        if mode & !SETTABLE_MODE != 0 {
            return Err(Refusal::NotPermitted);
        }
        // Opening a device or a pipe may do something; and the kernel wants a file that is open for more than its
        // metadata.
        let kind = self.attributes_at(path, true)?.mode & libc::S_IFMT;
        if kind != libc::S_IFREG && kind != libc::S_IFDIR {
            return Err(Refusal::Unsupported);
        }
        let quietly = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match self.open(path, libc::O_RDONLY | quietly) {
            Err(Refusal::Access) => self.open(path, libc::O_WRONLY | quietly)?,
            other => other?,
        };
        // SAFETY: an open descriptor.
        let result = unsafe { libc::fchmod(file.as_raw_fd(), mode) };
        if result == 0 { Ok(()) } else { Err(Refusal::last()) }
    }

    fn open(&self, path: &str, flags: i32) -> Result<OwnedFd, Refusal> {
        open_below(self.root()?, path, flags)
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Refusal> {
        let opened = self.opened.get_or_init(|| {
            let root = self.root.as_deref().ok_or(Refusal::NoEntry)?;
            let root = CString::new(root).map_err(|_| Refusal::Invalid)?;
            open_at(libc::AT_FDCWD, &root, libc::O_PATH | libc::O_DIRECTORY, 0)
        });
        opened.as_ref().map(AsFd::as_fd).map_err(|refusal| *refusal)
    }
}

fn open_below(folder: BorrowedFd<'_>, path: &str, flags: i32) -> Result<OwnedFd, Refusal> {
    let below = match path.trim_start_matches('/') {
        _ if path.len() > PATH_BYTES_MAX => return Err(Refusal::NameTooLong),
        "" if path.is_empty() => return Err(Refusal::NoEntry),
        "" => ".",
        below => below,
    };
    let below = CString::new(below).map_err(|_| Refusal::Invalid)?;
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    open_at(folder.as_raw_fd(), &below, flags, resolve)
}

fn open_at(folder: RawFd, path: &CString, flags: i32, resolve: u64) -> Result<OwnedFd, Refusal> {
    // SAFETY: numbers only.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    for _ in 0..RACES_MAX {
        // SAFETY: pointers to a text and to a structure of the size that is told.
        let opened = unsafe {
            let size = size_of::<libc::open_how>();
            libc::syscall(libc::SYS_openat2, folder, path.as_ptr(), &raw const how, size)
        };
        if opened >= 0 {
            // SAFETY: new, and nobody else's.
            return Ok(unsafe { OwnedFd::from_raw_fd(opened as RawFd) });
        }
        let errno = io::Error::last_os_error().raw_os_error();
        if errno != Some(libc::EAGAIN) && errno != Some(libc::EINTR) {
            break;
        }
    }
    Err(Refusal::last())
}

/// What a call writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// What the path leads to, or a new file there.
    File,
    /// An entry of the folder that the path's last part is in.
    Entry,
}

/// Whether the mount is read-only that a call writes to. Of interest once it has failed: nothing is known of a path
/// that leads nowhere.
pub fn writes_to_read_only(folder: BorrowedFd<'_>, path: &str, written: Written) -> bool {
    let path = path.trim_end_matches('/');
    let parent = path.rsplit_once('/').map_or(".", |(parent, _)| parent);
    let file = match written {
        Written::File => open_below(folder, path, libc::O_PATH),
        Written::Entry => Err(Refusal::NoEntry),
    };
    let Ok(place) = file.or_else(|_| open_below(folder, parent, libc::O_PATH)) else {
        return false;
    };
    // SAFETY: numbers only, filled by a call on an open descriptor.
    unsafe {
        let mut system: libc::statvfs = std::mem::zeroed();
        libc::fstatvfs(place.as_raw_fd(), &mut system) == 0 && system.f_flag & libc::ST_RDONLY != 0
    }
}

/// Of an open file.
pub fn attributes(file: BorrowedFd<'_>) -> Result<Attributes, Refusal> {
    let file = file.as_raw_fd();
    // SAFETY: numbers only, filled by calls on an open descriptor with a text that ends.
    let (status, system) = unsafe {
        let mut status: libc::statx = std::mem::zeroed();
        let mut system: libc::statfs = std::mem::zeroed();
        let (flags, wanted) = (libc::AT_EMPTY_PATH, libc::STATX_BASIC_STATS);
        if libc::statx(file, c"".as_ptr(), flags, wanted, &mut status) != 0
            || libc::fstatfs(file, &mut system) != 0
        {
            return Err(Refusal::last());
        }
        (status, system)
    };
    let magic = system.f_type as u32;
    Ok(Attributes {
        mode: status.stx_mode.into(),
        uid: status.stx_uid,
        gid: status.stx_gid,
        blocks: status.stx_blocks,
        filesystem_magic: magic,
        filesystem_type: filesystem_name(magic),
    })
}

/// Of the process, which is the guest's alone.
pub fn identity() -> Identity {
    // SAFETY: no pointers; then a list with room for what was counted. No thread changes its ids.
    unsafe {
        let count = libc::getgroups(0, std::ptr::null_mut()).max(0);
        let mut groups = vec![0; count as usize];
        let count = libc::getgroups(count, groups.as_mut_ptr()).max(0);
        groups.truncate(count as usize);
        Identity { uid: libc::geteuid(), gid: libc::getegid(), groups }
    }
}
