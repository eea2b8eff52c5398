#!/bin/sh
# Runs the init script for real. Called as the first process of namespaces of its own
# (mount, pid, ipc), in a root folder with busybox, the programs and the package's files.
# shellcheck disable=SC2317 # the functions are called through check

failed=0
script="/etc/init.d/S80shmdemo-server"
pidfile="/var/run/shmdemo-server.pid"

check() { # NAME COMMAND...
	name="$1"
	shift
	if output="$("$@" 2>&1)"; then
		echo "ok service: $name"
	else
		echo "FAIL service: $name: $(echo "$output" | tail -n 5 | tr '\n' ';')"
		failed=1
	fi
}

fails() { # STATUS COMMAND...
	wanted="$1"
	shift
	"$@"
	got=$?
	echo "exit status $got, wanted $wanted"
	[ "$got" -eq "$wanted" ]
}

within() { # SECONDS COMMAND...: it comes true by then
	tries=$(($1 * 10))
	shift
	until "$@" >/tmp/within 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || {
			tail -n 3 /tmp/within
			return 1
		}
		sleep 0.1
	done
}

log_has() { # TEXT
	within 20 grep "$1" /var/log/messages || {
		tail -n 3 /var/log/messages
		return 1
	}
}

times_in_log() { # NUMBER TEXT
	found="$(grep -c "$2" /var/log/messages)"
	echo "$found times"
	[ "$found" -eq "$1" ]
}

send() {
	printf '%s\n' "$1" | shmdemo-client --no-create --owner shmdemo --timeout 10
}

says() { # TEXT COMMAND...
	text="$1"
	shift
	"$@" 2>&1 | grep "$text"
}

pid() {
	cat "$pidfile"
}

runs_as_shmdemo() {
	[ "$(readlink "/proc/$(pid)/exe")" = "/usr/bin/shmdemo" ] &&
		[ "$(cat "/proc/$(pid)/comm")" = "shmdemo-server" ] &&
		grep -q "^Uid:	777	777	777	777$" "/proc/$(pid)/status" &&
		grep -q "^Gid:	778	778	778	778$" "/proc/$(pid)/status"
}

one_server() {
	pids="$(pidof shmdemo-server)"
	echo "servers: $pids"
	[ "$pids" = "$(pid)" ]
}

nothing_left() {
	! pidof shmdemo-server logger && [ ! -e "$pidfile" ] && [ -z "$(ls /var/run/shmdemo)" ]
}

new_pid() { # OLD COMMAND...
	old="$1"
	shift
	"$@" && runs_as_shmdemo && [ "$(pid)" != "$old" ]
}

lines_unchanged() {
	cmp /var/run/shmdemo/out /tmp/lines
}

processes_of_the_service() {
	# shellcheck disable=SC2009 # not every busybox has pgrep
	ps -o user | grep -x "shmdemo *"
}

ends_within() { # SECONDS COMMAND...
	limit="$1"
	shift
	begin="$(date +%s)"
	"$@"
	took=$(($(date +%s) - begin))
	echo "took $took s"
	[ "$took" -le "$limit" ]
}

mount -t proc proc /proc
syslogd
within 20 test -S /dev/log

check "status without a server is 3" fails 3 "$script" status
check "start" "$script" start
check "the pid file names the server, which runs as user and group shmdemo" runs_as_shmdemo
check "status is 0" "$script" status
check "a second start finds it running" says "runs already" fails 0 "$script" start
check "and leaves the first alone" one_server
check "a client sends a message" send "the first message"
check "it is in the system log under the service's name" log_has "daemon.info shmdemo-server: the first message"
check "the channel is the service's alone" says "^ *1234 .* 600 .* 777 *778" cat /proc/sysvipc/shm
check "restart makes a new server" new_pid "$(pid)" "$script" restart
check "messages go through after it" send "the second message"
check "to the log" log_has "the second message"
check "reload is a restart" new_pid "$(pid)" "$script" reload
check "stop" "$script" stop
# logger ends once it has read the last of the server's words.
check "leaves no process, pid file or FIFO" within 20 nothing_left
check "a second stop has nothing to do" says "does not run" "$script" stop
check "and is no failure" "$script" stop
check "a message for the stopped service is taken" send "the third message"
check "start after stop" "$script" start
check "the third message was not lost" log_has "the third message"
kill -9 "$(pid)"
within 20 fails 1 pidof shmdemo-server
check "status after kill -9 is 1" fails 1 "$script" status
check "start after kill -9" "$script" start
check "status is 0 again" "$script" status
check "stop after that" "$script" stop

