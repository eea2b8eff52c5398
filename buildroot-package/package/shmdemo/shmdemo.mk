################################################################################
#
# shmdemo
#
################################################################################

SHMDEMO_VERSION = 0.1.0
SHMDEMO_LICENSE = MIT or Apache-2.0
SHMDEMO_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# The release tarball where its address is given, else the repository that
# this external tree is a folder of.
SHMDEMO_SITE = $(call qstrip,$(BR2_PACKAGE_SHMDEMO_RELEASE_SITE))
ifeq ($(SHMDEMO_SITE),)
SHMDEMO_SITE = $(BR2_EXTERNAL_SHMDEMO_PATH)/..
SHMDEMO_SITE_METHOD = local
endif

# Only the crate travels into the build folder, never target/, a Buildroot
# output folder or whatever else lies in a working tree.
SHMDEMO_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude-from=$(SHMDEMO_PKGDIR)/source-files.filter

# legal-info packs a local source tree with a copy of its own, which would
# take everything along.
shmdemo-legal-info: private RSYNC_VCS_EXCLUSIONS += $(SHMDEMO_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)

# Buildroot sets the [profile.*] of Cargo.toml aside. The optimisation level
# stays the one of BR2_OPTIMIZE_*; these two make the programs smaller.
SHMDEMO_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_LTO="fat" \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS="1" \
	$(SHMDEMO_THUMB2_ENV)

# Thumb-2 instructions where the C programs have them, a fifth smaller: Buildroot
# tells gcc alone. Rust's standard library comes built, in ARM instructions, and
# each calls the other. The variable takes the place of the one that Buildroot
# sets for ARM, with that one's words in it.
ifeq ($(BR2_ARM_INSTRUCTIONS_THUMB2),y)
SHMDEMO_THUMB2_ENV = \
	CARGO_TARGET_$(call UPPERCASE,$(RUSTC_TARGET_NAME))_RUSTFLAGS="-Clink-arg=-Wl,--allow-multiple-definition -Ctarget-feature=+thumb-mode"
endif

# One executable is both programs, at half their size together. cargo makes and
# installs the two programs as well; links to the one take their place.
SHMDEMO_CARGO_BUILD_OPTS = --no-default-features --features multicall
ifeq ($(BR2_PACKAGE_SHMDEMO_RELAY),y)
SHMDEMO_CARGO_BUILD_OPTS += --features relay
endif
SHMDEMO_CARGO_INSTALL_OPTS = $(SHMDEMO_CARGO_BUILD_OPTS)

define SHMDEMO_LINK_PROGRAMS
	ln -sf shmdemo $(TARGET_DIR)/usr/bin/shmdemo-server
	ln -sf shmdemo $(TARGET_DIR)/usr/bin/shmdemo-client
endef
SHMDEMO_POST_INSTALL_TARGET_HOOKS += SHMDEMO_LINK_PROGRAMS

# A tarball is vendored when it is downloaded; a local source tree (and one
# given with SHMDEMO_OVERRIDE_SRCDIR) is not, so its crates are fetched here,
# as the lock file names them, into the cargo home below BR2_DL_DIR.
define SHMDEMO_FETCH_CRATES
	cd $(@D) && \
	$(TARGET_MAKE_ENV) \
		$(PKG_CARGO_ENV) \
		cargo fetch \
			--locked \
			--manifest-path Cargo.toml
endef
ifneq ($(SHMDEMO_OVERRIDE_SRCDIR)$(filter local,$(SHMDEMO_SITE_METHOD)),)
SHMDEMO_PRE_BUILD_HOOKS += SHMDEMO_FETCH_CRATES
endif

# The C library is built beside the programs, which stay the same bytes. Flags
# go on the command line, where the makefile's own do not hide them; Buildroot
# strips by itself, and the staging folder keeps the symbols.
ifeq ($(BR2_PACKAGE_SHMDEMO_LIBRARY),y)
SHMDEMO_INSTALL_STAGING = YES

SHMDEMO_MAKE_LIBRARY = \
	$(TARGET_MAKE_ENV) \
		$(PKG_CARGO_ENV) \
		$(SHMDEMO_CARGO_ENV) \
		$(MAKE) -C $(@D)/capi \
			$(TARGET_CONFIGURE_OPTS) \
			CARGO_FLAGS="--offline --release --locked" \
			STRIP_FLAGS= \
			PREFIX=/usr

define SHMDEMO_BUILD_LIBRARY
	$(SHMDEMO_MAKE_LIBRARY) all
endef
SHMDEMO_POST_BUILD_HOOKS += SHMDEMO_BUILD_LIBRARY

# "CARGO=:" takes what the build made.
define SHMDEMO_INSTALL_STAGING_CMDS
	$(SHMDEMO_MAKE_LIBRARY) CARGO=: DESTDIR=$(STAGING_DIR) install
	$(foreach page,shmdemo-client.1 shmdemo-relay.1 shmdemo-server.1 shmdemo.7,
		$(INSTALL) -D -m 0644 $(@D)/man/$(page) \
			$(STAGING_DIR)/usr/share/man/man$(subst .,,$(suffix $(page)))/$(page)
	)
endef

# What only a compiler needs is taken out again when the target is finished.
define SHMDEMO_INSTALL_LIBRARY
	$(SHMDEMO_MAKE_LIBRARY) CARGO=: DESTDIR=$(TARGET_DIR) install
endef
SHMDEMO_POST_INSTALL_TARGET_HOOKS += SHMDEMO_INSTALL_LIBRARY
endif

SHMDEMO_KERNEL_OPTIONS = CONFIG_SYSVIPC CONFIG_FUTEX

define SHMDEMO_LINUX_CONFIG_FIXUPS
	$(foreach opt,$(SHMDEMO_KERNEL_OPTIONS),
		$(call KCONFIG_ENABLE_OPT,$(opt))
	)
endef

# An option that the kernel's own rules took away again is found here.
ifeq ($(BR2_LINUX_KERNEL),y)
define SHMDEMO_CHECK_KERNEL_OPTIONS
	$(Q)for opt in $(SHMDEMO_KERNEL_OPTIONS); do \
		if ! grep -q "^$${opt}=y" $(LINUX_DIR)/.config; then \
			printf 'shmdemo: the kernel lacks %s; switch it on with "make linux-menuconfig" or in a fragment of BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES\n' \
				"$${opt}" >&2; \
			exit 1; \
		fi; \
	done
endef
SHMDEMO_TARGET_FINALIZE_HOOKS += SHMDEMO_CHECK_KERNEL_OPTIONS
endif

define SHMDEMO_USERS
	shmdemo -1 shmdemo -1 * - - - shmdemo service
endef

define SHMDEMO_INSTALL_DEFAULTS
	$(INSTALL) -D -m 0644 $(SHMDEMO_PKGDIR)/shmdemo-server.default \
		$(TARGET_DIR)/etc/default/shmdemo-server
endef
SHMDEMO_POST_INSTALL_TARGET_HOOKS += SHMDEMO_INSTALL_DEFAULTS

define SHMDEMO_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(SHMDEMO_PKGDIR)/S80shmdemo-server \
		$(TARGET_DIR)/etc/init.d/S80shmdemo-server
endef

define SHMDEMO_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(SHMDEMO_PKGDIR)/shmdemo-server.service \
		$(TARGET_DIR)/usr/lib/systemd/system/shmdemo-server.service
endef

$(eval $(cargo-package))
