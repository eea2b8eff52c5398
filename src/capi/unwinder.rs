//! gcc's unwinder and the C library: what std asks the one for, and the one asks the other.

use core::ffi::{c_int, c_void};

/// Nothing found: a panic's message comes without the way to it.
///
/// A gcc that was made for the GNU C library and links programs for musl (Debian's `musl-gcc`)
/// has an unwinder that calls this function of glibc's. The Makefile makes the name weak, so that
/// whoever has the real one has it; a gcc made for musl does not ask.
///
/// Source: [The GNU C Library, "Dynamic Linker
/// Introspection"](https://sourceware.org/glibc/manual/latest/html_node/Dynamic-Linker-Introspection.html).
#[cfg(target_env = "musl")]
#[no_mangle]
extern "C" fn _dl_find_object(_address: *mut c_void, _found: *mut c_void) -> c_int {
    -1
}

/// No frames, `_URC_END_OF_STACK`, for the panic's message, which keeps its file and line: link-time
/// optimisation finds that nobody prints a frame, and std's readers of DWARF, of packed sections and of
/// mangled names, more than half of the library, fall away.
///
/// The program that the library is linked with may unwind, throw and cancel its threads. So this is the
/// library's alone: capi/Makefile, which alone sets the feature, makes the name a local one in both
/// libraries. All other functions of the unwinder are the real ones, which walk through the library's frames
/// as ever.
///
/// Source: [Itanium C++ ABI: Exception
/// Handling](https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html#base-abi), `_Unwind_Backtrace`.
#[cfg(all(feature = "c-library", panic = "abort", not(feature = "backtrace")))]
#[allow(non_snake_case)]
#[no_mangle]
extern "C" fn _Unwind_Backtrace(_callback: *mut c_void, _argument: *mut c_void) -> c_int {
    5
}
