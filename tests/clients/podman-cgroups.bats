#!/usr/bin/env bats
# podman (4.3) with hull as its runtime and what cgroups are for: limits, pause, update, stats, OOM, devices, pods. What each
# manager does by a road of its own is tested under each that is here: cgroupfs everywhere, systemd where it runs (the lab; v2
# then). What the kernel's files say is compared, not what podman believes. A call of podman takes 2 s in the lab: few of them.

load ../integration/helpers
load ../integration/cgroups
load podman

podman_leave()
{
    [ -n "${BATS_TEST_COMPLETED-}" ] || [ -z "${MANAGER-}" ] || clean
}

# under MANAGER FUNCTION: from nothing to nothing.
under()
{
    export MANAGER=$1
    PARENT=/hull-$ID
    [ "$MANAGER" = cgroupfs ] || PARENT=hull$ID.slice
    STARTED=
    "$2" || {
        echo "(with --cgroup-manager=$MANAGER)" >&2
        return 1
    }
    clean
}

# Under the one that podman would take on this host, and under each that it could.
usual_manager()
{
    if [ -d /run/systemd/system ]; then under systemd "$1"; else under cgroupfs "$1"; fi
}

each_manager()
{
    under cgroupfs "$1" && { [ ! -d /run/systemd/system ] || under systemd "$1"; }
}

# The parents that podman makes for a container's cgroup stay when that is gone, and conmon's until conmon is.
no_cgroup()
{
    find /sys/fs/cgroup -depth -type d -path "*/hull-$ID*" -exec rmdir {} +
    [ -z "$(find /sys/fs/cgroup -type d -name "hull*$ID*")" ]
}

clean()
{
    [ -z "$STARTED" ] || podman rm --force --time 0 --ignore "$CONTAINER" >/dev/null 2>&1 || true
    [ "$MANAGER" = cgroupfs ] || systemctl stop "$PARENT" 2>/dev/null || true
    # For the v1 controllers that are mounted nowhere podman makes directories and files of the tmpfs where they would be.
    [ "$(stat -f -c %T /sys/fs/cgroup)" != tmpfs ] || find /sys/fs/cgroup -xdev -depth -path "*/hull-$ID*" -delete
    wait_for no_cgroup
}

# podman_run [flags] -- COMMAND...: in the foreground, gone afterwards.
podman_run()
{
    local flags=()
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    shift
    run podman run --rm --network none --cgroup-parent "$PARENT" "${flags[@]}" localhost/busybox "$@" </dev/null
}

# podman_start [flags] -- COMMAND...: in the background, named $CONTAINER.
podman_start()
{
    local flags=()
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    shift
    STARTED=1
    podman run -d --name "$CONTAINER" --pidfile "$DIR/pid" --network none --cgroup-parent "$PARENT" "${flags[@]}" \
        localhost/busybox "$@" </dev/null >"$DIR/id" 2>"$DIR/stderr" || {
        cat "$DIR/stderr" >&2
        return 1
    }
}

# Of cgroups.bash: the process whose cgroup is looked at.
pid_of()
{
    cat "$DIR/pid"
}

# value_is V1-CONTROLLER V1-FILE V1-VALUE V2-FILE V2-VALUE
value_is()
{
    local found want=$3
    ! is_v2 "$1" || want=$5
    found=$(cgroup_value "$1" "$2" "$4")
    [ "$found" = "$want" ] || {
        printf '%s: "%s", expected "%s"\n' "$2 or $4" "$found" "$want" >&2
        return 1
    }
}

limits_are_there()
{
    value_is memory memory.limit_in_bytes 67108864 memory.max 67108864 &&
        value_is memory memory.memsw.limit_in_bytes 100663296 memory.swap.max 33554432 &&
        value_is memory memory.soft_limit_in_bytes 33554432 memory.low 33554432 &&
        value_is cpu cpu.cfs_quota_us 50000 cpu.max "50000 100000" &&
        value_is cpu cpu.shares 512 cpu.weight 59 &&
        value_is cpuset cpuset.cpus 0 cpuset.cpus 0 &&
        value_is pids pids.max 44 pids.max 44
}

