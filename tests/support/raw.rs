//! The few raw system calls the tests make themselves: System V calls on the tests' own
//! segments and semaphore sets, a pseudo terminal, mounts and one system-call filter.
//! Everything here is safe to call; each unsafe block says why.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::os::unix::thread::JoinHandleExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub(super) fn checked(result: c_int) -> Result<c_int, Errno> {
    Errno::result(result)
}

/// The program begins with the signals that an interactive shell gives it, be the tests run with
/// nohup(1) or in the background, where SIGHUP or SIGINT is ignored and stays so.
pub fn with_usual_signals(command: &mut Command) {
    const SIGNALS: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    static IGNORED: OnceLock<bool> = OnceLock::new();
    if !*IGNORED.get_or_init(|| SIGNALS.iter().any(|signal| is_ignored(*signal))) {
        return; // then it needs no fork(2), a copy of the test, which takes its time on an emulated board
    }
    let usual = || {
        for signal in SIGNALS {
            // SAFETY: no handler is installed.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: signal may be called between fork and exec.
    unsafe { command.pre_exec(usual) };
}

fn is_ignored(signal: c_int) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one, which lives until it is over.
    checked(unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) })
        .expect("sigaction");
    // SAFETY: zeroed, then filled by the kernel; the structure is made of plain numbers.
    unsafe { now.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Sends a signal that is handled and does nothing to one thread: what that thread waits in ends with EINTR.
pub fn interrupt<T>(thread: &std::thread::JoinHandle<T>) {
    extern "C" fn nothing(_: c_int) {}
    let handler = nothing as extern "C" fn(c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing, and stays for good.
    unsafe { libc::signal(libc::SIGUSR2, handler) };
    // SAFETY: the thread is not joined yet, or there would be no handle of it.
    unsafe { libc::pthread_kill(thread.as_pthread_t() as libc::pthread_t, libc::SIGUSR2) };
}

/// The id of the segment with this key, as far as the caller may know of it.
pub fn shm_id(key: i32) -> Option<i32> {
    // SAFETY: shmget takes plain numbers.
    checked(unsafe { libc::shmget(key, 0, 0) }).ok()
}

/// A new segment. Panics where one with this key is there already.
pub fn shm_create(key: i32, size: usize, mode: i32) -> i32 {
    // SAFETY: shmget takes plain numbers.
    checked(unsafe { libc::shmget(key, size, libc::IPC_CREAT | libc::IPC_EXCL | mode) })
        .expect("shmget for a new segment")
}

pub fn shm_remove(id: i32) {
    // SAFETY: IPC_RMID looks at no buffer.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
}

fn shm_stat(id: i32) -> libc::shmid_ds {
    let mut ds = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: IPC_STAT fills the structure it is given, which lives until the call is over.
    checked(unsafe { libc::shmctl(id, libc::IPC_STAT, ds.as_mut_ptr()) }).expect("IPC_STAT");
    // SAFETY: zeroed, then filled by the kernel; the structure is made of plain numbers.
    unsafe { ds.assume_init() }
}

/// Gives the segment another owner (the creator stays) and mode.
pub fn shm_give(id: i32, uid: u32, mode: u32) {
    let mut ds = shm_stat(id);
    ds.shm_perm.uid = uid;
    ds.shm_perm.mode = mode as _;
    // SAFETY: IPC_SET reads the structure it is given, which lives until the call is over.
    checked(unsafe { libc::shmctl(id, libc::IPC_SET, &mut ds) }).expect("IPC_SET");
}

/// A thread that does something to a segment, again and again, until this is dropped.
pub struct Meddler(Arc<AtomicBool>);

impl Meddler {
    pub fn of(segment: c_int, mut act: impl FnMut(&View) + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        std::thread::spawn(move || {
            let view = View::attach(segment);
            while !told.load(Ordering::Relaxed) {
                act(&view);
            }
        });
        Self(over)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A segment of the test's own, attached.
pub struct View {
    start: *mut u8,
    size: usize,
}

impl View {
    pub fn attach(id: i32) -> View {
        let size = shm_stat(id).shm_segsz;
        // SAFETY: the kernel chooses an address that is free.
        let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        assert!(start as isize != -1, "shmat: {}", Errno::last());
        View { start: start.cast(), size }
    }

    /// What the segment holds. Meaningful only while no other process writes there.
    pub fn bytes(&self) -> Vec<u8> {
        let mut copy = vec![0; self.size];
        // SAFETY: `size` bytes are attached at `start` (IPC_STAT) until drop; the copy is as long and
        // apart from it.
        unsafe { std::ptr::copy_nonoverlapping(self.start, copy.as_mut_ptr(), self.size) };
        copy
    }

    /// The word at this offset, a multiple of 4, while others may write there.
    pub fn word(&self, at: usize) -> u32 {
        assert!(at % 4 == 0 && at + 4 <= self.size);
        // SAFETY: the range was checked against the size of what is attached, at a page's start.
        unsafe { self.start.add(at).cast::<u32>().read_volatile() }
    }

    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.size);
        // SAFETY: the range was checked against the size of what is attached; the source is apart from it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(at), bytes.len()) };
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: `start` came from shmat, and no reference into the segment is ever handed out.
        unsafe { libc::shmdt(self.start as *const c_void) };
    }
}

/// The bytes of a segment, attached for the moment.
pub fn shm_bytes(id: i32) -> Vec<u8> {
    View::attach(id).bytes()
}

pub fn sem_id(key: i32) -> Option<i32> {
    // SAFETY: semget takes plain numbers.
    checked(unsafe { libc::semget(key, 0, 0) }).ok()
}

/// A new semaphore set. Panics where one with this key is there already.
pub fn sem_create(key: i32, count: i32, mode: i32) -> i32 {
    // SAFETY: semget takes plain numbers.
    checked(unsafe { libc::semget(key, count, libc::IPC_CREAT | libc::IPC_EXCL | mode) })
        .expect("semget for a new set")
}

pub fn sem_remove(id: i32) {
    // SAFETY: IPC_RMID takes no fourth argument.
    unsafe { libc::semctl(id, 0, libc::IPC_RMID) };
}

/// The fourth argument of semctl, by value: an int in its place goes wrong on some machines.
#[repr(C)]
#[derive(Clone, Copy)]
union Semun {
    val: i32,
    buf: *mut libc::semid_ds,
}

/// Gives the set another owner (the creator stays) and mode.
pub fn sem_give(id: i32, uid: u32, mode: u32) {
    let mut ds = std::mem::MaybeUninit::<libc::semid_ds>::zeroed();
    // SAFETY: IPC_STAT fills the structure it is given, which lives until the call is over.
    checked(unsafe { libc::semctl(id, 0, libc::IPC_STAT, Semun { buf: ds.as_mut_ptr() }) })
        .expect("IPC_STAT");
    // SAFETY: zeroed, then filled by the kernel; the structure is made of plain numbers.
    let mut ds = unsafe { ds.assume_init() };
    ds.sem_perm.uid = uid;
    ds.sem_perm.mode = mode as _;
    // SAFETY: IPC_SET reads the structure it is given, which lives until the call is over.
    checked(unsafe { libc::semctl(id, 0, libc::IPC_SET, Semun { buf: &mut ds }) })
        .expect("IPC_SET");
}

pub fn sem_set(id: i32, number: i32, value: i32) {
    // SAFETY: SETVAL takes the union's number as its fourth argument.
    checked(unsafe { libc::semctl(id, number, libc::SETVAL, Semun { val: value }) })
        .expect("SETVAL");
}

pub fn sem_get(id: i32, number: i32) -> i32 {
    // SAFETY: GETVAL takes no fourth argument.
    checked(unsafe { libc::semctl(id, number, libc::GETVAL) }).expect("GETVAL")
}

/// What a command says of this semaphore (GETVAL, GETPID, GETNCNT, GETZCNT); `None`: there is no such set.
pub fn sem_look(key: i32, number: u16, command: c_int) -> Option<i32> {
    let id = sem_id(key)?;
    // SAFETY: these commands take no fourth argument.
    checked(unsafe { libc::semctl(id, i32::from(number), command) }).ok()
}

/// Adds `change` to a semaphore, for good; where that would be a wait, it does not happen.
pub fn sem_add(id: i32, number: u16, change: i16) {
    let mut op = libc::sembuf { sem_num: number, sem_op: change, sem_flg: libc::IPC_NOWAIT as i16 };
    // SAFETY: one operation, which lives through the call.
    checked(unsafe { libc::semop(id, &mut op, 1) }).expect("semop");
}

/// How many wait for this semaphore to grow.
pub fn sem_waiters(id: i32, number: i32) -> i32 {
    // SAFETY: GETNCNT takes no fourth argument.
    checked(unsafe { libc::semctl(id, number, libc::GETNCNT) }).expect("GETNCNT")
}

/// ftok(3), from the C library.
pub fn ftok(path: &Path, id: i32) -> i32 {
    let path = CString::new(path.as_os_str().as_bytes()).expect("path without NUL");
    // SAFETY: the path is a C string that lives until the call is over.
    checked(unsafe { libc::ftok(path.as_ptr(), id) }).expect("ftok")
}

/// Both ends of a new pseudo terminal: the keyboard's and the program's.
pub fn terminal() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: posix_openpt takes flags and returns a descriptor nobody else owns.
    let keyboard = checked(unsafe { libc::posix_openpt(flags) })?;
    // SAFETY: the descriptor is fresh and owned by nobody.
    let keyboard_fd = unsafe { OwnedFd::from_raw_fd(keyboard) };
    let mut name = [0; 64];
    // SAFETY: both work on the descriptor opened above; ptsname_r writes at most the length it is told.
    unsafe {
        checked(libc::grantpt(keyboard))?;
        checked(libc::unlockpt(keyboard))?;
        match libc::ptsname_r(keyboard, name.as_mut_ptr(), name.len()) {
            0 => {}
            error => return Err(Errno::from_raw(error)),
        }
    }
    // SAFETY: ptsname_r left a C string in `name`; open returns a descriptor nobody else owns.
    let screen = checked(unsafe {
        libc::open(
            CStr::from_ptr(name.as_ptr()).as_ptr(),
            libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
        )
    })?;
    // SAFETY: the descriptor is fresh and owned by nobody.
    Ok((keyboard_fd, unsafe { OwnedFd::from_raw_fd(screen) }))
}

/// mount(2); `data`: options of the file system.
pub fn mount(
    source: &str,
    target: &Path,
    kind: &str,
    flags: libc::c_ulong,
    data: &str,
) -> Result<(), Errno> {
    let text = |text: &str| CString::new(text).expect("text without NUL");
    let (source, kind, data) = (text(source), text(kind), text(data));
    let target = CString::new(target.as_os_str().as_bytes()).expect("path without NUL");
    // SAFETY: four C strings that live until the call is over.
    checked(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    })
    .map(drop)
}

