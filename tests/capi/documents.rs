//! What is written of the C library in other places than its header: the manual pages of section
//! 3, and the list of its binary interface, `capi/shmdemo.abi`.

use super::built::{built, tool};
use crate::support::{skipped, Folder};
use std::collections::BTreeSet;
use std::process::Command;

const HEADER: &str = include_str!("../../include/shmdemo.h");
const PAGES: [(&str, &str); 4] = [
    ("shmdemo_consumer_open.3", include_str!("../../man/shmdemo_consumer_open.3")),
    ("shmdemo_options_init.3", include_str!("../../man/shmdemo_options_init.3")),
    ("shmdemo_producer_open.3", include_str!("../../man/shmdemo_producer_open.3")),
    ("shmdemo_status_read.3", include_str!("../../man/shmdemo_status_read.3")),
];

/// The header without comments, and without the word for the compiler's warning.
fn code() -> String {
    let code: String = HEADER.split("/*").map(|part| part.rsplit("*/").next().unwrap()).collect();
    code.replace("\nSHMDEMO_MUST_CHECK ", "\n")
}

/// Its enums, whose names stand for the constants: `SHMDEMO_CODE_OK = SHMDEMO_OK`.
fn enums() -> Vec<(String, String)> {
    let code = code();
    let bodies = code.split("\nenum ").skip(1).filter_map(|one| one.split(['{', '}']).nth(1));
    let members = bodies.flat_map(|body| body.split(','));
    let pairs = members.filter_map(|member| member.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_string(), value.trim().to_string())).collect()
}

/// The header's declarations, each on one line: `int shmdemo_remove(const …, uint32_t flags)`.
fn prototypes() -> BTreeSet<String> {
    let code = code();
    let plain = code.lines().filter(|line| !line.starts_with(['#', 'e', '}']));
    let plain: Vec<&str> =
        plain.filter(|line| !line.trim_start().starts_with("SHMDEMO_")).collect();
    plain
        .join(" ")
        .split(';')
        .map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|one| one.contains('('))
        .collect()
}

/// A declaration as the binary sees it: without the names of its arguments.
fn nameless(prototype: &str) -> String {
    let (function, arguments) =
        prototype.trim_end_matches(')').split_once('(').expect("a function");
    let types: Vec<&str> = arguments
        .split(", ")
        .map(|one| one.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').trim_end())
        .collect();
    if arguments == "void" {
        return prototype.to_string();
    }
    format!("{function}({})", types.join(", "))
}

/// `#define SHMDEMO_… value`, without the version, which changes with each release.
fn constants() -> Vec<(String, String)> {
    let code = code();
    let defines = code.lines().filter_map(|line| line.strip_prefix("#define SHMDEMO_"));
    defines
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| !name.starts_with("VERSION") && *name != "MUST_CHECK")
        .map(|(name, value)| (format!("SHMDEMO_{name}"), value.trim().to_string()))
        .collect()
}

/// Each struct that the header lays open, with its members' names.
fn structs() -> Vec<(String, Vec<String>)> {
    let code = code();
    let parts = code.split("\nstruct ").filter_map(|part| part.split_once(" {\n"));
    let parts = parts.filter(|(name, _)| name.starts_with("shmdemo_") && !name.contains(' '));
    parts
        .map(|(name, rest)| {
            let members = rest.split("};").next().expect("its end").split(';');
            let names = members.flat_map(|member| member.split(','));
            let last = |member: &str| {
                let name = member.trim().split('[').next().unwrap_or("");
                name.rsplit([' ', '*']).next().unwrap_or("").to_string()
            };
            (name.to_string(), names.map(last).filter(|name| !name.is_empty()).collect())
        })
        .collect()
}

#[test]
fn the_header_is_read_right() {
    let all = prototypes();
    assert!(all.contains("const char *shmdemo_strerror(int code)"), "{all:?}");
    assert!(all.len() > 20 && all.iter().all(|one| one.contains(" ")), "{all:?}");
    let open = "int shmdemo_producer_reserve(shmdemo_producer *producer, size_t len, \
                int32_t timeout_ms, void **data)";
    assert!(all.contains(open), "{all:?}");
    assert_eq!(
        nameless(open),
        "int shmdemo_producer_reserve(shmdemo_producer *, size_t, int32_t, void **)"
    );
    let structs = structs();
    let names: Vec<&str> = structs.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = ["shmdemo_options", "shmdemo_record", "shmdemo_lane_status", "shmdemo_status"];
    assert_eq!(names, wanted);
    assert!(structs[3].1.contains(&"gid".into()) && structs[3].1.contains(&"lane".into()));
}

#[test]
fn the_enums_are_the_constants_by_other_names() {
    let enums = enums();
    for (prefix, of) in [("SHMDEMO_CODE_", "SHMDEMO_"), ("SHMDEMO_RECORD_", "SHMDEMO_KIND_")] {
        let members: Vec<_> = enums.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
        for (name, value) in &members {
            assert_eq!(&name.replace(prefix, of), value);
        }
        // Each code, which are those below 0, and SHMDEMO_OK; each kind.
        let constants = constants();
        let all = constants.iter().filter(|(name, value)| match of {
            "SHMDEMO_" => {
                name == "SHMDEMO_OK" || value.starts_with("(-") && name != "SHMDEMO_NOBODY"
            }
            _ => name.starts_with(of),
        });
        assert_eq!(members.len(), all.count());
    }
}