LIMITS=(--memory 64m --memory-swap 96m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 44)

limits()
{
    podman_start "${LIMITS[@]}" -- sleep 1000 && limits_are_there || return
    [ "$MANAGER" = cgroupfs ] || {
        systemctl daemon-reload && limits_are_there || return
    }
    # A second life has them as well, and rm leaves nothing.
    podman restart --time 0 "$CONTAINER" >/dev/null || return
    limits_are_there || return
    podman rm --force --time 0 "$CONTAINER" >/dev/null
    STARTED=
    wait_for no_cgroup_of "$(cat "$DIR/id")"
}

no_cgroup_of()
{
    [ -z "$(find /sys/fs/cgroup -type d -name "*$1*" ! -name '*conmon*')" ]
}

@test "run with --memory, --memory-swap, --memory-reservation, --cpus, --cpu-shares, --cpuset-cpus, --pids-limit" {
    each_manager limits
}

io()
{
    local disk number
    disk=$(find /dev -maxdepth 1 -name 'vd[a-z]' | sort | head -n 1)
    number=$((16#$(stat -c %t "$disk"))):$((16#$(stat -c %T "$disk")))
    podman_start --device-read-bps "$disk:1mb" --device-write-iops "$disk:100" -- sleep 1000 &&
        value_is blkio blkio.throttle.read_bps_device "$number 1048576" io.max "$number rbps=1048576 wbps=max riops=max wiops=100" || return
    is_v2 blkio || value_is blkio blkio.throttle.write_iops_device "$number 100"
}

@test "run with --device-read-bps and --device-write-iops" {
    [ -n "$(find /dev -maxdepth 1 -name 'vd[a-z]')" ] || skip "no disk /dev/vd*"
    usual_manager io
}

io_weight()
{
    podman_start --blkio-weight 300 -- sleep 1000
    # podman drops it with a warning when the kernel has no such file; where it has, the file says it.
    grep -q "Weight discarded" "$DIR/stderr" || value_is blkio blkio.weight 300 io.weight "default 2930"
}

@test "run with --blkio-weight: set, or podman says why not" {
    usual_manager io_weight
}

devices()
{
    # /dev/kmsg is 1:11, and /dev/mem 1:1: the one that was given can be opened, the other not even with a node of one's own.
    podman_run --device /dev/kmsg:/dev/k:r --cap-add MKNOD --cap-add SYSLOG -- sh -c \
        'exec 3</dev/k && echo opened; mknod /mem c 1 1 && echo made; dd if=/mem of=/dev/null bs=1 count=0; (: >/dev/k)'
    says opened && says "made" && says "can't open '/mem': Operation not permitted" && says "can't create /dev/k: Operation not permitted"
}

@test "run --device: allowed as asked, others are not" {
    [ -c /dev/kmsg ] || skip "no /dev/kmsg here"
    each_manager devices
}

pausing()
{
    local before after
    podman_start -v "$DIR:/host" -- sh -c 'while :; do date +%s%N >/host/tick; sleep 0.05; done' || return
    wait_for test -s "$DIR/tick"
    podman pause "$CONTAINER" >/dev/null || return
    value_is freezer freezer.state FROZEN cgroup.freeze 1 || return
    before=$(cat "$DIR/tick")
    run podman ps --all --format '{{.Status}}'
    says Paused || return
    run podman exec "$CONTAINER" true </dev/null
    exits 255 || return
    after=$(cat "$DIR/tick")
    [ "$before" = "$after" ] || return
    podman unpause "$CONTAINER" >/dev/null || return
    value_is freezer freezer.state THAWED cgroup.freeze 0 || return
    wait_for sh -c "[ \"\$(cat $DIR/tick)\" != $before ]" || return
    # A paused container can be removed.
    podman pause "$CONTAINER" >/dev/null && podman rm --force --time 0 "$CONTAINER" >/dev/null && STARTED=
}

@test "pause, unpause, rm -f of a paused container" {
    each_manager pausing
}

updating()
{
    podman_start "${LIMITS[@]}" -- sleep 1000 || return
    podman update --memory 128m --memory-swap 256m --cpus 1.5 --cpu-shares 1024 "$CONTAINER" >/dev/null || return
    value_is memory memory.limit_in_bytes 134217728 memory.max 134217728 &&
        value_is memory memory.memsw.limit_in_bytes 268435456 memory.swap.max 134217728 &&
        value_is cpu cpu.cfs_quota_us 150000 cpu.max "150000 100000" &&
        value_is cpu cpu.shares 1024 cpu.weight 100 &&
        value_is pids pids.max 44 pids.max 44 || return
    [ "$MANAGER" = cgroupfs ] || {
        systemctl daemon-reload && value_is cpu - - cpu.max "150000 100000" && value_is memory - - memory.max 134217728 || return
    }
    run podman update --cpuset-cpus 9999 "$CONTAINER"
    exits 125 && says "linux.resources.cpu.cpus" && value_is cpuset cpuset.cpus 0 cpuset.cpus 0
}

@test "update: limits of a running container; one that cannot be is an error" {
    each_manager updating
}

watching()
{
    podman_start --memory 64m --env A=b -- sh -c 'sleep 1000 & exec sleep 1001' || return
    run podman stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' "$CONTAINER"
    [[ $output =~ ^2\ [0-9.]+[kM]?B\ /\ 67.11MB$ ]] || {
        echo "stats: $output" >&2
        return 1
    }
    run podman top "$CONTAINER" pid args
    says "sleep 1000" && says "sleep 1001" || return
    run podman exec "$CONTAINER" sh -c 'cat /proc/self/cgroup /proc/1/cgroup | sort -u | wc -l; exit 4' </dev/null
    exits 4 && output_is "$(wc -l </proc/self/cgroup)"
}

@test "stats, top, exec in the same cgroup" {
    each_manager watching
}

out_of_memory()
{
    # conmon tells of it by a file, which podman 4.3 seeks beside the bundle, and conmon makes in the directory it was
    # started in: whatever the runtime, inspect says OOMKilled=false.
    rm -f "$PODMAN/oom"
    podman_run --memory 16m --memory-swap 16m -- tail /dev/zero
    exits 137 && [ -e "$PODMAN/oom" ]
}

@test "a container over its memory limit is killed, and conmon knows why" {
    each_manager out_of_memory
}

fork_bomb()
{
    podman_run --pids-limit 8 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait'
    exits 2 && says "can't fork"
}

@test "a fork bomb stops at --pids-limit" {
    each_manager fork_bomb
}

health()
{
    podman_start --health-cmd 'test -e /healthy' --health-interval disable --health-retries 1 --memory 64m -- sleep 1000 || return
    run podman healthcheck run "$CONTAINER"
    exits 1 && says unhealthy || return
    podman exec "$CONTAINER" touch /healthy </dev/null
    podman healthcheck run "$CONTAINER" </dev/null || return
    run podman inspect --format '{{.State.Health.Status}}' "$CONTAINER"
    output_is healthy
}

@test "a health check by exec" {
    usual_manager health
}

stopping()
{
    podman_start --memory 64m -- sh -c 'trap "exit 9" TERM; echo hello; while :; do sleep 0.05; done' || return
    wait_for bash -c "$PODMAN/podman logs $CONTAINER | grep hello" || return
    podman stop "$CONTAINER" >/dev/null
    run podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$CONTAINER"
    output_is "exited 9" || return
    podman start "$CONTAINER" >/dev/null && podman kill "$CONTAINER" >/dev/null || return
    run podman wait "$CONTAINER"
    output_is 137
}

@test "stop, start, kill, wait" {
    usual_manager stopping
}

pod()
{
    podman pod create --infra=false --name "p$ID" --cgroup-parent "$PARENT" >/dev/null || return
    STARTED=1
    podman run -d --name "$CONTAINER" --pidfile "$DIR/pid" --pod "p$ID" --network none --memory 64m localhost/busybox sleep 1000 \
        </dev/null >/dev/null || return
    podman run -d --name "$CONTAINER-2" --pod "p$ID" --network none localhost/busybox sleep 1000 </dev/null >/dev/null || return
    value_is memory memory.limit_in_bytes 67108864 memory.max 67108864 || return
    podman pod pause "p$ID" >/dev/null || return
    value_is freezer freezer.state FROZEN cgroup.freeze 1 || return
    podman pod unpause "p$ID" >/dev/null || return
    run podman pod stats --no-stream --format '{{.Name}} {{.PIDS}}' "p$ID"
    says "$CONTAINER 1" && says "$CONTAINER-2 1" || return
    podman pod stop --time 0 "p$ID" >/dev/null && podman pod rm "p$ID" >/dev/null
}

@test "a pod: pause, stats, stop, rm" {
    usual_manager pod
}

seen_inside()
{
    podman_run --cgroupns private --memory 64m -- sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u; mkdir /sys/fs/cgroup/*/x /sys/fs/cgroup/x'
    [ "${lines[0]}" = / ] && says "Read-only file system" || return
    podman_run --cgroups=no-conmon -- true
    exits 0 || return
    podman_run --privileged -- sh -c 'cd /sys/fs/cgroup; [ ! -d pids ] || cd pids; mkdir x && rmdir x && echo writable'
    output_is writable
}

@test "the cgroup from inside: its own root, read-only unless --privileged" {
    usual_manager seen_inside
}

@test "without cgroups: --cgroups=disabled" {
    run podman run --rm --network none --cgroups=disabled --cgroupns host localhost/busybox cat /proc/self/cgroup </dev/null
    exits 0
    output_is "$(cat /proc/self/cgroup)"
}

# --- rootless: limits by delegation, from the user's own systemd ---

rootless()
{
    (cd "$DIR/home" && setpriv --reuid hull-test --regid hull-test --init-groups env -i PATH="$PATH" HOME="$DIR/home" \
        MANAGER=systemd XDG_RUNTIME_DIR=/run/user/1000 "$DIR/home/podman" "$@" 3>&- 4>&-)
}

@test "rootless: limits, pause, update, stats, exec" {
    id hull-test >/dev/null 2>&1 || skip "no user with a systemd of its own; the lab has one: tests/lab/lab test $BATS_TEST_FILENAME"
    wait_for test -S /run/user/1000/bus
    mkdir "$DIR/home"
    cp "$PODMAN/busybox.tar" "$PODMAN/containers.conf" "$DIR/home"
    sed "s|$PODMAN/run|/run/user/1000/hull-podman|; s|$PODMAN|$DIR/home|g" "$PODMAN/podman" >"$DIR/home/podman"
    chmod 755 "$DIR/home/podman"
    chown -R hull-test: "$DIR/home"
    rootless import "$DIR/home/busybox.tar" localhost/busybox >/dev/null 2>&1
    rootless run -d --name "$CONTAINER" --network none --memory 64m --memory-swap 96m --cpus 0.5 --pids-limit 44 localhost/busybox \
        sleep 1000 </dev/null >/dev/null 2>"$DIR/stderr" || {
        cat "$DIR/stderr" >&2
        return 1
    }
    rootless inspect --format '{{.State.Pid}}' "$CONTAINER" >"$DIR/pid"
    [[ $(cgroup_dir memory) == */user@1000.service/* ]]
    [ "$(cgroup_value - - memory.max)" = 67108864 ]
    [ "$(cgroup_value - - memory.swap.max)" = 33554432 ]
    [ "$(cgroup_value - - cpu.max)" = "50000 100000" ]
    [ "$(cgroup_value - - pids.max)" = 44 ]
    rootless pause "$CONTAINER" >/dev/null
    [ "$(cgroup_value - - cgroup.freeze)" = 1 ]
    rootless unpause "$CONTAINER" >/dev/null
    rootless update --memory 128m --memory-swap 128m "$CONTAINER" >/dev/null
    [ "$(cgroup_value - - memory.max)" = 134217728 ]
    run rootless exec "$CONTAINER" sh -c 'id -u; exit 4' </dev/null
    exits 4
    output_is 0
    run rootless stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' "$CONTAINER"
    [[ $output == "1 "*" / "*MB ]] # which limit, the old or the new, depends on podman
    rootless rm --force --time 0 "$CONTAINER" >/dev/null
    rootless unshare rm -rf "$DIR/home/storage" /run/user/1000/hull-podman
}
