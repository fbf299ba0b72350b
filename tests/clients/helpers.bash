# Helpers for tests of engines that call hull. Each test file has a directory of its own ($DIR) with the engine's storage in
# it, so that nothing of the machine's own containers is seen or changed.

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOP=$(dirname "$TESTS")
HULL=${HULL:-$TOP/build/hull}

bats_require_minimum_version 1.5.0
source "$TESTS/assertions.bash"

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
