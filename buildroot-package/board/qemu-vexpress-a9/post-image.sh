#!/bin/sh
# Buildroot writes start-qemu.sh for its own boards only; this puts ours beside the images.

set -e

install -m 0755 "$(dirname "$0")/start-qemu.sh" "$BINARIES_DIR/start-qemu.sh"
