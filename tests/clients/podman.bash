# podman with hull as its runtime, in a storage of this file's own. $PODMAN is the directory of it all, $PODMAN/podman the
# command with its global flags, localhost/busybox an image made from the busybox root of the other tests, $CONTAINER a name for
# each test's container. Files that load this (after helpers) have setup and teardown from here, and may say otherwise:
#
#   podman_lacks      prints what this machine lacks for the file's tests besides podman: they are skipped then
#   podman_runtime    prints the runtime's path; runs in setup_file()
#   podman_leave      after each test
#   MANAGER=cgroupfs|systemd    the cgroup manager of the calls that follow

eval "usual_$(declare -f setup)"
eval "usual_$(declare -f teardown)"

podman_lacks()
{
    :
}

tools_lacking()
{
    local tool
    [ "$(id -u)" = 0 ] || echo root
    for tool in podman conmon; do
        command -v "$tool" >/dev/null || echo "$tool"
    done
    true
}

podman_runtime()
{
    echo "$HULL"
}

podman_leave()
{
    podman rm --force --time 0 --ignore "$CONTAINER" >/dev/null 2>&1 || true
}

# The skip is said by each test: bats 1.8 takes one in setup_file() for a failure when there is a teardown_file().
setup_file()
{
    LACKS=$({ tools_lacking && podman_lacks; } | tr '\n' ' ')
    export LACKS
    [ -n "$LACKS" ] || HULL=$(podman_runtime) podman_setup_file
}

teardown_file()
{
    podman_teardown_file
}

setup()
{
    [ -z "$LACKS" ] || skip "lacks $LACKS"
    usual_setup
    CONTAINER=c$ID
}

teardown()
{
    [ -z "$LACKS" ] || return 0
    podman_leave
    usual_teardown
}

podman_setup_file()
{
    PODMAN=$(mktemp -d /tmp/hull-podman.XXXXXX)
    export PODMAN
    # 4.3 reads the key without the s, later ones that with it. No limits are asked for that this host cannot give.
    cat >"$PODMAN/containers.conf" <<END
[engine]
runtime_supports_nocgroup = ["$(basename "$HULL")"]
runtime_supports_nocgroups = ["$(basename "$HULL")"]
runtime_supports_json = ["$(basename "$HULL")"]
[containers]
default_ulimits = ["nofile=1024:1024"]
END
    cat >"$PODMAN/podman" <<END
#!/bin/sh
cd $PODMAN # here conmon leaves a file "oom" when there was cause
CONTAINERS_CONF=$PODMAN/containers.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1 exec timeout --foreground 60 podman --root $PODMAN/storage --runroot $PODMAN/run \\
    --storage-driver vfs --events-backend file --cgroup-manager \${MANAGER:-cgroupfs} --runtime $HULL "\$@"
END
    chmod +x "$PODMAN/podman"
    tar -C "$(rootfs_template)" -cf "$PODMAN/busybox.tar" .
    podman import "$PODMAN/busybox.tar" localhost/busybox >/dev/null 2>&1
}

podman_teardown_file()
{
    [ -n "${PODMAN-}" ] || return 0
    podman rm --all --force --time 0 >/dev/null 2>&1 || true
    podman pod rm --all --force >/dev/null 2>&1 || true
    grep -F " $PODMAN/" /proc/self/mountinfo | cut -d' ' -f5 | sort -r | while read -r target; do
        umount -l "$target"
    done
    rm -rf --one-file-system "$PODMAN"
}

podman()
{
    "$PODMAN/podman" "$@" 3>&- 4>&-
}
