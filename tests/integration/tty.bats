#!/usr/bin/env bats
# Terminals: in the foreground on a real one, and through --console-socket as engines do it.

load helpers

TERMINAL=$TESTS/integration/terminal.py

on_terminal()
{
    run timeout 30 "$TERMINAL" run "$@"
}

with_terminal()
{
    config '.process.terminal = true | .process.env += ["PS1=# "]'
}

@test "an interactive shell on a terminal: prompt, echo, job control, exit code" {
    with_terminal
    on_terminal -i 'tty; echo size $(stty size)' -i 'exit 6' -- "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 6
    says "tty; echo size"
    says /dev/pts/0
    says "size 24 80"
    says_not "can't access tty"
}

@test "window size: from the caller's terminal, and its changes are forwarded" {
    with_terminal
    on_terminal -s 33x101 -r 44x122 -i 'stty size' -i 'exit' -- "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 0
    says "44 122"
    cargo stty size
    on_terminal -s 33x101 -- "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID-2"
    exits 0
    says "33 101"
}

@test "consoleSize is the size through a console socket" {
    with_terminal
    config '.process.consoleSize = {height: 55, width: 66}'
    cargo stty size
    "$TERMINAL" console "$DIR/sock" >"$DIR/out" 3>&- 4>&- &
    wait_for test -S "$DIR/sock"
    hull create --bundle "$BUNDLE" --console-socket "$DIR/sock" "$ID" </dev/null
    hull start "$ID"
    wait %1
    grep "terminal: True" "$DIR/out"
    grep "55 66" "$DIR/out"
}

@test "a shell through --console-socket; the slave is /dev/console too" {
    with_terminal
    "$TERMINAL" console "$DIR/sock" -i 'tty; echo to-console >/dev/console' -i 'ls -l /dev/console; exit' >"$DIR/out" 3>&- 4>&- &
    wait_for test -S "$DIR/sock"
    hull run --detach --bundle "$BUNDLE" --console-socket "$DIR/sock" "$ID" </dev/null
    wait %1
    cat "$DIR/out"
    grep -q "^/dev/pts/0" "$DIR/out"
    grep -q "^to-console" "$DIR/out"
    grep -q "crw.* 136, " "$DIR/out"
}

@test "control-C on the terminal interrupts the process inside, not hull" {
    with_terminal
    script 'trap "echo interrupted; exit 9" INT; echo "ready> "; printf "> "; while :; do sleep 0.1; done'
    on_terminal -i '\x03' -- "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 9
    says interrupted
}

@test "output of a process that ends at once is complete" {
    with_terminal
    script 'seq 1 5000'
    on_terminal -- "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 0
    [ "$(tr -d '\r' <<<"$output" | grep -cE '^[0-9]+$')" = 5000 ]
}

@test "exec --tty in the foreground and through a socket" {
    cargo sleep 1000
    start_detached
    on_terminal -s 31x91 -i 'tty; stty size' -i 'exit 4' -- "$HULL" --root "$STATE" $HULL_FLAGS exec --tty --env 'PS1=# ' "$ID" sh
    exits 4
    says /dev/pts/0
    says "31 91"
    "$TERMINAL" console "$DIR/sock" -i 'tty' -i 'exit' >"$DIR/out" 3>&- 4>&- &
    wait_for test -S "$DIR/sock"
    hull exec --tty --detach --console-socket "$DIR/sock" --env 'PS1=# ' "$ID" sh </dev/null
    wait %1
    grep -q "^/dev/pts/" "$DIR/out"
}

@test "terminal without console socket when detached, and a socket without terminal, are errors" {
    with_terminal
    run hull create --bundle "$BUNDLE" "$ID" </dev/null
    [ "$status" != 0 ]
    says "console"
    config '.process.terminal = false'
    run hull create --bundle "$BUNDLE" --console-socket "$DIR/sock" "$ID" </dev/null
    [ "$status" != 0 ]
    says "console"
}

@test "the caller's terminal is as it was before, also after a failure" {
    with_terminal
    cargo true
    run timeout 30 "$TERMINAL" run -- bash -c 'stty -a >"$0.before"; "$@"; stty -a >"$0.after"' "$DIR/stty" "$HULL" --root "$STATE" \
        $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    cmp "$DIR/stty.before" "$DIR/stty.after"
    cargo /no/such
    run timeout 30 "$TERMINAL" run -- bash -c 'stty -a >"$0.before"; "$@"; stty -a >"$0.after"' "$DIR/stty" "$HULL" --root "$STATE" \
        $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    cmp "$DIR/stty.before" "$DIR/stty.after"
}
