"""Checks the Kconfig side of the external tree: kconfig.py EXTERNAL-TREE"""

import os
import pathlib
import re
import sys

import kconfiglib

tree = pathlib.Path(sys.argv[1])
os.environ["BR2_EXTERNAL_SHMDEMO_PATH"] = str(tree)
RUST = "BR2_PACKAGE_HOST_RUSTC"
failed = 0


def check(name, good, detail=""):
    global failed
    failed += not good
    print(f"ok {name}" if good else f"FAIL {name}: {detail}")


def menu(**values):
    """The menu of someone whose toolchain has these symbols."""
    kconf = kconfiglib.Kconfig(str(tree / "checks/stub-symbols.in"), warn_to_stderr=False)
    for symbol, value in values.items():
        kconf.syms[symbol].set_value(value)
    return kconf


def visible(kconf, symbol):
    return kconf.syms[symbol].visibility > 0


def comments(kconf):
    return [n.prompt[0] for n in kconf.node_iter()
            if n.item == kconfiglib.COMMENT and kconfiglib.expr_value(n.prompt[1]) and n.dep is not None
            and kconfiglib.expr_value(n.dep)]


SUPPORTED = {RUST + "_ARCH_SUPPORTS": "y", RUST + "_TARGET_ARCH_SUPPORTS": "y", "BR2_TOOLCHAIN_USES_GLIBC": "y"}

kconf = menu(**SUPPORTED)
check("Kconfig: no warning from Config.in", not kconf.warnings, kconf.warnings)
check("Kconfig: offered where Rust is, without a comment",
      visible(kconf, "BR2_PACKAGE_SHMDEMO") and not comments(kconf), comments(kconf))
check("Kconfig: the release address is asked for only with the package",
      not visible(kconf, "BR2_PACKAGE_SHMDEMO_RELEASE_SITE"))
kconf.syms["BR2_PACKAGE_SHMDEMO"].set_value("y")
check("Kconfig: the package selects the Rust compiler", kconf.syms[RUST].str_value == "y")
check("Kconfig: it builds this repository unless told otherwise",
      visible(kconf, "BR2_PACKAGE_SHMDEMO_RELEASE_SITE")
      and kconf.syms["BR2_PACKAGE_SHMDEMO_RELEASE_SITE"].str_value == "")
LIBRARY = "BR2_PACKAGE_SHMDEMO_LIBRARY"
check("Kconfig: the C library is offered with the package, and is not there by itself",
      visible(kconf, LIBRARY) and kconf.syms[LIBRARY].str_value == "n" and not comments(kconf), comments(kconf))
check("Kconfig: and not without the package", not visible(menu(**SUPPORTED), LIBRARY))
kconf = menu(**SUPPORTED, BR2_PACKAGE_SHMDEMO="y", BR2_STATIC_LIBS="y")
check("Kconfig: a toolchain without shared libraries gets a comment in its place, and the programs",
      visible(kconf, "BR2_PACKAGE_SHMDEMO") and not visible(kconf, LIBRARY)
      and len(comments(kconf)) == 1 and "dynamic library" in comments(kconf)[0], comments(kconf))

HOST = {RUST + "_ARCH_SUPPORTS": "y"}
for name, values, word in [
    ("a uClibc toolchain", {**HOST, "BR2_TOOLCHAIN_USES_UCLIBC": "y"}, "w/ glibc or musl"),
    ("a musl toolchain without C++", {**HOST, "BR2_TOOLCHAIN_USES_MUSL": "y"}, "w/ C++"),
    ("an architecture without Rust", {**HOST, "BR2_TOOLCHAIN_USES_GLIBC": "y"}, "needs a target"),
    ("such an architecture with musl and C++",
     {**HOST, "BR2_TOOLCHAIN_USES_MUSL": "y", "BR2_INSTALL_LIBSTDCPP": "y"}, "needs a target"),
    ("a build machine without Rust", {"BR2_TOOLCHAIN_USES_GLIBC": "y"}, "build machine"),
]:
    kconf = menu(**values)
    shown = comments(kconf)
    check(f"Kconfig: {name} gets one comment that says so, and no package",
          not visible(kconf, "BR2_PACKAGE_SHMDEMO") and len(shown) == 1 and word in shown[0], shown)

for defconfig in sorted((tree / "configs").iterdir()):
    text = defconfig.read_text()
    value = dict(re.findall(r'^(BR2_\w+)="?([^"\n]*)"?$', text, re.M))
    paths = re.findall(r"\$\(BR2_EXTERNAL_SHMDEMO_PATH\)(/[^\" ]+)", text)
    check(f"{defconfig.name}: every file it names is there",
          paths and all((tree / p[1:]).exists() for p in paths), paths)
    check(f"{defconfig.name}: has the package, and insists on hashes",
          value.get("BR2_PACKAGE_SHMDEMO") == "y" and value.get("BR2_DOWNLOAD_FORCE_CHECK_HASHES") == "y")
    pins = [("linux", f"linux-{value['BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE']}.tar.xz")]
    pins.append(("linux-headers", pins[0][1]))
    if "BR2_TARGET_UBOOT" in value:
        pins.append(("uboot", f"u-boot-{value['BR2_TARGET_UBOOT_CUSTOM_VERSION_VALUE']}.tar.bz2"))
    for package, tarball in pins:
        hashes = (tree / f"board/patches/{package}/{package}.hash").read_text()
        check(f"{defconfig.name}: {tarball} of {package} has its hash",
              re.search(rf"^sha256  [0-9a-f]{{64}}  {re.escape(tarball)}$", hashes, re.M), hashes)

sys.exit(failed > 0)
