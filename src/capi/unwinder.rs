//! What gcc's unwinder asks the C library for, where the C library is musl.

use core::ffi::{c_int, c_void};

/// Nothing found: a panic's message comes without the way to it.
///
/// A gcc that was made for the GNU C library and links programs for musl (Debian's `musl-gcc`)
/// has an unwinder that calls this function of glibc's. The Makefile makes the name weak, so that
/// whoever has the real one has it; a gcc made for musl does not ask.
///
/// Source: [The GNU C Library, "Dynamic Linker
/// Introspection"](https://sourceware.org/glibc/manual/latest/html_node/Dynamic-Linker-Introspection.html).
#[no_mangle]
pub extern "C" fn _dl_find_object(_address: *mut c_void, _found: *mut c_void) -> c_int {
    -1
}
