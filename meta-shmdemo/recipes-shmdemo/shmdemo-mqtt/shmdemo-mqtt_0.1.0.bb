# SPDX-License-Identifier: MIT

SUMMARY = "Takes messages from System V shared memory to an MQTT broker and back"
DESCRIPTION = "Releases a message of a shmdemo channel when the broker has \
               acknowledged it, and acknowledges one from the broker when it \
               is in the channel: each arrives at least once, whoever is killed."
SECTION = "console/network"
CVE_PRODUCT = "shmdemo-mqtt"

# The program itself, and the crates linked into it.
LICENSE = "(MIT | Apache-2.0) & MIT & (MIT | Unlicense) & Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=638d63bf5550770453b209b28f13be98 \
                    file://LICENSE-APACHE;md5=22a53954e4e0ec258dfce4391e905dac"

require shmdemo-mqtt-crates.inc
require recipes-shmdemo/shmdemo/shmdemo-source.inc

# scripts/refresh --tag takes it away.
PV .= "+git"

SRC_URI += "${@'' if d.getVar('EXTERNALSRC') else '${SHMDEMO_GIT};destsuffix=${BP}'}"

# The clone's HEAD, which needs no network; of a release, the commit of its tag,
# written by scripts/refresh --tag.
# nooelint: oelint.vars.autorev
SRCREV = "${AUTOREV}"

# A package of its own in the crate's repository, with a lock of its own.
CARGO_SRC_DIR = "mqtt"
CARGO_LOCK_SRC_DIR = "${S}/mqtt"

inherit cargo cargo-update-recipe-crates externalsrc features_check systemd update-rc.d useradd

# One of them must start it.
ANY_OF_DISTRO_FEATURES = "systemd sysvinit"

# Started by name, for each file of settings: systemctl enable shmdemo-mqtt@NAME.
SYSTEMD_SERVICE:${PN} = "shmdemo-mqtt@.service"
SYSTEMD_AUTO_ENABLE = "disable"
INITSCRIPT_NAME = "shmdemo-mqtt"
INITSCRIPT_PARAMS = "defaults 35"

# As for shmdemo-server, whose user it is.
USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --user-group --no-create-home \
                       --home-dir /nonexistent --shell /bin/false \
                       shmdemo"

# cargo's strip would run before the symbols are split off into ${PN}-dbg.
export CARGO_PROFILE_RELEASE_STRIP = "false"
export CARGO_PROFILE_RELEASE_DEBUG = "line-tables-only"

# Before 1.81 anyhow wants the standard library's Error trait.
CARGO_BUILD_FLAGS:append = "${@' --features old-rust' if shmdemo_rust(d) < [1, 81] else ''}"

do_install:append() {
    install -D -m 0644 ${S}/mqtt/shmdemo-mqtt.1 ${D}${mandir}/man1/shmdemo-mqtt.1
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -D -m 0644 ${S}/mqtt/service/shmdemo-mqtt@.service ${D}${systemd_system_unitdir}/shmdemo-mqtt@.service
        sed -i -e 's|/usr/bin/|${bindir}/|' ${D}${systemd_system_unitdir}/shmdemo-mqtt@.service
    fi
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${S}/mqtt/service/shmdemo-mqtt.init ${D}${sysconfdir}/init.d/shmdemo-mqtt
        sed -i -e 's|/usr/bin/|${bindir}/|' ${D}${sysconfdir}/init.d/shmdemo-mqtt
    fi
}

FILES:${PN} += "${systemd_system_unitdir}/shmdemo-mqtt@.service"
