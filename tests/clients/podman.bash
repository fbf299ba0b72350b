# podman with hull as its runtime, in a storage of this file's own. $PODMAN is the directory of it all, $PODMAN/podman the
# command with its global flags, localhost/busybox an image made from the busybox root of the other tests.
#
#   podman_setup_file / podman_teardown_file    from setup_file() and teardown_file()
#   MANAGER=cgroupfs|systemd                    the cgroup manager of the calls that follow

podman_setup_file()
{
    need_root
    need_tool podman
    need_tool conmon
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
