//! The code under test leaves out, under loom, what holds for the real atomics only.

fn main() {
    println!("cargo:rustc-cfg=loom");
    println!("cargo:rerun-if-changed=build.rs");
}
