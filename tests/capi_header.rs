//! `include/shmdemo.h` against the Rust side: the compiler of each says what its types, values and
//! signatures are, and a C compiler compares them.
//!
//! Needs the feature `capi`: `cargo test --features capi --test capi_header`.
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int, c_void};
use core::mem::size_of;
use shmdemo::capi::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;

// core's own is of Rust 1.77.
macro_rules! offset_of {
    ($of:ty, $field:ident) => {{
        let place = core::mem::MaybeUninit::<$of>::uninit();
        // SAFETY: an address inside `place`; nothing is read.
        let field = unsafe { core::ptr::addr_of!((*place.as_ptr()).$field) };
        field as usize - place.as_ptr() as usize
    }};
}
use std::process::Command;

const HEADER: &str = include_str!("../include/shmdemo.h");

/// What C calls a type.
trait InC {
    fn name() -> String;
}

macro_rules! in_c {
    ($($rust:ty: $c:literal),+ $(,)?) => {
        $(impl InC for $rust {
            fn name() -> String {
                $c.into()
            }
        })+
    };
}

in_c! {
    (): "void",
    // One of them is c_char; no function takes the other.
    i8: "char",
    u8: "char",
    i32: "int",
    u32: "uint32_t",
    usize: "size_t",
    c_void: "void",
    shmdemo_options: "struct shmdemo_options",
    shmdemo_record: "struct shmdemo_record",
    shmdemo_status: "struct shmdemo_status",
    shmdemo_producer: "shmdemo_producer",
    shmdemo_consumer: "shmdemo_consumer",
}

impl<T: InC> InC for *const T {
    fn name() -> String {
        format!("{} const *", T::name())
    }
}

impl<T: InC> InC for *mut T {
    fn name() -> String {
        format!("{} *", T::name())
    }
}

/// The C type of a pointer to a function.
trait Signature {
    fn pointer(&self, name: &str) -> String;
}

macro_rules! signature {
    ($($argument:ident)*) => {
        signature!(@ extern "C" fn($($argument),*) -> R, $($argument)*);
        signature!(@ unsafe extern "C" fn($($argument),*) -> R, $($argument)*);
    };
    (@ $function:ty, $($argument:ident)*) => {
        impl<R: InC, $($argument: InC),*> Signature for $function {
            fn pointer(&self, name: &str) -> String {
                let arguments: Vec<String> = vec![$($argument::name()),*];
                let arguments = if arguments.is_empty() { "void".into() } else { arguments.join(", ") };
                format!("{} (*{name})({arguments})", R::name())
            }
        }
    };
}

signature!();
signature!(A);
signature!(A B);
signature!(A B C);
signature!(A B C D);
signature!(A B C D E);

