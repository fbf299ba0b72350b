#!/usr/bin/env bats
# Bundles from other sources than hull's own tests: one that umoci unpacked from an OCI image, and a Debian made by debootstrap.

load helpers

setup()
{
    need_root
    DIR=$(mktemp -d /tmp/hull-bundles.XXXXXX)
}

teardown()
{
    [ -z "${DIR-}" ] || {
        hull delete --force b >/dev/null 2>&1 || true
        ! grep -F " $DIR/" /proc/self/mountinfo
        remove_tree "$DIR"
    }
}

hull()
{
    "$HULL" --root "$DIR/state" "$@" 3>&- 4>&-
}

@test "a bundle that umoci unpacked" {
    need_tool umoci
    make_rootfs "$DIR/layer"
    umoci init --layout "$DIR/image"
    umoci new --image "$DIR/image:latest"
    umoci insert --image "$DIR/image:latest" "$DIR/layer" /
    umoci config --image "$DIR/image:latest" --config.cmd sh --config.cmd -c \
        --config.cmd 'echo of $OF; id -u; pwd; touch /tmp/x && ls /tmp' --config.env OF=umoci --config.workingdir /var
    umoci unpack --image "$DIR/image:latest" "$DIR/bundle"
    jq '.process.terminal = false' "$DIR/bundle/config.json" >"$DIR/config.json"
    cp "$DIR/config.json" "$DIR/bundle/config.json"
    run hull run --bundle "$DIR/bundle" b </dev/null
    exits 0
    [ "$output" = $'of umoci\n0\n/var\nx' ]
}

# The root is made once and kept (HULL_TEST_CACHE, default /var/cache/hull-tests): fetching it takes a minute and a mirror.
debian_root()
{
    local cache=${HULL_TEST_CACHE:-/var/cache/hull-tests}
    [ -e "$cache/bookworm.tar" ] || {
        need_tool debootstrap
        local mirror
        mirror=$(sed -nE '/^deb /{s/^deb +(\[[^]]*\] +)?([^ ]+) +bookworm .*/\2/p};s/^URIs: *([^ ]+).*/\1/p' \
            /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
        timeout 240 debootstrap --variant=minbase bookworm "$DIR/debian" "${mirror:-http://deb.debian.org/debian}" \
            >"$DIR/debootstrap.log" 2>&1 3>&- 4>&- || skip "debootstrap: $(tail -n 1 "$DIR/debootstrap.log")"
        mkdir -p "$cache"
        tar -C "$DIR/debian" -cf "$cache/bookworm.tar.new" . && mv "$cache/bookworm.tar.new" "$cache/bookworm.tar"
        rm -rf "$DIR/debian"
    }
    mkdir -p "$DIR/bundle/rootfs"
    tar -C "$DIR/bundle/rootfs" -xf "$cache/bookworm.tar"
}

@test "a Debian by debootstrap: an interactive shell on a terminal, by run and by --console-socket" {
    debian_root
    hull spec --bundle "$DIR/bundle"
    jq '.process.args = ["bash", "--norc"] | .process.env += ["PS1=# ", "TERM=dumb"] | .root.readonly = false' \
        "$DIR/bundle/config.json" >"$DIR/config.json"
    cp "$DIR/config.json" "$DIR/bundle/config.json"
    run timeout 60 "$TESTS/integration/terminal.py" run -s 40x100 -i '. /etc/os-release; echo $ID $VERSION_CODENAME; stty size; tty' \
        -i 'dpkg -l | grep -c ^ii; sleep 100 & jobs; kill %1' -i 'exit 9' -- "$HULL" --root "$DIR/state" run --bundle "$DIR/bundle" b
    exits 9
    says "debian bookworm"
    says "40 100"
    says /dev/pts/0
    says Running
    says_not "no job control"

    "$TESTS/integration/terminal.py" console "$DIR/sock" -i 'tty; cat /etc/debian_version' -i exit >"$DIR/out" 3>&- 4>&- &
    wait_for test -S "$DIR/sock"
    hull run --detach --bundle "$DIR/bundle" --console-socket "$DIR/sock" b </dev/null
    wait %1
    grep -q /dev/pts/0 "$DIR/out"
    grep -q '^12' "$DIR/out"
}
