# shellcheck shell=bash disable=SC2034 # the names set here are for who sources this
# The build machine's side of the emulated boards: tools, ARM compiler, kernel, busybox.
# Sourced by bash scripts (qemu/run, qemu/runner, qemu/setup, tests/run):
#
#   . qemu/lib.sh
#   need_host_tools        installs or names all that is missing (77), cargo too
#   arm_compiler           exports what cargo needs for --target "$arm_target"
#   fetch_guest            sets $kernel, $dtb_dir and $busybox
#
# Downloads stay in $cache and are used again; `rm -r` it to fetch anew. Debian's
# packages are unpacked there, never installed: the system's own compiler,
# architectures and package lists stay as they are.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${SHMDEMO_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/shmdemo-qemu}
# Thumb instructions, for smaller programs:
#   SHMDEMO_THUMB=yes      our code in them, Rust's standard library as it is
#   SHMDEMO_ARM_TARGET=thumbv7neon-unknown-linux-gnueabihf      both, with rustup's target
usual_target=armv7-unknown-linux-gnueabihf
arm_target=${SHMDEMO_ARM_TARGET:-$usual_target}
cross=${SHMDEMO_CROSS:-arm-linux-gnueabihf} # prefix of the cross tools: PREFIX-gcc and so on
minimum_rust=1.75

say() { printf 'qemu: %s\n' "$*" >&2; }
die() { # EXIT-CODE TEXT...
    local code=$1
    shift
    say "$@"
    exit "$code"
}

# ---- tools from Debian, installed --------------------------------------------

more_tools=() # what else who sources this needs: TOOL, or TOOL=PACKAGE where that has another name
want_lints= # any text: cargo fmt and cargo clippy as well

missing_packages() {
    missing_rust
    local tool
    for tool in "${more_tools[@]}"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${tool%=*}" >/dev/null || echo "${tool#*=}"
    done
    command -v qemu-system-arm >/dev/null || echo qemu-system-arm
    command -v cpio >/dev/null || echo cpio
    command -v xz >/dev/null || echo xz-utils
    command -v cc >/dev/null || echo gcc
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    command -v "$cross"-gcc >/dev/null || echo "gcc-$cross"
    # gcc prints the bare name of a file it does not find.
    [ "$("$cross"-gcc -print-file-name=crt1.o 2>/dev/null || echo crt1.o)" != crt1.o ] ||
        echo libc6-dev-armhf-cross
}

at_least() { # VERSION MINIMUM
    [ "$(printf '%s\n' "$2" "$1" | sort -V | sed -n 1p)" = "$2" ]
}

candidate() { # PACKAGE: the version that apt would install
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p'
}

# The 85 of "cargo 1.85.0" and of "clippy 0.1.85".
rust_release() { sed -nE '1s/^[a-z]+ (0\.)?1\.([0-9]+).*/\2/p'; }

# Are the lints those of this cargo's own release?
has_lints() {
    [ "$(cargo clippy --version 2>/dev/null | rust_release)" = "$(cargo --version 2>/dev/null | rust_release)" ] &&
        cargo fmt --version >/dev/null 2>&1
}

# Debian's packages of cargo, with rustfmt and clippy where lints are wanted. rustup's cargo, where
# there is one, brings its own.
missing_rust() {
    local cargo=cargo release fits
    if ! command -v cargo >/dev/null; then
        # Debian 12's own is too old, its cargo-web is not.
        at_least "$(candidate cargo)" 0.99 ||
            [ "$(. /etc/os-release && echo "${VERSION_ID-}")" != 12 ] || cargo='cargo-web'
        echo $cargo
    fi
    [ -n "$want_lints" ] && [ $cargo = cargo ] && ! has_lints || return 0
    # Beside cargo-web Debian 12 has those of its older cargo: no use. Without apt they are named.
    release=$(cargo --version 2>/dev/null | rust_release)
    fits=$(candidate rust-clippy)
    [ -z "$release" ] || [ -z "$fits" ] || [[ $fits == 1.$release.* ]] || return 0
    printf '%s\n' rustfmt rust-clippy
}

need_cargo() {
    local version
    version=$(cargo --version | sed -n 's/^cargo \([0-9.]*\).*/\1/p') || true
    [ -n "$version" ] || die 77 "cargo does not say its version; see above"
    at_least "$version" $minimum_rust || die 77 "cargo $version is too old, $minimum_rust will do:" \
        "rustup update, or where it is Debian 12's: apt-get install cargo-web"
    [ -n "$want_lints" ] || return 0
    has_lints || {
        say "skipped: cargo fmt and cargo clippy: no packages of them for this cargo; https://rustup.rs has all three"
        want_lints=
    }
}

need_host_tools() {
    local missing line log=$cache/install.log try
    [ -z "$want_lints" ] || ! command -v rustup >/dev/null ||
        rustup component add rustfmt clippy >/dev/null 2>&1 || true # said below where it is missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || { need_cargo && return; }
    line="apt-get install -y --no-install-recommends ${missing[*]}"
    command -v apt-get >/dev/null || die 77 "missing, by their names in Debian: ${missing[*]}"
    [ "$(id -u)" = 0 ] || die 77 "tools are missing; this installs them: sudo apt-get update; sudo $line"
    say "installing ${missing[*]}"
    mkdir -p "$cache"
    : >"$log"
    for try in 1 2 3; do
        # An index that fails to download does not matter as long as the packages come.
        # shellcheck disable=SC2086 # words on purpose
        DEBIAN_FRONTEND=noninteractive $line -o DPkg::Lock::Timeout=300 >>"$log" 2>&1 </dev/null && break
        [ "$try" = 3 ] || apt-get update >>"$log" 2>&1 || sleep $((try * 5))
    done
    hash -r
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} = 0 ] && { need_cargo && return; }
    tail -n 15 "$log" >&2
    die 77 "could not install ${missing[*]} (see $log); after mending apt run: $line"
}

