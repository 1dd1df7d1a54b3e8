//! A process whose calls of the system are handed to us before they are done: to be counted, refused, or never to return.
//!
//! The kernel hands them over (seccomp's user notification, Linux 5.5), not a library laid over libc: crates that call the
//! kernel themselves, as `tempfile` does when it renames, would go past a library unseen.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// What a call is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens what is there, to read or to write.
    Open,
    /// Opens, and makes or empties a file by it.
    Create,
    Write,
    Resize,
    Sync,
    Rename,
    Link,
    Remove,
    MakeFolder,
    /// Starts a thread.
    Thread,
}

/// A call that was not done yet.
#[derive(Clone, Debug)]
pub struct Call {
    pub kind: Kind,
    /// What it is done to; empty for threads.
    pub path: PathBuf,
    /// The new name, where it gives one.
    pub to: Option<PathBuf>,
}

impl Call {
    /// Whether files and folders differ after it. A kill between two such calls leaves the same files wherever it falls, so
    /// a kill before each is a kill at every moment.
    pub fn changes_files(&self) -> bool {
        !matches!(self.kind, Kind::Open | Kind::Thread)
    }

    /// Whether a full disk can refuse it.
    pub fn takes_space(&self) -> bool {
        !matches!(self.kind, Kind::Open | Kind::Thread | Kind::Remove)
    }

    /// Whether it concerns what lies in `folder`, or the folder itself.
    pub fn touches(&self, folder: &std::path::Path) -> bool {
        self.path.starts_with(folder) || self.to.as_ref().is_some_and(|to| to.starts_with(folder))
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Pass,
    /// It is not done, and returns this `errno`.
    Fail(i32),
    /// The process is killed before it is done.
    Kill,
}

/// Where a call names a file: the number of the argument that is a descriptor, a path, or a folder's descriptor with a path.
#[derive(Clone, Copy)]
enum Named {
    Descriptor(usize),
    #[cfg(target_arch = "x86_64")]
    Path(usize),
    At(usize, usize),
    Nothing,
}

struct Watched {
    number: libc::c_long,
    kind: Kind,
    path: Named,
    to: Named,
}

const fn on(number: libc::c_long, kind: Kind, path: Named) -> Watched {
    Watched { number, kind, path, to: Named::Nothing }
}

const fn between(number: libc::c_long, kind: Kind, path: Named, to: Named) -> Watched {
    Watched { number, kind, path, to }
}

const WATCHED: &[Watched] = &[
    on(libc::SYS_openat, Kind::Open, Named::At(0, 1)),
    on(libc::SYS_write, Kind::Write, Named::Descriptor(0)),
    on(libc::SYS_writev, Kind::Write, Named::Descriptor(0)),
    on(libc::SYS_pwrite64, Kind::Write, Named::Descriptor(0)),
    on(libc::SYS_pwritev, Kind::Write, Named::Descriptor(0)),
    on(libc::SYS_sendfile, Kind::Write, Named::Descriptor(0)),
    on(libc::SYS_copy_file_range, Kind::Write, Named::Descriptor(2)),
    on(libc::SYS_ftruncate, Kind::Resize, Named::Descriptor(0)),
    on(libc::SYS_fallocate, Kind::Resize, Named::Descriptor(0)),
    on(libc::SYS_fsync, Kind::Sync, Named::Descriptor(0)),
    on(libc::SYS_fdatasync, Kind::Sync, Named::Descriptor(0)),
    on(libc::SYS_unlinkat, Kind::Remove, Named::At(0, 1)),
    on(libc::SYS_mkdirat, Kind::MakeFolder, Named::At(0, 1)),
    between(libc::SYS_renameat2, Kind::Rename, Named::At(0, 1), Named::At(2, 3)),
    between(libc::SYS_linkat, Kind::Link, Named::At(0, 1), Named::At(2, 3)),
    on(libc::SYS_clone, Kind::Thread, Named::Nothing),
    on(libc::SYS_clone3, Kind::Thread, Named::Nothing),
    // Older calls, which other architectures do not have.
    #[cfg(target_arch = "x86_64")]
    on(libc::SYS_open, Kind::Open, Named::Path(0)),
    #[cfg(target_arch = "x86_64")]
    on(libc::SYS_creat, Kind::Create, Named::Path(0)),
    #[cfg(target_arch = "x86_64")]
    on(libc::SYS_truncate, Kind::Resize, Named::Path(0)),
    #[cfg(target_arch = "x86_64")]
    on(libc::SYS_unlink, Kind::Remove, Named::Path(0)),
    #[cfg(target_arch = "x86_64")]
    on(libc::SYS_rmdir, Kind::Remove, Named::Path(0)),
    #[cfg(target_arch = "x86_64")]
    on(libc::SYS_mkdir, Kind::MakeFolder, Named::Path(0)),
    #[cfg(target_arch = "x86_64")]
    between(libc::SYS_rename, Kind::Rename, Named::Path(0), Named::Path(1)),
    #[cfg(target_arch = "x86_64")]
    between(libc::SYS_renameat, Kind::Rename, Named::At(0, 1), Named::At(2, 3)),
    #[cfg(target_arch = "x86_64")]
    between(libc::SYS_link, Kind::Link, Named::Path(0), Named::Path(1)),
];

/// Runs a command to its end, and asks `answer` at each call. A process that is still there after `limit` is killed, and an
/// error.
pub fn watch(mut command: Command, limit: Duration, mut answer: impl FnMut(&Call) -> Answer) -> Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    let (ours, theirs) = UnixStream::pair()?;
    let (filter, socket) = (filter(), theirs.as_raw_fd());
    // SAFETY: what runs between fork and exec makes system calls alone; `theirs` is open until after that.
    unsafe { command.pre_exec(move || send_descriptor(socket, install(&filter)?)) };
    let mut child = command.spawn()?;
    let listener = receive_descriptor(&ours)?;
    let waiting = |timeout_ms: i32| -> Result<i16> {
        let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, which is ours.
        checked(i64::from(unsafe { libc::poll(&raw mut poll, 1, timeout_ms) }))?;
        Ok(poll.revents)
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Err(Error::new(ErrorKind::TimedOut, format!("still running after {} s", limit.as_secs())));
        }
        let events = waiting(left.as_millis() as i32 + 1)?;
        if events & libc::POLLIN != 0 {
            serve(&listener, &mut child, &mut answer)?;
        } else if events & libc::POLLHUP != 0 {
            return child.wait();
        }
    }
}

