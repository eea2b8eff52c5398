//! gcc's unwinder, for programs that never unwind: functions that do nothing. Part of the two
//! programs, where panics abort; never of the library, whose users may unwind.
//!
//! With `panic = "abort"` std calls the unwinder for one thing only: a panic walks the stack, and
//! prints each frame with name and line where `RUST_BACKTRACE` asks for it. [`_Unwind_Backtrace`]
//! is given the function that prints a frame. This one never calls it; so link-time optimisation
//! finds it unused, and with it std's readers of DWARF, of packed sections and of mangled names,
//! which are half of each program. **What a panic then prints**: its message with file and line, as
//! ever, and no frames. Those come from a core dump and the unstripped program, or from a build
//! with the feature `backtrace`, which leaves this file out.
//!
//! The other functions are named by code that nothing calls: std's personality function, which
//! the unwinder would call in phase one and two of an exception, and landing pads. Nothing raises
//! an exception: Rust's panics end in abort(3) after their message, and there is no C++ in the
//! programs. The C library's thread cancellation, the one other user of an unwinder, loads
//! libgcc_s.so.1 by itself (glibc) or needs none (musl); nothing here cancels threads.
//!
//! Without link-time optimisation all of it is as sound, and saves nothing. A name that another
//! machine needs and that is not here comes from libgcc_s, as without this file; beside musl, where
//! the unwinder is an archive, it would bring the others a second time, so all are here.
//!
//! Source: [Itanium C++ ABI: Exception Handling](https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html#base-abi);
//! for `__aeabi`, `__gnu` and `VRS`, [EHABI32](https://github.com/ARM-software/abi-aa/blob/main/ehabi32/ehabi32.rst).
#![allow(unsafe_code, non_snake_case)]

#[cfg(not(panic = "abort"))]
compile_error!("programs that can unwind need an unwinder: panic = \"abort\" is not set");

/// No frames: `_URC_END_OF_STACK`.
#[no_mangle]
extern "C" fn _Unwind_Backtrace(_callback: usize, _argument: usize) -> i32 {
    5
}

/// What a landing pad ends in. There is nobody to land.
#[no_mangle]
extern "C" fn _Unwind_Resume(_exception: usize) -> ! {
    std::process::abort()
}

macro_rules! never_called {
    ($($name:ident)*) => {$(
        #[no_mangle]
        extern "C" fn $name() -> usize {
            0
        }
    )*};
}

never_called! {
    _Unwind_GetDataRelBase _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
}

#[cfg(target_arch = "arm")]
never_called! {
    _Unwind_VRS_Get _Unwind_VRS_Set __aeabi_unwind_cpp_pr0 __aeabi_unwind_cpp_pr1
    __gnu_unwind_frame
}

#[cfg(not(target_arch = "arm"))]
never_called! {
    _Unwind_DeleteException _Unwind_FindEnclosingFunction _Unwind_GetCFA _Unwind_GetGR
    _Unwind_GetIP _Unwind_GetIPInfo _Unwind_RaiseException _Unwind_SetGR _Unwind_SetIP
}
