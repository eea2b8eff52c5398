# SPDX-License-Identifier: MIT

# Only where asked for: a layer that is merely added changes no kernel.
# nooelint: oelint.spaces.lineend
require ${@bb.utils.contains('DISTRO_FEATURES', 'sysvipc', 'recipes-kernel/linux/linux-sysvipc.inc', '', d)}