/// Takes one call and answers it.
fn serve(listener: &OwnedFd, child: &mut Child, answer: &mut impl FnMut(&Call) -> Answer) -> Result<()> {
    // SAFETY: the kernel asks for a zeroed structure and fills it in; all of it are numbers.
    let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: a request that takes such a structure.
    let received = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) };
    if received < 0 {
        return gone(Error::last_os_error());
    }
    let answer = call(&notice).map_or(Answer::Pass, |call| answer(&call));
    let (error, flags) = match answer {
        Answer::Pass => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Fail(errno) => (-errno, 0),
        Answer::Kill => return child.kill(),
    };
    let mut response = libc::seccomp_notif_resp { id: notice.id, val: 0, error, flags };
    // SAFETY: as above.
    let sent = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
    if sent < 0 { gone(Error::last_os_error()) } else { Ok(()) }
}

/// A thread that was killed meanwhile waits for no answer.
fn gone(error: Error) -> Result<()> {
    if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) { Ok(()) } else { Err(error) }
}

/// What is called; `None` if the process does not live to tell.
fn call(notice: &libc::seccomp_notif) -> Option<Call> {
    let number = libc::c_long::from(notice.data.nr);
    let watched = WATCHED.iter().find(|watched| watched.number == number)?;
    let arguments = &notice.data.args;
    let named = |named| match named {
        Named::Nothing => Some(PathBuf::new()),
        Named::Descriptor(descriptor) => link(notice.pid, arguments[descriptor]),
        #[cfg(target_arch = "x86_64")]
        Named::Path(path) => text(notice.pid, arguments[path]).and_then(|path| absolute(notice.pid, None, path)),
        Named::At(folder, path) => {
            text(notice.pid, arguments[path]).and_then(|path| absolute(notice.pid, Some(arguments[folder]), path))
        }
    };
    let flags = match number {
        libc::SYS_openat => arguments[2],
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => arguments[1],
        _ => 0,
    } as i32;
    let makes = flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
    let to = (!matches!(watched.to, Named::Nothing)).then(|| named(watched.to));
    Some(Call {
        kind: if makes { Kind::Create } else { watched.kind },
        path: named(watched.path)?,
        to: match to {
            Some(to) => Some(to?),
            None => None,
        },
    })
}

