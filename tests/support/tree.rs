//! The project's own files, for tests of them. On a board, in an image there are none.

use std::path::{Path, PathBuf};

/// The folder with Cargo.toml, where cargo runs the test.
pub fn top() -> Option<PathBuf> {
    std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|top| top.is_dir())
}

/// All files below a folder, but what is built and what is hidden.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name != "target" && (!name.starts_with('.') || name == ".github" || name == ".ci")
    });
    kept.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
