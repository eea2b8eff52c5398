"""Checks that the oldest Rust of the supported Yocto and Buildroot series can build the crate, shmdemo-mqtt and their locks."""

import json
import re
import subprocess
import sys

OLDEST = "1.75"  # Yocto scarthgap; Buildroot 2025.02 has 1.82
EDITIONS = {"2015", "2018", "2021"}  # 2024 came with 1.85
LOCK_FORMATS = {"3"}  # what 1.75 reads
failed = 0


def check(name, good, detail=""):
    global failed
    failed += not good
    print(f"ok {name}" if good else f"FAIL {name}: {detail}")


def number(version):
    return [int(n) for n in version.split(".")[:2]]


for folder in (".", "mqtt"):
    name = "" if folder == "." else f"{folder}: "
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--quiet"], cwd=folder, check=True,
        capture_output=True).stdout)
    packages = metadata["packages"]
    own = [p for p in packages if p["source"] is None]

    wanted = [p["rust_version"] for p in own]
    check(f"oldest Rust: {name}Cargo.toml says {OLDEST}", set(wanted) == {OLDEST}, wanted)
    newer = [f"{p['name']} {p['version']} wants {p['rust_version']}" for p in packages
             if p["rust_version"] and number(p["rust_version"]) > number(OLDEST)]
    check(f"oldest Rust: {name}none of {len(packages)} packages wants a newer one", len(packages) > 1 and not newer, newer)
    newer = [f"{p['name']} {p['version']} is of edition {p['edition']}" for p in packages
             if p["edition"] not in EDITIONS]
    check(f"oldest Rust: {name}it knows every package's edition", not newer, newer)
    check(f"oldest Rust: {name}the crate is of edition 2021", {p["edition"] for p in own} == {"2021"})
    manifest = open(f"{folder}/Cargo.toml").read()
    check(f'oldest Rust: {name}no resolver = "3" in Cargo.toml',
          not re.search(r'^\s*resolver\s*=\s*"3"', manifest, re.M))
    lock = re.search(r"^version = (\d+)$", open(f"{folder}/Cargo.lock").read(), re.M)
    check(f"oldest Rust: {name}it reads the format of Cargo.lock", lock and lock.group(1) in LOCK_FORMATS, lock)
sys.exit(failed > 0)
