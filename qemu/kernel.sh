# shellcheck shell=bash disable=SC2154 # names are shared with qemu/board.sh
# A kernel that does not unpack itself: an emulated processor needs 4 to 5 seconds of every boot
# for that. Sourced by qemu/board.sh.
#
# Debian's zImage is a small program followed by the kernel, packed by xz. QEMU boots the kernel
# itself as well, where 64 bytes before it (U-Boot's uImage header) name its address in RAM.

# Sets kernel to the unpacked one, made once for a machine; where that can't be, it stays zImage.
quick_kernel() {
    local quick=$cache/guest/kernel-$machine
    [ -e "$quick" ] || locked unpack_kernel "$kernel" "$quick" || return 0
    kernel=$quick
}

unpack_kernel() { # ZIMAGE FILE
    local raw=$2.raw
    unpack_xz "$1" "$raw" && add_header "$raw" >"$2.new" && mv "$2.new" "$2"
    local status=$?
    rm -f "$raw" "$2.new"
    return $status
}

# The bytes that xz data begins with are in the small program as well, so each place is tried.
unpack_xz() { # ZIMAGE FILE
    local at
    while IFS=: read -r at _; do
        xz -dc --single-stream < <(tail -c "+$((at + 1))" "$1") >"$2" 2>/dev/null && return
    done < <(LC_ALL=C grep -obUaP '\xfd7zXZ\x00' "$1")
    return 1
}

add_header() { # KERNEL
    local word rotate address
    # How far from the start of RAM it wants to be is in its first instructions, which take that
    # from where they are: sub r8, r8, #TEXT_OFFSET (arch/arm/kernel/head.S).
    word=$(od -An -v --endian=little -tx4 -w4 -N 256 "$1" | sed -n 's/^ e2488\(...\)$/\1/p')
    [ ${#word} = 3 ] || return
    # An ARM constant: eight bits, turned right by twice the first digit.
    rotate=$((2 * 0x${word:0:1}))
    address=$((ram + ((0x${word:1} >> rotate | 0x${word:1} << (32 - rotate)) & 0xffffffff)))
    be32 0x27051956 0 0 "$(stat -c %s "$1")" "$address" "$address" 0
    printf '\5\2\2\0' # Linux, ARM, a kernel, not packed
    head -c 32 /dev/zero
    cat "$1"
}

be32() { # NUMBER...
    local hex
    for hex in "$@"; do
        hex=$(printf '%08x' "$hex")
        printf '%b' "\\x${hex:0:2}\\x${hex:2:2}\\x${hex:4:2}\\x${hex:6:2}"
    done
}