# ---- packages from Debian, unpacked ------------------------------------------

# apt with lists and downloads of its own, for this machine's architecture and armhf;
# sources and keys are the system's. $1 says which dpkg status it looks at.
private_apt() { # STATUS-FILE COMMAND...
    local status=$1
    shift
    APT_CONFIG=$cache/apt/apt.conf "$1" -o Dir::State::status="$status" "${@:2}"
}

private_apt_update() {
    [ -z "${private_apt_fresh-}" ] || return 0
    local apt=$cache/apt try
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/no-status"
    cat >"$apt/apt.conf" <<EOF
APT::Architectures { "$(dpkg --print-architecture)"; "armhf"; };
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::Cache "$apt/cache";
Acquire::Retries "3";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
EOF
    say "fetching Debian's package lists"
    for try in 1 2 3; do
        private_apt "$apt/no-status" apt-get -q update >"$apt/update.log" 2>&1 && break
        # One index of many may fail; what counts is that the packages are known.
        [ -z "$(versions linux-image-armmp:armhf)" ] || break
        sleep $((try * 5))
    done
    private_apt_fresh=yes
}

versions() { # PACKAGE: newest first
    private_apt "$cache/apt/no-status" apt-cache madison "$1" | awk '{ print $3 }' | sort -Vru
}

depends() { # PACKAGE[=VERSION] PATTERN: the names of the dependencies that fit
    private_apt "$cache/apt/no-status" apt-cache show "$1" |
        sed -n 's/^Depends: //p' | tr -c 'a-z0-9.+-' '\n' | grep -Ex "$2" | awk '!seen[$0]++'
}

download() { # FOLDER PACKAGE...
    local to=$1 try
    shift
    mkdir -p "$to"
    for try in 1 2 3; do
        (cd "$to" && private_apt "$cache/apt/no-status" apt-get -q download "$@") \
            >"$cache/apt/download.log" 2>&1 && return
        sleep $((try * 5))
    done
    tail -n 5 "$cache/apt/download.log" >&2
    die 77 "could not download $* from Debian; check the network and run this again"
}

