# SPDX-License-Identifier: MIT

SUMMARY = "Small image with the shmdemo server as a service, the client and ssh"
DESCRIPTION = "A base system with shmdemo. With ptest in DISTRO_FEATURES it \
               also holds the on-target tests and ptest-runner."
SECTION = "images"
# Nothing of its own that a vulnerability could name.
CVE_PRODUCT = ""
LICENSE = "MIT"

inherit core-image features_check

# sysvipc has the kernel recipe set CONFIG_SYSVIPC and check it: see README.md.
REQUIRED_DISTRO_FEATURES = "sysvipc"

IMAGE_FEATURES += "ssh-server-dropbear"
IMAGE_INSTALL = "packagegroup-core-boot \
                 shmdemo \
                 ${@bb.utils.contains('DISTRO_FEATURES', 'ptest', 'ptest-runner shmdemo-ptest', '', d)} \
                 ${CORE_IMAGE_EXTRA_INSTALL}"
