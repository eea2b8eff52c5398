# SPDX-License-Identifier: MIT

SUMMARY = "Hands messages between programs through System V shared memory"
SUMMARY:${PN}-client = "${SUMMARY} - the client"
SUMMARY:${PN}-common = "${SUMMARY} - the executable of both"
SUMMARY:${PN}-lib = "${SUMMARY} - the C library"
SUMMARY:${PN}-server = "${SUMMARY} - the server, started as a service"
DESCRIPTION = "A server and a client that exchange messages on one board \
               through a System V shared memory segment. Messages outlive \
               both programs; a killed program leaves neither a lost \
               message nor a stale lock behind."
SECTION = "console/utils"
CVE_PRODUCT = "shmdemo"

# The programs themselves, and the crates linked into them.
LICENSE = "(MIT | Apache-2.0) & MIT & (MIT | Unlicense)"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=638d63bf5550770453b209b28f13be98 \
                    file://LICENSE-APACHE;md5=22a53954e4e0ec258dfce4391e905dac"

require shmdemo-crates.inc
require shmdemo-source.inc

# scripts/refresh --tag takes it away.
PV .= "+git"

SRC_URI += "${@'' if d.getVar('EXTERNALSRC') else '${SHMDEMO_GIT};destsuffix=${BP}'} \
            file://run-ptest \
            file://shmdemo-server.default \
            file://shmdemo-server.init \
            file://shmdemo-server.service"

# The clone's HEAD, which needs no network; of a release, the commit of its tag,
# written by scripts/refresh --tag.
# nooelint: oelint.vars.autorev
SRCREV = "${AUTOREV}"

# For update_crates, which takes every Cargo.lock it finds: the one of the
# programs alone. The models of the crate's tests have a lock of their own.
CARGO_LOCK_SRC_DIR = "${WORKDIR}/cargo-lock"

inherit cargo cargo-update-recipe-crates externalsrc ptest-cargo features_check systemd update-rc.d useradd

# One of them must start the server.
ANY_OF_DISTRO_FEATURES = "systemd sysvinit"

# The command "shmdemo-server relay", 20 kB: PACKAGECONFIG:append:pn-shmdemo = " relay".
PACKAGECONFIG ?= ""
PACKAGECONFIG[relay] = ""

PACKAGES =+ "${PN}-server ${PN}-client ${PN}-common ${PN}-lib"

SYSTEMD_PACKAGES = "${PN}-server"
SYSTEMD_SERVICE:${PN}-server = "shmdemo-server.service"

INITSCRIPT_PACKAGES = "${PN}-server"
INITSCRIPT_NAME:${PN}-server = "shmdemo-server"
# After syslogd (20), before anything of the board that sends messages.
INITSCRIPT_PARAMS:${PN}-server = "defaults 30"

USERADD_PACKAGES = "${PN}-server"
# A system user: logind's RemoveIPC= deletes the semaphores of ordinary users.
USERADD_PARAM:${PN}-server = "--system --user-group --no-create-home \
                              --home-dir /nonexistent --shell /bin/false \
                              shmdemo"

# cargo's strip would run before the symbols are split off into ${PN}-dbg.
export CARGO_PROFILE_RELEASE_STRIP = "false"
export CARGO_PROFILE_RELEASE_DEBUG = "line-tables-only"

# The C library is made by the crate's own Makefile, when the programs, which do
# not contain it, are done.
EXTRA_OEMAKE = "-C ${S}/capi \
                CC='${CC}' \
                CFLAGS='${CFLAGS}' \
                STRIP_FLAGS= \
                CARGO_FLAGS='${CARGO_BUILD_FLAGS}' \
                FEATURES='--features capi' \
                RUST_LIB=${B}/target/${CARGO_TARGET_SUBDIR}/libshmdemo.a \
                OUT=${B}/capi \
                PREFIX=${prefix} \
                LIBDIR=${libdir} \
                INCLUDEDIR=${includedir} \
                MANDIR=${mandir}"

# One executable is both programs, at half their size together.
CARGO_BUILD_FLAGS:append = " --no-default-features --features multicall"
CARGO_BUILD_FLAGS:append = "${@bb.utils.contains('PACKAGECONFIG', 'relay', ' --features relay', '', d)}"

