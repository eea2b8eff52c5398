################################################################################
#
# shmdemo-mqtt
#
################################################################################

SHMDEMO_MQTT_VERSION = 0.1.0
SHMDEMO_MQTT_LICENSE = MIT or Apache-2.0
SHMDEMO_MQTT_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# A folder of the repository that this external tree is a folder of, with a lock
# file of its own; the crate beside it is part of its source.
SHMDEMO_MQTT_SITE = $(BR2_EXTERNAL_SHMDEMO_PATH)/..
SHMDEMO_MQTT_SITE_METHOD = local
SHMDEMO_MQTT_SUBDIR = mqtt

SHMDEMO_MQTT_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude-from=$(SHMDEMO_MQTT_PKGDIR)/source-files.filter
shmdemo-mqtt-legal-info: private RSYNC_VCS_EXCLUSIONS += $(SHMDEMO_MQTT_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS)

# As for shmdemo.
SHMDEMO_MQTT_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_LTO="fat" \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS="1" \
	CARGO_PROFILE_RELEASE_PANIC="abort" \
	$(SHMDEMO_THUMB2_ENV)

define SHMDEMO_MQTT_FETCH_CRATES
	cd $(@D)/mqtt && \
	$(TARGET_MAKE_ENV) \
		$(PKG_CARGO_ENV) \
		cargo fetch \
			--locked \
			--manifest-path Cargo.toml
endef
SHMDEMO_MQTT_PRE_BUILD_HOOKS += SHMDEMO_MQTT_FETCH_CRATES

define SHMDEMO_MQTT_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_SYSVIPC)
	$(call KCONFIG_ENABLE_OPT,CONFIG_FUTEX)
endef

define SHMDEMO_MQTT_USERS
	shmdemo -1 shmdemo -1 * - - - shmdemo service
endef

define SHMDEMO_MQTT_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/mqtt/service/shmdemo-mqtt.init \
		$(TARGET_DIR)/etc/init.d/S85shmdemo-mqtt
endef

define SHMDEMO_MQTT_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/mqtt/service/shmdemo-mqtt@.service \
		$(TARGET_DIR)/usr/lib/systemd/system/shmdemo-mqtt@.service
endef

$(eval $(cargo-package))