# Everything below $cache is made under a name of its own first and then moved,
# by one process at a time.
locked() { # COMMAND...
    mkdir -p "$cache"
    { flock 9 && "$@"; } 9>"$cache/lock"
}

# ---- kernel and busybox --------------------------------------------------------

fetch_guest() {
    [ -e "$cache/guest" ] || command -v apt-get >/dev/null ||
        die 77 "no apt-get here to fetch the board's kernel, device tree and busybox from Debian: give" \
            "them with --kernel, --dtb and --busybox, or use a container of Debian (see doc/building.md)"
    locked fetch_guest_files
    kernel=$(guest_file 'vmlinuz*')
    dtb_dir=$(dirname "$(guest_file vexpress-v2p-ca9.dtb)")
    busybox=$(guest_file busybox)
}

# Where a file is differs from release to release.
guest_file() { # NAME
    find "$cache/guest" -name "$1" -type f | sed -n 1p
}

fetch_guest_files() {
    [ ! -e "$cache/guest" ] || return 0
    local new=$cache/guest.new image version deb file pieces
    rm -rf "$new"
    private_apt_update
    version=$(versions linux-image-armmp:armhf | sed -n 1p)
    [ -n "$version" ] || {
        tail -n 5 "$cache/apt/update.log" >&2
        die 77 "apt's sources know no linux-image-armmp for armhf; see $cache/apt/update.log"
    }
    image=$(depends "linux-image-armmp:armhf=$version" 'linux-image-[0-9].*' | sed -n 1p)
    # From Linux 7 on this one is empty: the kernel is in linux-binary-V, device trees in linux-base-V.
    mapfile -t pieces < <(depends "$image:armhf" 'linux-(binary|base)-[0-9].*')
    say "fetching $image and busybox-static (armhf)"
    download "$new/deb" "$image:armhf" "${pieces[@]/%/:armhf}" busybox-static:armhf
    for deb in "$new"/deb/*; do
        dpkg --fsys-tarfile "$deb" | tar -x -C "$new" --wildcards \
            './boot/vmlinuz*' './usr/lib/modules/*/vmlinuz' '*/vexpress-v2p-ca9.dtb' \
            '*/imx6ul*-14x14-evk.dtb' './bin/busybox' './usr/bin/busybox' 2>/dev/null || true
    done
    rm -r "$new/deb"
    for file in 'vmlinuz*' vexpress-v2p-ca9.dtb imx6ul-14x14-evk.dtb busybox; do
        [ -n "$(find "$new" -name "$file" -type f)" ] ||
            die 77 "no $file in Debian's packages ($image ${pieces[*]} busybox-static);" \
                "give others with --kernel, --dtb and --busybox"
    done
    mv "$new" "$cache/guest"
}

# ---- ARM compiler --------------------------------------------------------------

has_arm_target() { # RUSTC
    local dir
    dir=$(cd "$repo" && "$1" --print target-libdir --target "$arm_target" 2>/dev/null) &&
        compgen -G "$dir/libstd-*.rlib" >/dev/null
}

# The compiler cargo uses anyway, where it has the ARM target (rustup target add ...,
# or RUSTC=...); Debian's, unpacked, where it has not.
arm_compiler() {
    if has_arm_target "${RUSTC:-rustc}"; then
        say "compiler: $("${RUSTC:-rustc}" --version), as installed, has $arm_target"
    elif [ "$arm_target" != $usual_target ]; then
        die 77 "the Rust compiler has no $arm_target: rustup target add $arm_target"
    elif [ ! -e "$cache/rust" ] && ! command -v apt-get >/dev/null; then
        die 77 "the Rust compiler has no $arm_target, and there is no apt-get to fetch Debian's:" \
            "rustup target add $arm_target"
    else
        locked fetch_compiler
        export RUSTC=$cache/rust/rustc RUSTDOC=$cache/rust/rustdoc
        say "compiler: $("$RUSTC" --version), Debian's packages unpacked in $cache/rust"
    fi
    linker_variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$arm_target")_LINKER
    export "$linker_variable=$cross-gcc"
    flags_variable=${linker_variable%LINKER}RUSTFLAGS
    [ -z "${SHMDEMO_THUMB-}" ] || export "$flags_variable=-Ctarget-feature=+thumb-mode"
}