/// From now on this thread, and what it starts, mounts for itself alone.
pub fn private_mounts() -> Result<(), Errno> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount("none", Path::new("/"), "none", libc::MS_REC | libc::MS_PRIVATE, "")
}

/// From now on shmget and semget fail with ENOSYS in this thread and in the processes it starts,
/// as they do in a kernel built without System V IPC.
pub fn forbid_sysv() -> Result<(), Errno> {
    refuse(&[libc::SYS_shmget, libc::SYS_semget], libc::ENOSYS)
}

/// From now on these calls fail with `errno` in this thread and in the processes it starts.
pub fn refuse(calls: &[libc::c_long], errno: i32) -> Result<(), Errno> {
    let step =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for call in calls {
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, *call as u32));
        let refusal = libc::SECCOMP_RET_ERRNO | errno as u32;
        program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, refusal));
    }
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the filter, which lives until both calls are over.
    unsafe {
        checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        checked(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter, 0, 0))?;
    }
    Ok(())
}

/// The program begins with these signals blocked, as a parent that blocks them leaves it.
pub fn block_in(command: &mut std::process::Command, signals: &[nix::sys::signal::Signal]) {
    let set: nix::sys::signal::SigSet = signals.iter().copied().collect();
    // SAFETY: one system call that allocates nothing, which may be made between fork and exec.
    unsafe { command.pre_exec(move || Ok(set.thread_block()?)) };
}

