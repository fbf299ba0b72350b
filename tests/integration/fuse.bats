#!/usr/bin/env bats
# The sandbox's file server behind the host's /dev/fuse: what a real kernel makes of it, by the checks of tests/posix.

bats_require_minimum_version 1.5.0
BUILD=$(dirname "${HULL:-$(dirname "$BATS_TEST_FILENAME")/../../build/hull}")

setup()
{
    [ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || skip "needs root and /dev/fuse"
    DIR=$(mktemp -d /tmp/hull-fuse.XXXXXX)
    mkdir "$DIR/shared" "$DIR/mounted"
    chmod -R 755 "$DIR"
    HOST=
}

teardown()
{
    [ -n "${DIR:-}" ] || return 0
    ! mountpoint -q "$DIR/mounted" || umount -l "$DIR/mounted"
    [ -z "$HOST" ] || wait "$HOST" || true
    rm -rf --one-file-system "$DIR"
}

serve()
{
    "$BUILD/tests/tools/fuse-host" "$@" "$DIR/shared" "$DIR/mounted" 3>&- 4>&- &
    HOST=$!
    for _ in $(seq 100); do
        ! mountpoint -q "$DIR/mounted" || return 0
        sleep 0.05
    done
    echo "not mounted"
    return 1
}

check_all()
{
    timeout 300 "$BUILD/tests/posix/posix-checks" "$1" >"$DIR/tap" || {
        grep -v ^ok "$DIR/tap"
        return 1
    }
    [ "$(grep -c '^ok' "$DIR/tap")" -ge 100 ]
}

# Unmounting ends the server, which must not have failed.
serve_and_check()
{
    serve "$@"
    check_all "$DIR/mounted"
    umount "$DIR/mounted"
    wait "$HOST"
    HOST=
}

@test "the checks hold on a plain file system" {
    check_all "$DIR/shared"
}

@test "POSIX semantics through the file server" {
    serve_and_check
}

@test "POSIX semantics when the client believes its cache" {
    serve_and_check -c always
}

@test "POSIX semantics when the client asks each time, with locks on the host" {
    serve_and_check -c never -l
}

@test "POSIX semantics with a write-back cache" {
    serve_and_check -c always -w
}

@test "a read-only export is read only, whatever the client's mount says" {
    echo text >"$DIR/shared/file"
    serve -r
    [ "$(cat "$DIR/mounted/file")" = text ]
    run ! touch "$DIR/mounted/new"
    run ! sh -c 'echo x >"$1"' - "$DIR/mounted/file"
    run ! rm "$DIR/mounted/file"
    run ! chmod 600 "$DIR/mounted/file"
    [ "$(cat "$DIR/shared/file")" = text ]
}
