#!/bin/sh
# SPDX-License-Identifier: MIT
# Run as root inside a chroot of busybox, in PID and IPC namespaces of its own: tries
# /etc/init.d/shmdemo-mqtt with the real program, without a broker, which it waits for.
# Prints one line for each step, exits 1 if one failed.
# shellcheck disable=SC2086,SC2317 # plain values; functions are called through try

INIT=/etc/init.d/shmdemo-mqtt
failed=0

try() { # NAME COMMAND...
	name=$1
	shift
	if output=$("$@" 2>&1); then
		echo "ok mqtt: init script: $name"
	else
		failed=1
		echo "FAIL mqtt: init script: $name: $output"
	fi
}

exits() { # STATUS COMMAND...
	want=$1
	shift
	"$@" >/tmp/out 2>&1
	got=$?
	[ "$got" -eq "$want" ] || {
		echo "exit status $got, expected $want: $(cat /tmp/out)"
		return 1
	}
}

pid() {
	cat "/run/shmdemo-mqtt-$1.pid"
}

settings() { # NAME OPTIONS
	echo "SHMDEMO_MQTT_OPTIONS=\"$2\"" >"/etc/default/shmdemo-mqtt-$1"
}

is_there() { # NAME: not as a zombie, which has no executable
	[ "$(readlink "/proc/$(pid "$1")/exe")" = /usr/bin/shmdemo-mqtt ]
}

both_run() {
	exits 0 $INIT status && is_there one && is_there two && [ "$(pid one)" != "$(pid two)" ]
}

as_its_user() {
	[ "$(stat -c %U "/proc/$(pid one)")" = shmdemo ]
}

counters() {
	grep -q '"direction":"out"' /run/shmdemo-mqtt-one/status &&
		grep -q '"direction":"in"' /run/shmdemo-mqtt-two/status
}

keeps_pid() {
	before=$(pid one)
	exits 0 $INIT start && [ "$(pid one)" = "$before" ]
}

only_one_is_restarted() {
	one=$(pid one) two=$(pid two)
	exits 0 $INIT restart two && [ "$(pid one)" = "$one" ] && [ "$(pid two)" != "$two" ]
}

killed_and_started() {
	kill -KILL "$(pid one)"
	sleep 1
	exits 3 $INIT status one && exits 0 $INIT start && both_run
}

foreign_pid_is_left_alone() {
	sleep 1000 &
	other=$!
	echo $other >/run/shmdemo-mqtt-one.pid
	exits 0 $INIT stop one && kill -0 $other && kill $other
}

wrong_options() {
	settings bad 'out'
	exits 1 $INIT start bad && rm /etc/default/shmdemo-mqtt-bad
}

try "without settings there is nothing to start" exits 0 $INIT start
try "nor a program" exits 1 pidof shmdemo-mqtt
settings one 'out -k 71 --broker 127.0.0.1:9 --topic out/%l'
settings two 'in -k 72 --broker 127.0.0.1:9 --topic in/#'
try "status before start is 3" exits 3 $INIT status
try "start" exits 0 $INIT start
try "one runs for each file of settings" both_run
try "as user shmdemo" as_its_user
sleep 2
try "their counters are in /run" counters
try "second start keeps them" keeps_pid
try "restart of one by name leaves the other" only_one_is_restarted
try "a killed one is noticed and started again" killed_and_started
try "a name without settings is 6" exits 6 $INIT start three
try "wrong options are told" wrong_options
try "stop" exits 0 $INIT stop
try "none is left" exits 1 pidof shmdemo-mqtt
try "stop twice is no failure" exits 0 $INIT stop
try "another process with the pid of the file is not touched" foreign_pid_is_left_alone
exit $failed
