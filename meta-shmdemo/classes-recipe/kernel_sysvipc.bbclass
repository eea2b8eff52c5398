# SPDX-License-Identifier: MIT
#
# For a kernel recipe: stops the build when the finished configuration lacks
# System V IPC. Without it shmdemo's programs can only exit with status 69.
#
# For a kernel that has no bbappend in this layer:
#   KERNEL_CLASSES:append = " kernel_sysvipc"

# Inherited only by the kernels that ask for it.
# nooelint: oelint.vars.noncoreoverride
do_compile:prepend() {
    if ! grep -q '^CONFIG_SYSVIPC=y$' ${B}/.config; then
        bbfatal "${PN}: CONFIG_SYSVIPC is not set in ${B}/.config, and shmdemo needs it." \
            "Set it in the kernel's defconfig, or add a configuration fragment with CONFIG_SYSVIPC=y."
    fi
}
