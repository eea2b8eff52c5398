//! boost::interprocess::message_queue: its few C++ lines are compiled here and loaded.

use crate::message::LONGEST;
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{bail, ensure, Context, Result};
use nix::libc;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub struct Boost;

const SOURCE: &str = include_str!("../boost_queue.cpp");

/// The functions of `boost_queue.cpp`.
struct Functions {
    words: unsafe extern "C" fn() -> *const c_char,
    create: unsafe extern "C" fn(*const c_char, usize, usize) -> c_int,
    remove: unsafe extern "C" fn(*const c_char) -> c_int,
    open: unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int,
    close: unsafe extern "C" fn(*mut c_void),
    send: unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int) -> c_int,
    receive: unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut usize, c_int) -> c_int,
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

fn functions() -> Result<&'static Functions> {
    FUNCTIONS.get().context("available() was not asked")
}

fn check(status: c_int) -> Result<()> {
    if status != 0 {
        // SAFETY: a static text that ends with NUL; this process has one thread.
        let words = unsafe { CStr::from_ptr((functions()?.words)()) };
        bail!("boost: {}", words.to_string_lossy());
    }
    Ok(())
}

/// Compiles the source and loads what came out.
fn load() -> Result<Functions> {
    let file = std::env::temp_dir().join(format!("shmdemo-compare-{}.so", std::process::id()));
    let mut compiler = Command::new("c++")
        .args(["-O2", "-shared", "-fPIC", "-w", "-x", "c++", "-", "-o"])
        .arg(&file)
        .args(["-pthread", "-lrt"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("no C++ compiler c++ (Debian: g++)")?;
    compiler.stdin.take().context("stdin")?.write_all(SOURCE.as_bytes())?;
    let output = compiler.wait_with_output()?;
    let first = String::from_utf8_lossy(&output.stderr);
    let first = first.lines().next().unwrap_or("").to_string();
    ensure!(output.status.success(), "not built (Debian: libboost-dev): {first}");
    let path = CString::new(file.as_os_str().as_encoded_bytes())?;
    // SAFETY: a path that ends with NUL; the library's initialisers are boost's.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    std::fs::remove_file(&file)?;
    ensure!(!library.is_null(), "dlopen failed");
    // SAFETY: the types are those of the functions in `boost_queue.cpp`.
    unsafe {
        Ok(Functions {
            words: symbol(library, c"queue_words")?,
            create: symbol(library, c"queue_create")?,
            remove: symbol(library, c"queue_remove")?,
            open: symbol(library, c"queue_open")?,
            close: symbol(library, c"queue_close")?,
            send: symbol(library, c"queue_send")?,
            receive: symbol(library, c"queue_receive")?,
        })
    }
}

/// The function of that name.
///
/// # Safety
/// `F` is the type of that function, a function pointer; `library` is loaded.
unsafe fn symbol<F>(library: *mut c_void, name: &CStr) -> Result<F> {
    // SAFETY: a loaded library and a name that ends with NUL.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    ensure!(!address.is_null(), "no {name:?} in what was built");
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: `F` is a function pointer, so of this size, and of this type, as the caller says.
    Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
}

pub struct End {
    functions: &'static Functions,
    queue: *mut c_void,
    spin: c_int,
    buffer: [u8; LONGEST],
}

impl End {
    fn new(spec: &Spec, name: &CStr) -> Result<Self> {
        let functions = functions()?;
        let mut queue = std::ptr::null_mut();
        // SAFETY: a name that ends with NUL, a place for the pointer.
        check(unsafe { (functions.open)(name.as_ptr(), &mut queue) })?;
        let spin = c_int::from(spec.wait == Wait::Spin);
        Ok(Self { functions, queue, spin, buffer: [0; LONGEST] })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // SAFETY: opened in `new`, closed once.
        unsafe { (self.functions.close)(self.queue) };
    }
}

impl Transport for Boost {
    const NAME: &'static str = "boost message_queue";
    type Link = CString;
    type Tx = End;
    type Rx = End;

    fn available() -> Result<()> {
        if FUNCTIONS.get().is_none() {
            let _ = FUNCTIONS.set(load()?);
        }
        Ok(())
    }
    fn link(spec: &Spec, direction: u32) -> Result<CString> {
        let name = CString::new(spec.name(direction))?;
        // SAFETY: a name that ends with NUL.
        check(unsafe { (functions()?.create)(name.as_ptr(), spec.depth(), spec.size.longest()) })?;
        Ok(name)
    }
    fn tx(spec: &Spec, name: &CString) -> Result<End> {
        End::new(spec, name)
    }
    fn rx(spec: &Spec, name: &CString) -> Result<End> {
        End::new(spec, name)
    }
    fn remove(_spec: &Spec, name: CString) {
        if let Ok(functions) = functions() {
            // SAFETY: a name that ends with NUL.
            unsafe { (functions.remove)(name.as_ptr()) };
        }
    }
}

impl Tx for End {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let (from, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: an open queue and a live slice.
        check(unsafe { (self.functions.send)(self.queue, from, len, self.spin) })
    }
}

impl Rx for End {
    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (to, mut len) = (self.buffer.as_mut_ptr().cast(), 0);
        // SAFETY: an open queue and a live buffer of LONGEST bytes.
        check(unsafe { (self.functions.receive)(self.queue, to, LONGEST, &mut len, self.spin) })?;
        each(&self.buffer[..len])
    }
}
