# SPDX-License-Identifier: MIT
#
# Stops a kernel's build when the finished configuration lacks System V IPC:
# without it shmdemo's programs can only exit with status 69. conf/layer.conf
# adds it to KERNEL_CLASSES, so to every kernel recipe, where DISTRO_FEATURES has
# sysvipc.

# Inherited only where that is asked for.
# nooelint: oelint.vars.noncoreoverride
do_compile:prepend() {
    if ! grep -q '^CONFIG_SYSVIPC=y$' ${B}/.config; then
        bbfatal "${PN}: CONFIG_SYSVIPC is not set in ${B}/.config, and shmdemo needs it." \
            "Set it in the kernel's defconfig, or add a configuration fragment with CONFIG_SYSVIPC=y."
    fi
}
