#!/usr/bin/env bats
# The lab itself, from outside: what its command promises about output, exit status, time and what is left. Two machines are
# started, so this is not for the inside.

setup()
{
    [ -z "${LAB-}" ] || skip "runs outside the lab"
    bats_require_minimum_version 1.5.0
    LAB_COMMAND=$BATS_TEST_DIRNAME/lab
    command -v qemu-system-x86_64 >/dev/null || skip "no QEMU"
    export TMPDIR=$BATS_TEST_TMPDIR
}

nothing_is_left()
{
    [ -z "$(ls -d "$TMPDIR"/hull-lab.* 2>/dev/null)" ]
}

@test "run brings out bytes, both streams and the exit status as they are, and takes stdin" {
    local code=0
    printf 'a\0\xff\r\n\tb' >"$TMPDIR/in"
    # shellcheck disable=SC2016
    "$LAB_COMMAND" run -i sh -c 'cat; echo "error $1" >&2; exit 42' sh "with  blanks and 'quotes'" \
        <"$TMPDIR/in" >"$TMPDIR/out" 2>"$TMPDIR/err" 3>&- 4>&- || code=$?
    cat "$TMPDIR/err"
    [ "$code" = 42 ]
    cmp "$TMPDIR/in" "$TMPDIR/out"
    [ "$(grep -v '^lab: ' "$TMPDIR/err")" = "error with  blanks and 'quotes'" ]
    nothing_is_left
}

@test "a command that takes too long is killed with its machine, and that is said" {
    local code=0
    LAB_TIMEOUT=2 "$LAB_COMMAND" run sleep 1000 </dev/null 2>"$TMPDIR/err" 3>&- 4>&- || code=$?
    cat "$TMPDIR/err"
    [ "$code" = 124 ]
    grep -q 'not done within 2 s' "$TMPDIR/err"
    nothing_is_left
    run ! pgrep -f "qemu-system-x86_64.*$TMPDIR"
}