#[test]
fn the_manual_has_every_function_as_the_header_declares_it() {
    let mut shown = BTreeSet::new();
    for (file, page) in PAGES {
        let mut result = "";
        let mut named = BTreeSet::new();
        for line in page.split(".Sh DESCRIPTION").next().expect("a synopsis").lines() {
            if let Some(name) = line.strip_prefix(".Nm ") {
                named.insert(name.trim_end_matches(" ,").to_string());
            } else if let Some(text) = line.strip_prefix(".Ft ") {
                result = text;
            } else if let Some(text) = line.strip_prefix(".Fn ") {
                let (name, arguments) = text.split_once(' ').expect("arguments");
                assert!(named.remove(name), "{file}: {name} is not in its NAME");
                let arguments = arguments.trim_matches('"').replace("\" \"", ", ");
                let space = if result.ends_with('*') { "" } else { " " };
                shown.insert(format!("{result}{space}{name}({arguments})"));
            }
        }
        assert!(named.is_empty(), "{file}: {named:?} in NAME, not in SYNOPSIS");
    }
    assert_eq!(shown, prototypes());
}

#[test]
fn the_manual_names_every_constant_and_member_and_no_other() {
    let text: String = PAGES.iter().map(|(_, page)| *page).collect();
    let words: BTreeSet<&str> = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    for (name, _) in constants() {
        assert!(words.contains(name.as_str()), "no page names {name}");
    }
    for (of, members) in structs() {
        for member in members.iter().filter(|name| *name != "size") {
            assert!(words.contains(member.as_str()), "no page names {member} of {of}");
        }
    }
    let code = code();
    for word in words.iter().filter(|word| word.starts_with("SHMDEMO_") && word.len() > 8) {
        let title = PAGES.iter().any(|(file, _)| file.to_uppercase().starts_with(word));
        assert!(title || code.contains(word), "the header has no {word}");
    }
}

#[test]
fn mandoc_finds_nothing() {
    let folder = Folder::new();
    for (name, text) in PAGES {
        std::fs::write(folder.0.join(name), text).expect("a page");
        let mut mandoc = Command::new("mandoc");
        mandoc.args(["-Tlint", "-Wstyle", name]).current_dir(&folder.0);
        let Ok(out) = mandoc.output() else { return skipped("no mandoc") };
        let said = String::from_utf8(out.stdout).expect("text");
        let own = said.lines().filter(|line| !line.contains("referenced manual not found"));
        assert_eq!(own.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[test]
fn every_function_has_a_page_where_it_is_installed() {
    let Some(built) = built() else { return };
    let folder = built.stage.join("usr/share/man/man3");
    for prototype in prototypes() {
        let name = prototype.split('(').next().unwrap().rsplit([' ', '*']).next().unwrap();
        let file = folder.join(format!("{name}.3"));
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        // A page, or one line that leads to it.
        let page = match text.trim_end().strip_prefix(".so man3/") {
            Some(other) => std::fs::read_to_string(folder.join(other)).expect(&text),
            None => text,
        };
        assert!(page.lines().any(|line| line.trim_end_matches(" ,") == format!(".Nm {name}")));
    }
}

/// The list of the binary interface, made from the header with the C compiler's sizes.
fn interface(folder: &Folder) -> String {
    let mut list = String::from(
        "# The binary interface of libshmdemo.so.0, 64-bit: functions, structs and their members'\n\
         # places and sizes in bytes, constants. Additions are new lines; anything else is another SONAME.\n",
    );
    for prototype in prototypes() {
        list += &format!("{}\n", nameless(&prototype));
    }
    let mut source = String::from("#include <shmdemo.h>\n#include <stdio.h>\nint main(void)\n{\n");
    for (name, members) in structs() {
        source += &format!("printf(\"struct {name}, %zu\\n\", sizeof(struct {name}));\n");
        for member in members {
            let of = format!("((struct {name} *)0)->{member}");
            source += &format!(
                "printf(\"{name}.{member} at %zu, %zu\\n\", offsetof(struct {name}, {member}), sizeof {of});\n"
            );
        }
    }
    std::fs::write(folder.0.join("layout.c"), source + "return 0;\n}\n").expect("a source file");
    let built = built().expect("looked at before");
    let mut cc = Command::new("cc");
    cc.current_dir(&folder.0).args(["-o", "layout", "layout.c", "-I"]);
    tool({
        cc.arg(built.stage.join("usr/include"));
        cc
    });
    list += &tool(Command::new(folder.0.join("layout")));
    for (name, value) in constants() {
        list += &format!("{name} {value}\n");
    }
    for (name, value) in enums() {
        list += &format!("{name} = {value}\n");
    }
    list
}

#[test]
fn the_binary_interface_is_the_one_on_record() {
    if cfg!(not(target_pointer_width = "64")) {
        return skipped("the list is that of 64-bit machines");
    }
    if built().is_none() {
        return;
    }
    let folder = Folder::new();
    let now = interface(&folder);
    let recorded = include_str!("../../capi/shmdemo.abi");
    let gone: Vec<&str> =
        recorded.lines().filter(|line| !now.lines().any(|l| l == *line)).collect();
    let new: Vec<&str> = now.lines().filter(|line| !recorded.lines().any(|l| l == *line)).collect();
    if now != recorded {
        let file = built().expect("looked at before").stage.join("shmdemo.abi");
        std::fs::write(&file, &now).expect("the list as it is now");
        panic!(
            "gone or changed, which breaks programs that are linked already: {gone:#?}\nnew: {new:#?}\n\
             If all of it is meant and nothing is gone: cp {} capi/shmdemo.abi",
            file.display()
        );
    }
}
