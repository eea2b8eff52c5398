# SPDX-License-Identifier: MIT

# For this machine only: kernel-yocto puts these folders into its signature.
# nooelint: oelint.vars.noncoreoverride
FILESEXTRAPATHS:prepend:vexpress-a9 := "${THISDIR}/files:"

COMPATIBLE_MACHINE:vexpress-a9 = "^vexpress-a9$"

# The kernel's metadata knows no such machine: the whole configuration is here,
# and Kconfig's defaults fill in what it leaves out.
SRC_URI:append:vexpress-a9 = " file://defconfig"
KCONFIG_MODE:vexpress-a9 = "--alldefconfig"
KERNEL_EXTRA_FEATURES:vexpress-a9 = ""