# A pid file from an earlier boot: its number belongs to another process now, or to none.
sleep 1000 &
other=$!
echo "$other" >"$pidfile"
check "status with a stale pid file is 1" fails 1 "$script" status
mkfifo /tmp/client
shmdemo-client --no-create --owner shmdemo </tmp/client &
client=$!
exec 9>/tmp/client
check "a client waits for input" within 20 grep -x shmdemo-client "/proc/$client/comm"
echo "$client" >"$pidfile"
check "status with the pid of a client, which is the same executable, is 1" fails 1 "$script" status
check "and it goes on" kill "$client"
exec 9>&-
echo "$other" >"$pidfile"
check "stop with a stale pid file has nothing to do" "$script" stop
check "and leaves the other process alone" kill -0 "$other"
echo "$other" >"$pidfile"
check "start with a stale pid file" "$script" start
check "replaces it" runs_as_shmdemo
check "and leaves the other process alone" kill -0 "$other"
"$script" stop >/dev/null
# A server whose pid file is lost, and whose executable was replaced.
check "start for a lost pid file" "$script" start
lost="$(pid)"
cp /usr/bin/shmdemo /usr/bin/shmdemo.new
mv /usr/bin/shmdemo.new /usr/bin/shmdemo
rm -f "$pidfile"
check "status finds it" "$script" status
rm -f "$pidfile"
check "start does not start another" "$script" start
check "but finds it" [ "$(pid)" = "$lost" ]
rm -f "$pidfile"
shmdemo-server --persist -k 77 </dev/null >/dev/null 2>&1 &
foreign=$!
check "stop stops it" "$script" stop
check "really" fails 1 kill -0 "$lost"
check "and no other server" kill -0 "$foreign"
kill "$foreign"
wait "$foreign"
shmdemo-server remove -k 77
echo 999999 >"$pidfile"
check "start with the pid file of a process that ended" "$script" start
check "every message came once" within 20 times_in_log 3 "shmdemo-server: the .* message"

# Options and output from /etc/default.
"$script" stop >/dev/null
for n in $(seq 200); do echo "$n $(head -c 1500 /dev/zero | tr '\0' x)"; done >/tmp/lines
mv /etc/default/shmdemo-server /tmp/default
{
	echo 'SHMDEMO_OPTIONS="--mode 0660"'
	echo 'SHMDEMO_OUTPUT="/var/run/shmdemo/out"'
} >/etc/default/shmdemo-server
check "start with options and an output file" "$script" start
check "the option counts" says "^ *1234 .* 660 " cat /proc/sysvipc/shm
check "300 kB of long lines are sent" shmdemo-client --no-create --owner shmdemo --mode 0660 </tmp/lines
check "and are in the file unchanged" within 20 lines_unchanged
check "which is the service's alone" says "^600 777$" stat -c "%a %u" /var/run/shmdemo/out
"$script" stop >/dev/null
rm -f /var/run/shmdemo/out

# A FIFO: it needs its reader; a reader that stops reading does not hold up the stop.
mkfifo -m 0666 /var/run/shmdemo/out
echo 'SHMDEMO_OUTPUT="/var/run/shmdemo/out"' >/etc/default/shmdemo-server
check "start with a FIFO that nobody opens fails" fails 1 "$script" start
check "and leaves no process behind" within 20 fails 1 processes_of_the_service
# shellcheck disable=SC2217 # it is to hold the FIFO open, not to read it
sleep 1000 </var/run/shmdemo/out &
reader=$!
check "start with a FIFO that is open" "$script" start
shmdemo-client --no-create --owner shmdemo --timeout 2 </tmp/lines 2>/dev/null
check "stop does not wait for ever for its reader" ends_within 100 "$script" stop
check "the server is gone" within 20 fails 1 pidof shmdemo-server
kill "$reader"
cat /var/run/shmdemo/out >/tmp/read &
check "start with a FIFO that is read" "$script" start
check "a message for it" send "the last line"
check "is read from it" within 20 says "^the last line$" cat /tmp/read
"$script" stop >/dev/null
rm -f /var/run/shmdemo/out

echo 'SHMDEMO_OPTIONS="--lanes many"' >/etc/default/shmdemo-server
check "start with a wrong option fails" fails 1 "$script" start
check "and the system log names it" log_has "shmdemo-server.*lanes"
mv /tmp/default /etc/default/shmdemo-server
shmdemo-server remove --owner shmdemo

# Somebody else's segment under the service's key.
start-stop-daemon --start --background --make-pidfile --pidfile /tmp/foreign.pid --chuid nobody \
	--exec /usr/bin/shmdemo-server -- --persist
within 20 grep -q "^ *1234 .* 65534 " /proc/sysvipc/shm
check "start with another user's segment in the way fails" fails 1 "$script" start
check "and the system log tells" log_has "daemon.err shmdemo-server.*key 0x0*4d2"
kill "$(cat /tmp/foreign.pid)"
within 20 fails 1 pidof shmdemo-server
shmdemo-server remove --owner nobody
check "a wrong word gets the usage" says "Usage: .*start|stop|restart|reload|force-reload|status" "$script" mend
check "and status 2" fails 2 "$script" mend
check "start once more" "$script" start
"$script" stop >/dev/null
check "remove after the end" shmdemo-server remove --owner shmdemo
check "no segment and no semaphores are left" fails 1 grep -v key /proc/sysvipc/shm /proc/sysvipc/sem
exit "$failed"
