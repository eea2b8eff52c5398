include $(sort $(wildcard $(BR2_EXTERNAL_SHMDEMO_PATH)/package/*/*.mk))
