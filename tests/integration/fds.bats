#!/usr/bin/env bats
# No descriptor of the host's reaches a container (CVE-2024-21626), except those that --preserve-fds names.

load helpers

# What `ls -l /proc/self/fd` says of its own process, as "N target" lines: not stdio, not the directory it is reading.
beyond_stdio()
{
    awk '/->/ && $(NF-2) > 2 && $NF !~ /^\/proc\/[0-9]+\/fd$/ { print $(NF-2), $NF }' <<<"$output"
}

# with_fds N COMMAND...: a caller that has a file (3), and directories of the host (4 up to N-1 and 20) open.
with_fds()
{
    local last=$1 open="3<$DIR/file 20<$DIR" n
    for ((n = 4; n < last; n++)); do
        open+=" $n<$DIR"
    done
    shift
    echo "for the container" >"$DIR/file"
    bash -c "exec $open; exec \"\$@\"" - "$@" </dev/null 4>&-
}

@test "run: nothing beyond stdio is open, whatever the caller had open" {
    cargo ls -l /proc/self/fd
    run with_fds 8 "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 0
    says " 2 ->"
    [ -z "$(beyond_stdio)" ]
}

@test "exec: the same" {
    cargo sleep 1000
    start_detached
    run with_fds 8 "$HULL" --root "$STATE" $HULL_FLAGS exec "$ID" ls -l /proc/self/fd
    exits 0
    says " 2 ->"
    [ -z "$(beyond_stdio)" ]
}

@test "run and exec --preserve-fds: those, open and usable, and no other" {
    cargo ls -l /proc/self/fd
    run with_fds 8 "$HULL" --root "$STATE" $HULL_FLAGS run --preserve-fds 1 --bundle "$BUNDLE" "$ID"
    exits 0
    [ "$(beyond_stdio)" = "3 $DIR/file" ] || [ "$(beyond_stdio)" = "3 /file" ]
    script 'cat <&3'
    run with_fds 8 "$HULL" --root "$STATE" $HULL_FLAGS run --preserve-fds 1 --bundle "$BUNDLE" "$ID"
    output_is "for the container"

    cargo sleep 1000
    start_detached
    run with_fds 8 "$HULL" --root "$STATE" $HULL_FLAGS exec --preserve-fds 1 "$ID" ls -l /proc/self/fd
    exits 0
    [[ $(beyond_stdio) == "3 "* ]]
    [ "$(beyond_stdio | wc -l)" = 1 ]
    run with_fds 8 "$HULL" --root "$STATE" $HULL_FLAGS exec --preserve-fds 1 "$ID" sh -c 'cat <&3'
    output_is "for the container"
}

@test "--preserve-fds of what is not open is an error, never one of hull's own descriptors" {
    cargo ls -l /proc/self/fd
    run with_fds 4 "$HULL" --root "$STATE" $HULL_FLAGS run --preserve-fds 5 --bundle "$BUNDLE" "$ID"
    exits 1
    says "--preserve-fds"
    says "not open"
}

@test "a cwd of /proc/self/fd/N does not leave the container" {
    local n
    exec 9<"$DIR"
    for n in 3 4 5 6 7 8 9 10 11 12; do
        config --arg cwd "/proc/self/fd/$n" '.process.cwd = $cwd'
        script 'pwd; ls ../../../../../../..'
        run_container
        [ "$status" != 0 ] || says_not "$(ls / | grep -xvE 'bin|dev|proc|sys|tmp|etc|root|run' | head -1)"
    done
    config '.process.cwd = "/"'
    cargo sleep 1000
    start_detached
    for n in 3 4 5 6 7 8 9 10 11 12; do
        run hull exec --cwd "/proc/self/fd/$n" "$ID" sh -c 'ls ../../../../../../..' </dev/null
        [ "$status" != 0 ] || says_not "$(ls / | grep -xvE 'bin|dev|proc|sys|tmp|etc|root|run' | head -1)"
    done
    exec 9<&-
}

@test "the host's process is not readable from inside while it enters (CVE-2016-9962)" {
    # A hunter inside looks for descriptors and roots of newcomers; exec 20 times past it.
    script 'while :; do for p in /proc/[0-9]*; do
        [ "$p" = /proc/1 ] && continue
        for f in $p/fd/*; do case $(readlink $f) in "'"$DIR"'"*|"'"$TOP"'"*) echo "leak: $f $(readlink $f)";; esac; done
        done; done'
    start_detached
    local i
    for i in {1..20}; do
        hull exec "$ID" true </dev/null
    done
    hull kill "$ID" KILL
    run cat "$DIR/stdout"
    output_is ""
}