/// What a descriptor of the process is open on.
fn link(process: u32, descriptor: u64) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/fd/{}", descriptor as i32)).ok()
}

/// The path at an address of the process.
fn text(process: u32, address: u64) -> Option<PathBuf> {
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let mut bytes = vec![0; libc::PATH_MAX as usize];
    let read = memory.read_at(&mut bytes, address).ok()?;
    bytes.truncate(bytes[..read].iter().position(|&byte| byte == 0)?);
    Some(OsString::from_vec(bytes).into())
}

/// A path of the process, seen from the folder of a descriptor or from its working folder.
fn absolute(process: u32, folder: Option<u64>, path: PathBuf) -> Option<PathBuf> {
    if path.is_absolute() {
        return Some(path);
    }
    let folder = match folder {
        Some(descriptor) if descriptor as i32 != libc::AT_FDCWD => link(process, descriptor)?,
        _ => std::fs::read_link(format!("/proc/{process}/cwd")).ok()?,
    };
    Some(if path.as_os_str() == "." { folder } else { folder.join(path) })
}

/// The program that the kernel asks at each call: hand it over, or let it pass.
fn filter() -> Vec<libc::sock_filter> {
    let step = |code: u32, jt: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let number = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, number)];
    // A match jumps to the last step; those after it are as many as have not been asked for, and the one that lets pass.
    program.extend(WATCHED.iter().enumerate().map(|(done, watched)| {
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, (WATCHED.len() - done) as u8, watched.number as u32)
    }));
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_USER_NOTIF));
    program
}

/// Puts the filter before this process, which also must not outlive us; gives the descriptor that calls come by.
fn install(filter: &[libc::sock_filter]) -> Result<RawFd> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    die_with_parent()?;
    // SAFETY: plain numbers, and a program that lives until the call returns and is only read.
    unsafe {
        checked(i64::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))?;
        let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
        Ok(checked(libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program))? as RawFd)
    }
}

/// Has the kernel kill this process when the thread that started it ends.
pub fn die_with_parent() -> Result<()> {
    // SAFETY: plain numbers.
    checked(i64::from(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })).map(drop)
}

/// A message of one byte with room for a descriptor beside it.
struct Message {
    byte: [u8; 1],
    /// `u64`, so that it is aligned as the header that the kernel reads there.
    control: [u64; 4],
}

impl Message {
    fn with<T>(&mut self, use_it: impl FnOnce(&mut libc::msghdr) -> T) -> T {
        let mut part = libc::iovec { iov_base: self.byte.as_mut_ptr().cast(), iov_len: 1 };
        // SAFETY: a structure of numbers and pointers, for which zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        header.msg_control = self.control.as_mut_ptr().cast();
        // SAFETY: arithmetic.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
        use_it(&mut header)
    }
}

/// Hands a descriptor over; makes system calls alone.
fn send_descriptor(socket: RawFd, descriptor: RawFd) -> Result<()> {
    let mut message = Message { byte: [0], control: [0; 4] };
    // SAFETY: the header and its data lie within `control`.
    let sent = message.with(|header| unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        ((*first).cmsg_level, (*first).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(first).cast::<RawFd>().write_unaligned(descriptor);
        libc::sendmsg(socket, header, 0)
    });
    checked(sent as i64).map(drop)
}

fn receive_descriptor(socket: &UnixStream) -> Result<OwnedFd> {
    let mut message = Message { byte: [0], control: [0; 4] };
    // SAFETY: the header that the kernel wrote lies within `control`; the descriptor in it is new and nobody else's.
    message.with(|header| unsafe {
        checked(libc::recvmsg(socket.as_raw_fd(), header, libc::MSG_CMSG_CLOEXEC) as i64)?;
        let first = libc::CMSG_FIRSTHDR(header);
        if first.is_null() {
            return Err(Error::other("the process handed no descriptor over"));
        }
        Ok(OwnedFd::from_raw_fd(libc::CMSG_DATA(first).cast::<RawFd>().read_unaligned()))
    })
}

fn checked(result: i64) -> Result<i64> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}
