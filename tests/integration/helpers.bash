# Helpers of all bats files: a fresh bundle for each test, and after each test the proof that nothing is left of it.
#
#   HULL        the binary under test (default: build/hull of this checkout)
#   HULL_FLAGS  global flags for each call, e.g. to try the tests themselves on a peer:
#               HULL=/usr/bin/crun HULL_FLAGS=--cgroup-manager=disabled bats tests/integration/lifecycle.bats
#
# Of each test: $DIR (its own directory), $BUNDLE (below it: rootfs/ and config.json), $STATE (--root), $ID (a name no
# other test has). setup() and teardown() are defined here; a file that needs more calls them from its own.

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOP=$(dirname "$TESTS")
HULL=${HULL:-$TOP/build/hull}
UNPRIVILEGED=hulltest # the user of rootless tests, made on demand

bats_require_minimum_version 1.5.0
source "$TESTS/assertions.bash"

setup()
{
    [ -x "$HULL" ] || {
        echo "no $HULL: build first, or set HULL" >&2
        return 1
    }
    DIR=$(mktemp -d /tmp/hull-test.XXXXXX)
    chmod 711 "$DIR"
    BUNDLE=$DIR/bundle
    STATE=$DIR/state
    ID=t${DIR##*.}
    make_bundle "$BUNDLE"
}

# The root file system: one static busybox and links to it. Made once a run, copied for each test.
rootfs_template()
{
    local template=$BATS_RUN_TMPDIR/rootfs
    if [ ! -d "$template" ]; then
        mkdir -p "$template.new"/{bin,dev,proc,sys,tmp,etc,root,run}
        chmod 1777 "$template.new/tmp"
        cp /bin/busybox "$template.new/bin/"
        # By busybox's own shell, which need not execute a program for each link.
        (cd "$template.new/bin" && ./busybox sh -c 'for name in $(busybox --list); do [ $name = busybox ] || ln -s busybox $name; done')
        printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n' >"$template.new/etc/passwd"
        printf 'root:x:0:\nuser:x:1000:\n' >"$template.new/etc/group"
        mv -T "$template.new" "$template" 2>/dev/null || rm -rf "$template.new"
    fi
    echo "$template"
}

# make_bundle DIR [spec flags]: what `hull spec` says, without a terminal and with a writable root.
make_bundle()
{
    local bundle=$1
    shift
    mkdir -p "$bundle"
    chmod 755 "$bundle"
    cp -a "$(rootfs_template)" "$bundle/rootfs"
    if [ ! -e "$BATS_RUN_TMPDIR/config$*.json" ]; then
        (cd "$bundle" && "$HULL" spec "$@")
        mv "$bundle/config.json" "$BATS_RUN_TMPDIR/config$*.json"
    fi
    jq '.process.terminal = false | .root.readonly = false' "$BATS_RUN_TMPDIR/config$*.json" >"$bundle/config.json"
}

# config FILTER [jq arguments]: edit the bundle's config.json in place.
config()
{
    jq "$@" <"$BUNDLE/config.json" >"$DIR/config.edited"
    cat "$DIR/config.edited" >"$BUNDLE/config.json"
}

# What the container executes: a command line, or a script for its shell.
cargo()
{
    config '.process.args = $ARGS.positional' --args -- "$@"
}

script()
{
    config --arg script "$1" '.process.args = ["/bin/sh", "-c", $script]'
}

# hull ARGUMENTS: with this test's state directory. Never inherits a terminal or bats' descriptors (3 and up).
hull()
{
    # shellcheck disable=SC2086
    "$HULL" --root "$STATE" $HULL_FLAGS "$@" 3>&- 4>&-
}

# `run` of the bundle in the foreground / in the background until `start`ed; both as bats' `run` would.
run_container()
{
    run hull run --bundle "$BUNDLE" "$@" "$ID" </dev/null
}

start_detached()
{
    hull run --bundle "$BUNDLE" --detach "$@" "$ID" </dev/null >"$DIR/stdout" 2>"$DIR/stderr" || {
        cat "$DIR/stderr" >&2
        return 1
    }
}

status_of()
{
    hull state "${1:-$ID}" | jq -r .status
}

pid_of()
{
    hull state "${1:-$ID}" | jq -r .pid
}

# has_status STATUS [ID]
has_status()
{
    [ "$(status_of "${2-}")" = "$1" ]
}

# The unprivileged user with a range of subordinate ids.
need_unprivileged_user()
{
    need_root
    need_tool newuidmap
    if ! id "$UNPRIVILEGED" >/dev/null 2>&1; then
        useradd --system --no-create-home --home-dir /nonexistent --shell /bin/sh "$UNPRIVILEGED" 2>/dev/null || true
    fi
    grep -q "^$UNPRIVILEGED:" /etc/subuid || echo "$UNPRIVILEGED:700000:65536" >>/etc/subuid
    grep -q "^$UNPRIVILEGED:" /etc/subgid || echo "$UNPRIVILEGED:700000:65536" >>/etc/subgid
    setpriv --reuid "$UNPRIVILEGED" --regid "$UNPRIVILEGED" --clear-groups unshare -U true 2>/dev/null ||
        skip "this kernel does not give user namespaces to users"
}

as_user()
{
    setpriv --reuid "$UNPRIVILEGED" --regid "$UNPRIVILEGED" --clear-groups --inh-caps=-all \
        env -i PATH="$PATH" HOME="$DIR" "$@" 3>&- 4>&-
}

# Whatever the test did: its containers can be deleted, and then nothing of it is on the machine.
teardown()
{
    [ -n "${DIR-}" ] || return 0
    local path left
    for path in "$STATE"/*/; do
        [ ! -d "$path" ] || hull delete --force "$(basename "$path")" >/dev/null 2>&1 || true
    done
    left=$(leftovers)
    if [ -n "$left" ]; then
        sleep 0.5 # a process that was just killed may still be on its way out
        left=$(leftovers)
    fi
    clean_up
    [ -z "$left" ] || {
        printf 'left behind by this test:\n%s\n' "$left" >&2
        return 1
    }
}

# Containers' state, cgroups with the test's name, mounts below $DIR, and processes that have a file system of $DIR's or name it.
leftovers()
{
    local file pid
    ls -d "$STATE"/[!.]*/ 2>/dev/null
    find /sys/fs/cgroup -type d -name "*$ID*" 2>/dev/null
    grep -F " $DIR/" /proc/self/mountinfo
    for file in $(grep -lF "$DIR/" /proc/[0-9]*/mountinfo /proc/[0-9]*/cmdline 2>/dev/null); do
        pid=${file#/proc/}
        pid=${pid%%/*}
        # Copies of the host's mount table do not count: the line above speaks for those.
        [ "$(readlink "/proc/$pid/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ] && [[ $file == */mountinfo ]] && continue
        [ -d "/proc/$pid" ] && [ "$(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null)" != Z ] || continue
        echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
    done
    return 0
}

clean_up()
{
    local pid target
    leftovers | sed -n 's/^process \([0-9]*\):.*/\1/p' | while read -r pid; do
        kill -9 "$pid" 2>/dev/null || true
    done
    grep -F " $DIR/" /proc/self/mountinfo | cut -d' ' -f5 | sort -r | while read -r target; do
        umount -l "$target" 2>/dev/null || true
    done
    chattr -R -i "$DIR" 2>/dev/null || true
    rm -rf --one-file-system "$DIR"
}
