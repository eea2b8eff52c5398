# shellcheck shell=bash disable=SC2034,SC2154 # names are shared with qemu/run and qemu/runner
# The emulated boards: machine table, initramfs, one boot. Sourced by qemu/run and
# qemu/runner, which set machine, timeout and again.

# shellcheck source-path=SCRIPTDIR
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source-path=SCRIPTDIR
. "${BASH_SOURCE[0]%/*}/kernel.sh"

# Sets dtb_name, ram (where it begins), console, results (serial lines, by their names in Linux),
# options and words (for the kernel).
machine_settings() { # MACHINE
    case $1 in
    vexpress-a9)
        dtb_name=vexpress-v2p-ca9.dtb ram=0x60000000 console=ttyAMA0 results=ttyAMA1
        # nr_cpus: its device tree has four, a second lost for each. pl041, its sound: without a
        # backend of its own a newer QEMU looks for a default one, and does not start where there is none.
        options=(-smp 2 -m 512M -global pl041.audiodev=none) words=nr_cpus=2
        ;;
    mcimx6ul-evk)
        dtb_name=imx6ul-14x14-evk.dtb ram=0x80000000 console=ttymxc0 results=ttymxc1
        # Device trees from Linux 7 on give the serial lines DMA, which QEMU has not: without a driver
        # for it they do without.
        options=(-m 512M) words=initcall_blacklist=sdma_driver_init
        ;;
    *) die 64 "unknown machine '$1': vexpress-a9 or mcimx6ul-evk" ;;
    esac
}

# ---- initramfs -----------------------------------------------------------------

# What every guest has, without the programs.
guest_root() { # FOLDER
    local root=$1
    mkdir -p "$root"/{bin,etc,lib,job,opt/shmdemo}
    install -m 755 "$busybox" "$root/bin/busybox"
    install -m 755 "$repo/qemu/guest/init" "$root/init"
    install -m 644 "$repo"/qemu/guest/etc/* "$root/etc"
}

# Copies the libraries the programs in FOLDER/opt need from where the cross compiler
# has them, and the libraries those need.
guest_libraries() { # FOLDER
    local root=$1 name file need=("$1"/opt/shmdemo/*) next
    while [ ${#need[@]} -gt 0 ]; do
        next=()
        for name in $("$cross-readelf" -d "${need[@]}" 2>/dev/null |
            sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' | sort -u); do
            [ ! -e "$root/lib/$name" ] || continue
            file=$("$cross-gcc" -print-file-name="$name")
            [ -e "$file" ] || die 77 "no library $name for ARM, which a program needs"
            install -m 755 "$file" "$root/lib/$name"
            next+=("$root/lib/$name")
        done
        need=("${next[@]}")
    done
}

# The same bytes for the same files: sorted, owned by root, no times, no inode numbers.
pack() { # FOLDER ARCHIVE
    chmod -R u=rwX,go=rX "$1"
    find "$1" -exec touch -h -d @0 {} +
    (cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
        cpio --quiet -0 -o -H newc --reproducible -R 0:0) >"$2"
}

# ---- one boot --------------------------------------------------------------------

# Fills the array qemu; needs kernel, dtb and the machine's settings.
qemu_command() { # WORDS-FOR-THE-KERNEL
    # shellcheck disable=SC2054 # QEMU's own commas
    qemu=(qemu-system-arm -M "$machine" "${options[@]}" -display none -monitor none
        -nic none -audiodev none,id=none -no-reboot
        -kernel "$kernel" -dtb "$dtb" -initrd "$run/initramfs"
        -append "console=$console rdinit=/init panic=-1 cryptomgr.notests RESULTS=$results NOW=$(date +%s) $words $1"
        -serial "file:$run/console.log")
    # shellcheck disable=SC2206 # words on purpose: what measurements add, such as -icount
    qemu+=(${SHMDEMO_QEMU_OPTIONS:-})
}

# Boots and writes what the guest sends on its second line to stdout. The exit status
# of this function says no more than that QEMU ended (0) or the deadline passed (124).
boot() {
    timeout --foreground -k 5 "$timeout" "${qemu[@]}" \
        -chardev stdio,id=results,signal=off -serial chardev:results \
        </dev/null 2>"$run/qemu.log"
}

# What the guest says of itself: the exit status after the mark, or nothing.
verdict() { # RESULTS-FILE MARK
    tail -c 200 "$1" | sed -n "s/.*@$2 exit \([0-9][0-9]*\)\$/\1/p"
}

# Why there is no verdict.
explain() { # QEMU-STATUS
    local log=$run/console.log
    if grep -aq 'Kernel panic' "$log" 2>/dev/null; then
        say "the guest's kernel panicked: $(grep -a -m 1 -o 'Kernel panic.*' "$log" | tr -d '\r')"
    elif [ "$1" = 124 ]; then
        say "the guest was not done after $timeout seconds (the deadline)"
    else
        say "the guest ended without its end mark (qemu's exit status: $1)"
    fi
    [ "$1" = 0 ] || cat "$run/qemu.log" >&2
    if [ -s "$log" ]; then
        say "end of its console:"
        tail -n 8 "$log" | tr -d '\r' >&2
    else
        say "its console stayed empty: is $kernel a kernel for $machine?"
    fi
}

# ---- a run's folder ----------------------------------------------------------------

valid_timeout() { # SECONDS NAME-OF-THE-SETTING
    [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] || die 64 "$2 '$1': seconds, 1 to 99999"
}

# Sets run (a folder, removed at the end unless the run failed) and mark.
run_folder() {
    local base=${CARGO_TARGET_DIR:-$repo/target}/qemu
    mkdir -p "$base"
    base=$(cd "$base" && pwd)
    run=$(mktemp -d "$base/$(date +%Y%m%d-%H%M%S)-$machine-XXXX")
    chmod 755 "$run"
    mark=shmdemo-$RANDOM$RANDOM$RANDOM
    keep_run=
    trap '[ -n "$keep_run" ] || rm -rf "$run"' EXIT
}

# Keeps the logs, names them and the line to run it again: array again, input if any.
fail() { # EXIT-CODE
    keep_run=yes
    local line
    line=$(printf '%q ' "${again[@]}")
    [ ! -e "$run/input" ] || line+="<$(printf %q "$run/input")"
    say "logs: $run"
    say "again: $line"
    exit "$1"
}