/// The text of a C program that compiles if the header is right, and the functions it has.
fn program() -> (String, BTreeSet<String>) {
    let mut text = String::from("#include <shmdemo.h>\n");
    let mut functions = BTreeSet::new();
    macro_rules! functions {
        ($($name:ident($($argument:ty),*) $(-> $result:ty)?),+ $(,)?) => {
            $({
                #[allow(unused_unsafe)]
                let function: &dyn Signature =
                    &($name as functions!(@ ($($argument),*) $(-> $result)?));
                let pointer = function.pointer(concat!("p_", stringify!($name)));
                writeln!(text, "extern {pointer};\n{pointer} = {};", stringify!($name)).unwrap();
                functions.insert(stringify!($name).to_string());
            })+
        };
        (@ ($($argument:ty),*) $(-> $result:ty)?) => {
            unsafe extern "C" fn($($argument),*) $(-> $result)?
        };
    }
    functions! {
        shmdemo_version() -> *const c_char,
        shmdemo_version_number() -> u32,
        shmdemo_last_error() -> *const c_char,
        shmdemo_last_errno() -> c_int,
        shmdemo_strerror(c_int) -> *const c_char,
        shmdemo_options_init(*mut shmdemo_options, usize) -> c_int,
        shmdemo_producer_open(*mut *mut shmdemo_producer, *const shmdemo_options, i32) -> c_int,
        shmdemo_producer_close(*mut shmdemo_producer),
        shmdemo_producer_send(*mut shmdemo_producer, *const c_void, usize, u32, i32) -> c_int,
        shmdemo_producer_reserve(*mut shmdemo_producer, usize, i32, *mut *mut c_void) -> c_int,
        shmdemo_producer_commit(*mut shmdemo_producer, usize, u32) -> c_int,
        shmdemo_producer_ring(*mut shmdemo_producer) -> c_int,
        shmdemo_producer_finish(*mut shmdemo_producer, i32) -> c_int,
        shmdemo_producer_fd(*mut shmdemo_producer) -> c_int,
        shmdemo_producer_wake(*const shmdemo_producer),
        shmdemo_producer_lane(*mut shmdemo_producer) -> c_int,
        shmdemo_producer_max_message(*mut shmdemo_producer) -> c_int,
        shmdemo_consumer_open(*mut *mut shmdemo_consumer, *const shmdemo_options, i32) -> c_int,
        shmdemo_consumer_close(*mut shmdemo_consumer),
        shmdemo_consumer_wait(*mut shmdemo_consumer, i32) -> c_int,
        shmdemo_consumer_fd(*mut shmdemo_consumer) -> c_int,
        shmdemo_consumer_peek(*mut shmdemo_consumer, *mut shmdemo_record) -> c_int,
        shmdemo_consumer_must_release(*mut shmdemo_consumer) -> c_int,
        shmdemo_consumer_release(*mut shmdemo_consumer) -> c_int,
        shmdemo_consumer_release_first(*mut shmdemo_consumer, usize) -> c_int,
        shmdemo_consumer_rewind(*mut shmdemo_consumer) -> c_int,
        shmdemo_consumer_held(*mut shmdemo_consumer) -> c_int,
        shmdemo_consumer_receive(*mut shmdemo_consumer, *mut c_void, usize, *mut shmdemo_record, i32) -> c_int,
        shmdemo_consumer_closing(*mut shmdemo_consumer) -> c_int,
        shmdemo_consumer_remove(*mut shmdemo_consumer) -> c_int,
        shmdemo_consumer_wake(*const shmdemo_consumer),
        shmdemo_status_read(*const shmdemo_options, *mut shmdemo_status, usize) -> c_int,
        shmdemo_remove(*const shmdemo_options, u32) -> c_int,
    }
    macro_rules! values {
        ($($name:ident),+ $(,)?) => {
            $(writeln!(text, "_Static_assert({} == {}, \"value\");", stringify!($name), $name)
                .unwrap();)+
        };
    }
    values! {
        SHMDEMO_OK, SHMDEMO_USAGE, SHMDEMO_TOO_LONG, SHMDEMO_UNAVAILABLE, SHMDEMO_CANT_CREATE,
        SHMDEMO_BUSY, SHMDEMO_NOT_OURS, SHMDEMO_PERMISSION, SHMDEMO_WOKEN, SHMDEMO_NOBODY,
        SHMDEMO_UNSET, SHMDEMO_NO_CREATE, SHMDEMO_LOCK, SHMDEMO_QUIETLY, SHMDEMO_END,
        SHMDEMO_KIND_DATA, SHMDEMO_KIND_END, SHMDEMO_FORCE,
    }
    let lanes = shmdemo::layout::MAX_LANES;
    writeln!(text, "_Static_assert(SHMDEMO_MAX_LANES == {lanes}, \"lanes\");").unwrap();
    let number = shmdemo_version_number();
    writeln!(text, "_Static_assert(SHMDEMO_VERSION_NUMBER == {number}, \"version\");").unwrap();
    writeln!(text, "char version[] = SHMDEMO_VERSION;").unwrap();
    let length = env!("CARGO_PKG_VERSION").len() + 1;
    writeln!(text, "_Static_assert(sizeof version == {length}, \"version\");").unwrap();

    // Every field, its place, its size, and that a struct has no more than these.
    macro_rules! fields {
        ($name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
            let c = concat!("struct ", stringify!($name));
            let mut total = 0;
            $({
                let field = stringify!($field);
                let (at, size) = (offset_of!($name, $field), size_of::<$type>());
                total += size;
                // The value pins the type.
                let _ = |whole: $name| -> $type { whole.$field };
                writeln!(text, "_Static_assert(offsetof({c}, {field}) == {at}, \"{field}\");").unwrap();
                writeln!(text, "_Static_assert(sizeof((({c} *)0)->{field}) == {size}, \"{field}\");").unwrap();
                let signed = matches!(stringify!($type), "i32");
                if matches!(stringify!($type), "i32" | "u32") {
                    let test = if signed { "<" } else { ">" };
                    writeln!(text, "_Static_assert((__typeof__((({c} *)0)->{field}))-1 {test} 0, \"sign of {field}\");").unwrap();
                }
            })+
            assert_eq!(total, size_of::<$name>(), "every field of {c}, and no padding");
            writeln!(text, "_Static_assert(sizeof({c}) == {total}, \"{c}\");").unwrap();
        };
    }
    fields!(shmdemo_options {
        size: u32,
        key: i32,
        lanes: u32,
        ring_bytes: u32,
        max_message: u32,
        flags: u32,
        mode: u32,
        group: u32,
        owner: u32,
        create_as: u32,
        lane_changes: u32,
    });
    fields!(shmdemo_record { data: *const c_void, len: usize, kind: u32, lane: u32 });
    fields!(shmdemo_lane_status {
        pid: i32,
        sent: u32,
        received: u32,
        queued_bytes: u32,
        refused: u32,
        too_long: u32,
        high_water_bytes: u32,
        set_aside: u32,
    });
    fields!(shmdemo_status {
        size: u32,
        key: i32,
        id: i32,
        uid: u32,
        gid: u32,
        mode: u32,
        segment_bytes: u32,
        attached: u32,
        layout_version: u32,
        ring_bytes: u32,
        max_message: u32,
        server_pid: i32,
        rmid_forced: u32,
        lanes: u32,
        lane: [shmdemo_lane_status; 32],
    });
    (text, functions)
}

