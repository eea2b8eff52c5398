# shellcheck shell=bash
# What the checks beside this file share: each sources it, sets `work` to a folder of its own, runs its
# checks and ends with `finish`. A line for each, `ok   NAME` or `FAIL NAME`, and then `N passed, N failed`.

passed=0 failed=0
: "${work:=}" # set by who sources this

# Ends with 77 where a program is missing, and says how to have it.
need() { # HOW PROGRAM...
    local how=$1 program
    shift
    for program; do
        command -v "$program" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || {
            echo "${0##*/}: $program is missing: $how"
            exit 77
        }
    done
}

# Counts a line of this form, and prints it; any other is left out.
result() { # LINE
    case $1 in
    ok\ *) passed=$((passed + 1)) ;;
    FAIL\ *) failed=$((failed + 1)) ;;
    *) return ;;
    esac
    printf '%s\n' "$1"
}

# Runs one check in this shell, so that what it notes stays; what it said is shown if it failed.
check() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    if "$@" >"$work/check.log" 2>&1; then
        result "ok   $name ($((SECONDS - start)) s)"
    else
        result "FAIL $name ($((SECONDS - start)) s)"
        tail -n 30 "$work/check.log"
    fi
}

# As check, of something that was done already.
verdict() { # NAME STATUS
    if [ "$2" = 0 ]; then result "ok   $1"; else result "FAIL $1"; fi
}

# Runs a program that prints such lines itself.
relay() { # NAME COMMAND...
    local name=$1 line status last="" before=$((passed + failed))
    shift
    while IFS= read -r line; do
        result "$line"
        last=$line
    done < <("$@" 2>&1; echo "status $?")
    status=${last#status }
    # Its own status says again that a line failed; anything but 0 and 1 is a crash.
    [ "$status" -le 1 ] || result "FAIL $name: ended with status $status"
    [ $((passed + failed)) -gt "$before" ] || result "FAIL $name: checked nothing"
}

is() { # VALUE COMMAND...: is this what it prints?
    local wanted=$1 got
    shift
    got=$("$@") || return
    echo "got '$got', wanted '$wanted'"
    [ "$got" = "$wanted" ]
}

fails() { ! "$@"; }

# The last line, and the exit status: 0 if nothing failed, and something was checked.
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
