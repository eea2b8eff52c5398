#!/bin/sh
# SPDX-License-Identifier: MIT
# Run as root inside a chroot of busybox, in PID and IPC namespaces of its own:
# tries /etc/init.d/shmdemo-server with the real programs and a real syslogd.
# Prints one line for each step, exits 1 if one failed.
# shellcheck disable=SC2086,SC2317 # plain values; functions are called through try

INIT=/etc/init.d/shmdemo-server
LOG=/var/log/messages
failed=0

try() { # NAME COMMAND...
    name=$1
    shift
    if output=$("$@" 2>&1); then
        echo "ok init script: $name"
    else
        failed=1
        echo "FAIL init script: $name: $output"
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

logged() { # TEXT: within ten seconds
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        grep -q "$1" $LOG && return 0
        sleep 1
    done
    echo "no '$1' in $LOG: $(tail -n 5 $LOG)"
    return 1
}

pid() {
    cat /run/shmdemo-server.pid
}

send() {
    echo "$1" | shmdemo-client --no-create --owner shmdemo --timeout 10
}

runs_as_its_user() {
    [ "$(stat -c %U "/proc/$(pid)")" = shmdemo ]
}

start_again_keeps_pid() {
    before=$(pid)
    exits 0 $INIT start && [ "$(pid)" = "$before" ]
}

kept_until_next_start() {
    exits 0 $INIT stop && ! grep SIGKILL /tmp/out && exits 3 $INIT status && send kept-message || return 1
    ! grep -q kept-message $LOG || return 1
    exits 0 $INIT start && logged 'shmdemo-server: kept-message'
}

restart_changes_pid() {
    before=$(pid)
    exits 0 $INIT restart && [ "$(pid)" != "$before" ] && exits 0 $INIT status
}

killed_server_is_noticed() {
    kill -KILL "$(pid)"
    sleep 1
    exits 1 $INIT status && exits 0 $INIT start && exits 0 $INIT status
}

# The client is the same executable.
client_is_no_server() {
    exits 0 $INIT stop || return 1
    mkfifo /tmp/client
    shmdemo-client --no-create --owner shmdemo </tmp/client &
    client=$!
    exec 9>/tmp/client
    tries=0
    until [ "$(cat "/proc/$client/comm")" = shmdemo-client ]; do
        tries=$((tries + 1))
        [ "$tries" -le 20 ] || return 1
        sleep 1
    done
    echo "$client" >/run/shmdemo-server.pid
    exits 1 $INIT status && kill -0 "$client"
    status=$?
    exec 9>&-
    rm -f /run/shmdemo-server.pid /tmp/client
    [ "$status" = 0 ] && exits 0 $INIT start
}

wrong_option_is_refused() {
    exits 0 $INIT stop || return 1
    echo 'SHMDEMO_OPTIONS="--lanes 999"' >/etc/default/shmdemo-server
    exits 1 $INIT start && grep -q 'FAIL (the reason is in the system log)' /tmp/out && logged lanes
    status=$?
    rm /etc/default/shmdemo-server
    return $status
}

twice_is_no_failure() {
    exits 0 $INIT stop && exits 0 $INIT stop && exits 3 $INIT status && exits 0 $INIT start
}

lost_pid_file() {
    before=$(pid)
    rm /run/shmdemo-server.pid
    exits 0 $INIT status && [ "$(pid)" = "$before" ] || return 1
    rm /run/shmdemo-server.pid
    exits 0 $INIT stop && ! readlink "/proc/$before/exe" && exits 0 $INIT start
}

# What starts it need not wait for what it starts.
ends_with_its_reader() {
    exits 0 $INIT stop || return 1
    timeout 20 sh -c "$INIT start | cat" && exits 0 $INIT status
}

missing_program_is_named() {
    mv /usr/bin/shmdemo-server /tmp/server
    exits 5 $INIT start && grep -q 'install its package' /tmp/out
    status=$?
    mv /tmp/server /usr/bin/shmdemo-server
    return $status
}

nothing_left_over() {
    exits 0 $INIT stop && exits 0 shmdemo-server remove --owner shmdemo || return 1
    [ -z "$(ls /run/shmdemo)" ] && [ ! -e /run/shmdemo-server.pid ] || return 1
    [ "$(cat /proc/sysvipc/shm /proc/sysvipc/sem | wc -l)" -eq 2 ] || {
        cat /proc/sysvipc/shm /proc/sysvipc/sem
        return 1
    }
}

: >$LOG
syslogd -O $LOG

try "status before start is 3" exits 3 $INIT status
try "start" exits 0 $INIT start
try "status while it runs is 0" exits 0 $INIT status
try "runs as user shmdemo" runs_as_its_user
try "second start keeps the first server" start_again_keeps_pid
send first-message
try "a message reaches syslog" logged 'shmdemo-server: first-message'
try "a message sent while stopped is printed at the next start" kept_until_next_start
try "restart" restart_changes_pid
try "a killed server is noticed and started again" killed_server_is_noticed
try "the pid of a client is not the server's" client_is_no_server
try "stop twice is no failure" twice_is_no_failure
try "a lost pid file is found again" lost_pid_file
try "start, read by another program, ends" ends_with_its_reader
try "a wrong option: start fails and says why" wrong_option_is_refused
try "a missing program: start fails and says what to install" missing_program_is_named
exits 0 $INIT start
try "stop and remove leave nothing" nothing_left_over
try "unknown action is a usage error" exits 2 $INIT dance

exit $failed
