# SPDX-License-Identifier: MIT

# For this machine only: kernel-yocto puts these folders into its signature.
# nooelint: oelint.vars.noncoreoverride
FILESEXTRAPATHS:prepend:vexpress-a9 := "${THISDIR}/files:"

COMPATIBLE_MACHINE:vexpress-a9 = "^vexpress-a9$"

# The kernel's metadata knows no such machine: what it needs is all here, and
# Kconfig's defaults fill in the rest. linux-yocto adds its features for QEMU.
SRC_URI:append:vexpress-a9 = " file://defconfig"
KCONFIG_MODE:vexpress-a9 = "--alldefconfig"
KERNEL_EXTRA_FEATURES:vexpress-a9 = ""
# This one is a PCI card. Asked for without PCI, do_kernel_configcheck warns.
KERNEL_FEATURES:remove:vexpress-a9 = "features/drm-bochs/drm-bochs.scc"