# The unpacked programs look for their libraries in /usr/lib unless told otherwise.
compiler_wrapper() { # rustc or rustdoc
    local lib
    lib=$cache/rust/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || cc -print-multiarch)
    cat <<EOF
#!/bin/sh
export LD_LIBRARY_PATH="$lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
EOF
    [ "$1" = rustc ] || cat <<'EOF'
# Newer cargo calls the runner's options by names that rustdoc has had since 1.89.
for arg do
    shift
    case $arg in
    --test-runtool | --test-runtool-arg)
        export RUSTC_BOOTSTRAP=1
        set -- "$@" -Zunstable-options "--${arg#--test-}" ;;
    *) set -- "$@" "$arg" ;;
    esac
done
EOF
    printf 'exec "%s" "$@"\n' "$cache/rust/usr/bin/$1"
}

fetch_compiler() {
    [ ! -e "$cache/rust" ] || return 0
    local new=$cache/rust.new host name std version std_shared deb tool
    rm -rf "$new"
    private_apt_update
    host=$(dpkg --print-architecture)
    # The newest version to be had for both architectures: they must be the same.
    for name in rustc-web rustc; do
        std=${name/rustc/libstd-rust}-dev
        version=$(comm -12 <(versions "$name:$host" | sort) <(versions "$std:armhf" | sort) |
            sort -V | tail -n 1)
        [ -z "$version" ] || ! dpkg --compare-versions "$version" ge $minimum_rust || break
        version=
    done
    [ -n "$version" ] ||
        die 77 "Debian's packages hold no Rust $minimum_rust or newer for both $host and armhf;" \
            "with rustup: rustup target add $arm_target"
    std_shared=$(depends "$std:$host=$version" 'libstd-rust.*-[0-9.]+' | sed -n 1p)
    say "fetching $name $version for $host and armhf (about 110 MB)"
    # apt downloads what the system lacks of the compiler's dependencies (LLVM) as well.
    rm -f "$cache"/apt/cache/archives/*.deb
    private_apt /var/lib/dpkg/status apt-get -q -y --download-only --no-install-recommends \
        --allow-downgrades --allow-change-held-packages -o Debug::NoLocking=1 \
        install "$name:$host=$version" "$std:$host=$version" "$std_shared:$host=$version" \
        >"$cache/apt/download.log" 2>&1 </dev/null || {
        tail -n 10 "$cache/apt/download.log" >&2
        die 77 "could not download $name $version from Debian (see $cache/apt/download.log);" \
            "run this again, or with rustup: rustup target add $arm_target"
    }
    mkdir -p "$new/deb"
    find "$cache/apt/cache/archives" -name '*.deb' -exec mv -t "$new/deb" {} +
    download "$new/deb" "$std:armhf=$version"
    for tool in "$name" "$std" "$std_shared"; do
        # What the system has installed in this very version was not downloaded.
        compgen -G "$new/deb/${tool}_*_$host.deb" >/dev/null ||
            download "$new/deb" "$tool:$host=$version"
    done
    for deb in "$new"/deb/*.deb; do
        case ${deb##*/} in
        libc6_* | libc6-dev_* | libc-bin_* | gcc* | binutils*) continue ;;
        esac
        dpkg -x "$deb" "$new"
    done
    rm -rf "${new:?}/deb" "${new:?}/usr/share"
    for tool in rustc rustdoc; do
        compiler_wrapper $tool >"$new/$tool"
        chmod 755 "$new/$tool"
    done
    mv "$new" "$cache/rust"
    has_arm_target "$cache/rust/rustc" || {
        mv "$cache/rust" "$cache/rust.broken"
        die 77 "the compiler unpacked in $cache/rust.broken does not run;" \
            "with rustup: rustup target add $arm_target"
    }
}
