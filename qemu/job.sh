# shellcheck shell=bash disable=SC2154 # names are shared with qemu/runner
# What a board gets to run one program of cargo's: the program, what it finds beside itself, and
# a script that starts it. Sourced by qemu/runner, which sets program.

quoted() { # TEXT: as one word for sh
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

# What the program finds beside itself: cargo puts tests into PROFILE/deps and
# examples into PROFILE/examples. The two programs are its profile's, or those of SHMDEMO_BIN_DIR.
neighbours() { # FOLDER-OF-THE-PROGRAM
    local file profile=${1%/*} programs
    case $1 in
    */deps | */examples) ;;
    *) profile=$1 ;;
    esac
    programs=${SHMDEMO_BIN_DIR:-$profile}
    for file in "$programs"/shmdemo-server "$programs"/shmdemo-client "$profile"/examples/*; do
        # Cargo keeps every example a second time, with a hash, and in pieces with dots.
        if [ -f "$file" ] && [ -x "$file" ] && [[ ! ${file##*/} =~ \.|-[0-9a-f]{16}$ ]]; then
            echo "$file"
        fi
    done
}

# The program, its neighbours and the C peers of tests/c, stripped. Two names of one executable
# (links) stay that.
job_files() { # FOLDER TOOL-PREFIX
    local files file links=() source name
    mapfile -t files < <(neighbours "${program%/*}")
    for file in "${files[@]}" "$program"; do
        [ ! -L "$file" ] || links+=("$file")
        install -m 755 -t "$1" "$(realpath "$file")"
    done
    "$2strip" "$1"/* || die 77 "${2}strip can't read $program: is it a program for that machine?"
    for file in "${links[@]}"; do
        ln -s "$(basename "$(realpath "$file")")" "$1/${file##*/}"
    done
    for source in "$repo"/tests/c/*.c; do
        [ -e "$source" ] || continue
        name=${source##*/}
        name=${name%.c}
        { "$2gcc" -O2 -o "$1/$name" "$source" && "$2gcc" -O0 -o "$1/$name-O0" "$source"; } ||
            die 2 "$source does not compile with $2gcc"
    done
}

# The script that runs it. The switches of Rust's test harness and of the tests go along.
job_script() { # FOLDER-ON-THE-BOARD ARGUMENTS...
    local name word folder=$1
    shift
    echo '#!/bin/sh'
    for name in $(compgen -e | grep -E '^(RUST_(BACKTRACE|LOG|TEST_.*)|SHMDEMO_.*)$' |
        grep -vE '^SHMDEMO_(MACHINE|TIMEOUT|CACHE|BOARD|SSH|BIN_DIR)$'); do
        echo "export $name=$(quoted "${!name}")"
    done
    [ -z "${machine-}" ] || echo "export SHMDEMO_MACHINE=$machine"
    echo "cd $folder && export PATH=$folder:\$PATH"
    printf 'exec %s' "$folder/${program##*/}"
    for word in "$@"; do
        printf ' %s' "$(quoted "$word")"
    done
    echo
}