/// Does `work` in a child made by fork(2) and ends it with what that gives. The child has one
/// thread, so `work` must not wait for another one of this test.
pub fn in_child(work: impl FnOnce() -> i32) -> nix::unistd::Pid {
    // SAFETY: the C library makes its allocator usable in the child; nothing else that other
    // threads may hold is used there.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        nix::unistd::ForkResult::Parent { child } => child,
        nix::unistd::ForkResult::Child => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(99);
            // SAFETY: ends the process, and nothing else.
            unsafe { libc::_exit(code) }
        }
    }
}

/// The same in a child made by clone(2) alone, of which the C library knows nothing: no handler of
/// pthread_atfork(3) was called. `work` must not allocate.
pub fn in_bare_child(work: impl FnOnce() -> i32) -> nix::unistd::Pid {
    let (flags, none) = (libc::c_long::from(libc::SIGCHLD), 0 as libc::c_long);
    // SAFETY: without flags it is fork(2): the child has a copy of everything, and ends below.
    match unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) } {
        0 => {
            let code = work();
            // SAFETY: ends the process, and nothing else.
            unsafe { libc::_exit(code) }
        }
        -1 => panic!("clone: {}", Errno::last()),
        child => nix::unistd::Pid::from_raw(child as libc::pid_t),
    }
}

/// Waits for the child's end: its exit code.
pub fn code_of(child: nix::unistd::Pid) -> i32 {
    match nix::sys::wait::waitpid(child, None).expect("waitpid") {
        nix::sys::wait::WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

/// A free place for `bytes` (whole pages) of address space with a page on either side that
/// nothing may touch: what runs over the end of what is attached here ends the process.
pub fn guarded_place(bytes: usize) -> usize {
    // SHMLBA: where segments may be attached on ARM, and more than enough elsewhere.
    const ALIGN: usize = 4 * 4096;
    // SAFETY: sysconf takes a plain number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    assert!(bytes % page == 0, "{bytes} bytes are no whole pages");
    let (length, flags) = (bytes + 2 * ALIGN, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses; nothing else uses it.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
    assert!(start != libc::MAP_FAILED, "mmap: {}", Errno::last());
    let place = (start as usize + page).next_multiple_of(ALIGN);
    // SAFETY: whole pages inside the mapping just made, with at least one on either side.
    unsafe { libc::munmap(place as *mut c_void, bytes) };
    place
}