# Before 1.81 anyhow wants the standard library's Error trait: 8 kB.
CARGO_BUILD_FLAGS:append = "${@' --features old-rust' if shmdemo_rust(d) < [1, 81] else ''}"

do_update_crates:prepend() {
    install -D -m 0644 ${S}/Cargo.lock ${CARGO_LOCK_SRC_DIR}/Cargo.lock
}

do_compile:append() {
    export RUSTFLAGS="${RUSTFLAGS}"
    oe_runmake all CARGO=${CARGO}
}

# Building the tests builds the programs again, with what only tests ask of the
# crates: not in the folder that do_install takes the programs from.
python do_compile_ptest_cargo:prepend() {
    os.environ["CARGO_TARGET_DIR"] = d.expand("${B}/target-ptest")
    # No test is better for the programs' long link-time optimisation.
    os.environ["CARGO_PROFILE_RELEASE_LTO"] = "off"
    os.environ["CARGO_PROFILE_RELEASE_CODEGEN_UNITS"] = "16"
}

# The C programs that the tests use when they find them beside themselves.
do_compile_ptest() {
    oe_runmake examples CARGO=: EXAMPLES=${B}/ptest-c
    for program in classic demo_server demo_client; do
        ${CC} ${CFLAGS} ${LDFLAGS} -o ${B}/ptest-c/$program ${S}/tests/c/$program.c
    done
}

do_install:append() {
    # scarthgap's class takes the crate's own library along.
    rm -rf ${D}${libdir}/rustlib
    # In place of the two programs, which the class takes along.
    ln -sf shmdemo ${D}${bindir}/shmdemo-server
    ln -sf shmdemo ${D}${bindir}/shmdemo-client
    oe_runmake install CARGO=: DESTDIR=${D}

    install -d ${D}${mandir}/man1 ${D}${mandir}/man7
    install -m 0644 ${S}/man/*.1 ${D}${mandir}/man1
    install -m 0644 ${S}/man/*.7 ${D}${mandir}/man7
    install -d ${D}${docdir}/${BPN}
    install -m 0644 ${S}/README.md ${S}/CHANGELOG.md ${D}${docdir}/${BPN}

    install -D -m 0644 ${SHMDEMO_UNPACKED}/shmdemo-server.default ${D}${sysconfdir}/default/shmdemo-server
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -D -m 0644 ${SHMDEMO_UNPACKED}/shmdemo-server.service ${D}${systemd_system_unitdir}/shmdemo-server.service
        sed -i -e 's|/usr/bin/|${bindir}/|' ${D}${systemd_system_unitdir}/shmdemo-server.service
    fi
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${SHMDEMO_UNPACKED}/shmdemo-server.init ${D}${sysconfdir}/init.d/shmdemo-server
        sed -i -e 's|/usr/bin/|${bindir}/|' ${D}${sysconfdir}/init.d/shmdemo-server
    fi
}

do_install_ptest() {
    install -m 0755 ${B}/ptest-c/* ${D}${PTEST_PATH}
    sed -i -e 's|@BINDIR@|${bindir}|' -e 's|@VERSION@|${@d.getVar('PV').split('+')[0]}|' ${D}${PTEST_PATH}/run-ptest
}

FILES:${PN}-server += "${bindir}/shmdemo-server \
                       ${sysconfdir}/default/shmdemo-server \
                       ${sysconfdir}/init.d/shmdemo-server \
                       ${systemd_system_unitdir}/shmdemo-server.service"
CONFFILES:${PN}-server = "${sysconfdir}/default/shmdemo-server"
FILES:${PN}-client += "${bindir}/shmdemo-client"
FILES:${PN}-common += "${bindir}/shmdemo"
FILES:${PN}-lib += "${libdir}/libshmdemo${SOLIBS}"

# The header and the link to link with want the library, not the programs.
DEV_PKG_DEPENDENCY = "${PN}-lib (= ${EXTENDPKGV})"

# shmdemo itself is empty: it pulls in both programs.
ALLOW_EMPTY:${PN} = "1"
RDEPENDS:${PN} = "${PN}-client ${PN}-server"
RDEPENDS:${PN}-client = "${PN}-common (= ${EXTENDPKGV})"
RDEPENDS:${PN}-server = "${PN}-common (= ${EXTENDPKGV})"
