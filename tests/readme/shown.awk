# What a Markdown document shows: `command TEXT` for each command of its shell blocks, fenced or
# indented, without comment; `block LANGUAGE: FIRST LINE` for its other blocks; `span TEXT` for what
# stands between backticks in the running text.

function command(line) {
    sub(/[ \t][ \t]+#.*$/, "", line)
    sub(/[ \t]+$/, "", line)
    if (line != "" && line !~ /^#/) print "command\t" line
}

# A line of shell: one that ends with a backslash goes on in the next, a here-document is one.
function shell(line) {
    if (until != "") {
        if (line == until) until = ""
        return
    }
    sub(/^[ \t]+/, "", line)
    line = pending line
    pending = ""
    if (line ~ /\\$/) {
        pending = substr(line, 1, length(line) - 1)
        return
    }
    if (match(line, /<<'[A-Z]+'/)) until = substr(line, RSTART + 3, RLENGTH - 4)
    command(line)
}

/^```/ {
    fenced = !fenced
    language = substr($0, 4)
    first = 1
    indented = 0
    next
}

fenced {
    if (first && language == "") language = $0 ~ /^[$#] / ? "console" : "text"
    if (language == "sh") shell($0)
    else if (language == "console") { if ($0 ~ /^[$#] /) command(substr($0, 3)) }
    else if (first) print "block\t" language ": " $0
    first = 0
    next
}

/^    / && (blank || indented) {
    indented = 1
    blank = 0
    line = substr($0, 5)
    if (until == "" && line ~ /^[A-Z_]+(:[a-z_-]+)* *[+]?= "/) print "block\ttext: " line
    else shell(line)
    next
}

{
    blank = $0 == ""
    indented = indented && blank
    running = running " " $0
}

END {
    if (fenced || pending != "" || until != "") print "block\tnot ended: " language pending until
    while (match(running, /`[^`]+`/)) {
        print "span\t" substr(running, RSTART + 1, RLENGTH - 2)
        running = substr(running, RSTART + RLENGTH)
    }
}
