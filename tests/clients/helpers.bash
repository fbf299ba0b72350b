# Helpers for tests of engines that call hull. Each test file has a directory of its own ($DIR) with the engine's storage in
# it, so that nothing of the machine's own containers is seen or changed.

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOP=$(dirname "$TESTS")
HULL=${HULL:-$TOP/build/hull}

bats_require_minimum_version 1.5.0

need_root()
{
    [ "$(id -u)" = 0 ] || skip "needs root"
}

need_tool()
{
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

make_rootfs()
{
    local name
    mkdir -p "$1"/{bin,dev,proc,sys,tmp,etc,root,run,var}
    cp /bin/busybox "$1/bin/"
    for name in $(/bin/busybox --list); do
        [ "$name" = busybox ] || ln -s busybox "$1/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\n' >"$1/etc/group"
}

wait_for()
{
    local i
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    echo "waited ten seconds in vain for: $*" >&2
    return 1
}

exits()
{
    # shellcheck disable=SC2154
    [ "$status" = "$1" ] || {
        printf 'exit status %s, expected %s. Output:\n%s\n' "$status" "$1" "$output" >&2
        return 1
    }
}

says()
{
    [[ $output == *"$1"* ]] || {
        printf 'expected "%s" in:\n%s\n' "$1" "$output" >&2
        return 1
    }
}

# Unmount whatever an engine left below $1 (vfs stores and shm), kill what still lives there, remove it.
remove_tree()
{
    local target pid
    for pid in $(grep -lF "$1/" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3); do
        kill -9 "$pid" 2>/dev/null || true
    done
    grep -F " $1/" /proc/self/mountinfo | cut -d' ' -f5 | sort -r | while read -r target; do
        umount -l "$target" 2>/dev/null || true
    done
    rm -rf --one-file-system "$1"
}

says_not()
{
    [[ $output != *"$1"* ]] || {
        printf 'did not expect "%s" in:\n%s\n' "$1" "$output" >&2
        return 1
    }
}
