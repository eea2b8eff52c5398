#!/bin/sh
# Boots the images beside this file in QEMU's vexpress-a9, the serial console on this
# terminal. Further arguments go to QEMU. Leave with "poweroff", or Ctrl-A x.
# What the guest writes stays in rootfs.ext2, unless -snapshot is given.

images=$(cd "$(dirname "$0")" && pwd) || exit 1

qemu="$images/../host/bin/qemu-system-arm"
[ -x "$qemu" ] || qemu="qemu-system-arm"
command -v "$qemu" >/dev/null || {
	echo "$0: qemu-system-arm is missing: install it (Debian: apt-get install qemu-system-arm)," \
		"or build it with BR2_PACKAGE_HOST_QEMU=y and BR2_PACKAGE_HOST_QEMU_SYSTEM_MODE=y" >&2
	exit 77
}

exec "$qemu" -M vexpress-a9 -smp 4 -m 256M -nographic -audiodev none,id=none \
	-kernel "$images/zImage" -dtb "$images/vexpress-v2p-ca9.dtb" \
	-drive "file=$images/rootfs.ext2,if=sd,format=raw" \
	-append "console=ttyAMA0,115200 root=/dev/mmcblk0 rootwait" \
	-net nic,model=lan9118 -net user "$@"