/// Does it compile with this header? What the compiler says if not.
fn compile(header: &str, program: &str) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("shmdemo-header-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("shmdemo.h"), header).expect("the header");
    std::fs::write(folder.join("check.c"), program).expect("the program");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]);
    let out = cc.arg(&folder).arg(folder.join("check.c")).output().expect("cc");
    let _ = std::fs::remove_dir_all(&folder);
    match out.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
    }
}

#[test]
fn the_header_says_what_the_library_is() {
    if Command::new("cc").arg("--version").output().is_err() {
        println!("skipped: no cc to compare the header with");
        return;
    }
    let (program, functions) = program();
    compile(HEADER, &program).unwrap_or_else(|said| panic!("{said}"));

    // It can fail: every one of these changes is found.
    for (right, wrong) in [
        ("#define SHMDEMO_BUSY (-75)", "#define SHMDEMO_BUSY (-74)"),
        ("#define SHMDEMO_VERSION \"0.1.0\"", "#define SHMDEMO_VERSION \"0.1.01\""),
        ("	int32_t key;          /*", "	uint32_t key;          /*"),
        ("	uint32_t lane;    /*", "	uint64_t lane;    /*"),
        ("	uint32_t too_long;         /*", "	uint32_t toolong;         /*"),
        ("	uint32_t mode;        /*", "	uint32_t mode, more;        /*"),
        ("const char *shmdemo_strerror(int code)", "const char *shmdemo_strerror(unsigned code)"),
        ("int shmdemo_producer_ring(shmdemo", "void shmdemo_producer_ring(shmdemo"),
        ("send(shmdemo_producer *producer, const void", "send(shmdemo_producer *producer, void"),
    ] {
        let changed = HEADER.replacen(right, wrong, 1);
        assert_ne!(changed, HEADER, "the header has no {right}");
        assert!(compile(&changed, &program).is_err(), "not noticed: {wrong}");
    }

    // And nothing is missing in here: the linker's list, which is the one of the exports.
    let map = include_str!("../capi/shmdemo.map");
    let listed: BTreeSet<String> = map
        .split([';', ':', '\n'])
        .map(|word| word.trim().to_string())
        .filter(|word| word.starts_with("shmdemo_"))
        .collect();
    assert_eq!(functions, listed);
    // Every constant of the header is compared, too.
    let mut constants = 0;
    for line in HEADER.lines().filter_map(|line| line.strip_prefix("#define SHMDEMO_")) {
        let name = line.split(' ').next().unwrap();
        let known = ["H", "MUST_CHECK"].contains(&name);
        assert!(known || program.contains(&format!("SHMDEMO_{name}")), "SHMDEMO_{name}");
        constants += 1;
    }
    assert!(constants > 18);
}
