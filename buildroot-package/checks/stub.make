# Stands in for what Buildroot defines around a package, so that GNU make can evaluate
# the packages' .mk without a Buildroot. Called with BR2_EXTERNAL_SHMDEMO_PATH and WORK set:
#   make -f stub.make print-VARIABLE
#   make -f stub.make WORK/run-DEFINE      runs the commands of a define

qstrip = $(strip $(subst ",,$(1)))#")
UPPERCASE = $(shell echo '$(1)' | tr a-z- A-Z_)
RUSTC_TARGET_NAME = armv7-unknown-linux-gnueabihf
Q = @
INSTALL = install
TARGET_DIR = $(WORK)/target
STAGING_DIR = $(WORK)/staging
LINUX_DIR = $(WORK)/linux
SHMDEMO_PKGDIR = $(BR2_EXTERNAL_SHMDEMO_PATH)/package/shmdemo/
SHMDEMO_MQTT_PKGDIR = $(BR2_EXTERNAL_SHMDEMO_PATH)/package/shmdemo-mqtt/
TARGET_MAKE_ENV = STUB_MAKE_ENV=1
# Flags that can be seen in what was linked with them.
TARGET_CONFIGURE_OPTS = CC="gcc" CFLAGS="-O2 -Wl,-rpath,/of-cflags" LDFLAGS="-Wl,-rpath,/of-ldflags"
PKG_CARGO_ENV = CARGO_HOME=$(WORK)/cargo-home
RSYNC_VCS_EXCLUSIONS = --exclude .git

define KCONFIG_ENABLE_OPT
	$(Q)grep -q '^$(strip $(1))=[my]' $(LINUX_DIR)/.config || echo '$(strip $(1))=y' >>$(LINUX_DIR)/.config
endef

cargo-package = $(eval INFRASTRUCTURE := cargo-package)

include $(BR2_EXTERNAL_SHMDEMO_PATH)/external.mk

shmdemo-legal-info:
	@echo $(RSYNC_VCS_EXCLUSIONS)

print-%:
	@printf '%s\n' '$(strip $($*))'

# As Buildroot copies a local source tree.
$(WORK)/rsync:
	@mkdir -p $(@D)/build
	@rsync -a $(SHMDEMO_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS) $(RSYNC_VCS_EXCLUSIONS) $(FROM)/ $(@D)/build

$(WORK)/mqtt-rsync:
	@mkdir -p $(@D)/mqtt-build
	@rsync -a $(SHMDEMO_MQTT_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS) $(RSYNC_VCS_EXCLUSIONS) $(FROM)/ $(@D)/mqtt-build

$(WORK)/mqtt-build/run-% $(WORK)/build/run-% $(WORK)/run-%:
	$($*)

.PHONY: shmdemo-legal-info $(WORK)/rsync $(WORK)/mqtt-rsync
