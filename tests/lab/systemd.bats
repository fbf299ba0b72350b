#!/usr/bin/env bats
# --cgroup-manager=systemd against a real systemd: the scope, its properties and their files, its end, its name; rootless with
# the user's own manager. In the lab: tests/lab/lab test tests/lab/systemd.bats

load ../integration/helpers.bash
eval "common_$(declare -f setup)"

HULL_FLAGS=--cgroup-manager=systemd
CGROUP=/sys/fs/cgroup

setup()
{
    [ -d /run/systemd/system ] || skip "systemd does not run here; it does in the lab: tests/lab/lab test $BATS_TEST_FILENAME"
    common_setup
    UNIT=hull-$ID.scope
    SCOPE=$CGROUP/system.slice/$UNIT
    cargo sleep 60
}

property()
{
    systemctl show --value --property="$1" "${2-$UNIT}"
}

property_is()
{
    local found
    found=$(property "$1")
    [ "$found" = "$2" ] || {
        printf '%s of %s is "%s", expected "%s"\n' "$1" "$UNIT" "$found" "$2" >&2
        return 1
    }
}

file_is()
{
    local found
    found=$(cat "$SCOPE/$1")
    [ "$found" = "$2" ] || {
        printf '%s is "%s", expected "%s"\n' "$1" "$found" "$2" >&2
        return 1
    }
}

unit_is_gone()
{
    [ "$(systemctl list-units --all --plain --no-legend "$UNIT")" = "" ] && [ ! -e "$SCOPE" ]
}

resources()
{
    config ".linux.resources = $1"
}

@test "a container is a scope in system.slice, with nothing but its own processes in it" {
    start_detached
    property_is ActiveState active
    property_is Slice system.slice
    property_is Delegate yes
    property_is ControlGroup "/system.slice/$UNIT"
    property_is Description "Hull container $ID"
    file_is cgroup.procs "$(pid_of)"
    run hull exec "$ID" cat /proc/self/cgroup
    exits 0
    says "0::/"
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull delete "$ID"
    wait_for unit_is_gone
}

@test "linux.cgroupsPath names slice, prefix and container; a slice is nested by its dashes" {
    config --arg path "hull-test.slice:mine:$ID" '.linux.cgroupsPath = $path'
    start_detached
    UNIT=mine-$ID.scope SCOPE=$CGROUP/hull.slice/hull-test.slice/mine-$ID.scope
    property_is Slice hull-test.slice
    file_is cgroup.procs "$(pid_of)"
    hull delete --force "$ID"
    wait_for unit_is_gone
}

@test "a path of the other manager's form is refused in runc's words" {
    config '.linux.cgroupsPath = "/a/b"'
    run_container
    exits 1
    says 'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/a/b" instead'
}

@test "limits are properties of the unit and values in its files" {
    resources '{memory: {limit: 67108864, reservation: 33554432, swap: 100663296},
        cpu: {shares: 2048, quota: 33333, period: 50000, cpus: "0", mems: "0"},
        pids: {limit: 42}, unified: {"memory.high": "60000000"},
        blockIO: {throttleReadBpsDevice: [{major: 254, minor: 32, rate: 1048576}]}}'
    start_detached
    property_is MemoryMax 67108864
    property_is MemoryLow 33554432
    property_is MemorySwapMax 33554432
    property_is MemoryHigh 60000000
    property_is CPUQuotaPeriodUSec 50ms
    property_is CPUQuotaPerSecUSec 670ms
    property_is AllowedCPUs 0
    property_is AllowedMemoryNodes 0
    property_is TasksMax 42
    property_is IOReadBandwidthMax "/dev/block/254:32 1048576"
    property_is CPUWeight "$(cat "$SCOPE/cpu.weight")"
    file_is memory.max 67108864
    file_is memory.low 33554432
    file_is memory.swap.max 33554432
    file_is cpu.max "33333 50000"
    file_is cpuset.cpus 0
    file_is pids.max 42
    file_is io.max "254:32 rbps=1048576 wbps=max riops=max wiops=max"
}

@test "an idle container has systemd's idle weight" {
    resources '{cpu: {idle: 1}}'
    start_detached
    property_is CPUWeight idle
    file_is cpu.idle 1
}

@test "what only the kernel's files know holds as well: huge pages" {
    resources '{hugepageLimits: [{pageSize: "2MB", limit: 4194304}]}'
    start_detached
    file_is hugetlb.2MB.max 4194304
}

@test "limits survive daemon-reload and a change by somebody else" {
    resources '{memory: {limit: 67108864}, cpu: {quota: 50000, period: 100000}, pids: {limit: 42}}'
    start_detached
    systemctl daemon-reload
    systemctl set-property --runtime "$UNIT" CPUWeight=50
    file_is cpu.weight 50
    file_is memory.max 67108864
    file_is cpu.max "50000 100000"
    file_is pids.max 42
}

@test "update changes the unit's properties too" {
    resources '{memory: {limit: 67108864}, cpu: {quota: 50000, period: 100000}}'
    start_detached
    hull update --pids-limit 33 --memory 134217728 --cpu-quota 25000 "$ID"
    property_is TasksMax 33
    property_is MemoryMax 134217728
    property_is CPUQuotaPerSecUSec 250ms
    file_is memory.max 134217728
    systemctl daemon-reload
    file_is pids.max 33
    file_is cpu.max "25000 100000"
}

# The lab's disks: /dev/vdc may be read, /dev/vda (the same driver's) not.
disks()
{
    [ -b /dev/vdc ] || skip "no /dev/vdc: this is not the lab"
    MAJOR=$((16#$(stat -c %t /dev/vdc))) VDA=$((16#$(stat -c %T /dev/vda))) VDC=$((16#$(stat -c %T /dev/vdc)))
    config --argjson major "$MAJOR" --argjson vda "$VDA" --argjson vdc "$VDC" '.linux.devices = [
        {path: "/dev/vda", type: "b", major: $major, minor: $vda}, {path: "/dev/vdc", type: "b", major: $major, minor: $vdc}]'
}

can_read()
{
    hull exec "$ID" dd if="/dev/$1" of=/dev/null bs=512 count=1 2>&1
}

@test "devices: allowed ones can be opened, others not, also after daemon-reload" {
    disks
    resources "{devices: [{allow: false, access: \"rwm\"}, {allow: true, type: \"b\", major: $MAJOR, minor: $VDC, access: \"r\"}]}"
    start_detached
    property_is DevicePolicy strict
    run property DeviceAllow
    says "/dev/block/$MAJOR:$VDC r"
    local round
    for round in 1 2; do
        can_read zero
        can_read vdc
        run can_read vda
        says "Operation not permitted"
        systemctl daemon-reload
    done
}

@test "all devices allowed is all devices, also after daemon-reload" {
    disks
    resources '{devices: [{allow: true, access: "rwm"}]}'
    start_detached
    property_is DevicePolicy auto
    can_read vda
    systemctl daemon-reload
    can_read vda
}

@test "annotations org.systemd.property.* are properties" {
    config '.annotations = {"org.systemd.property.TimeoutStopUSec": "uint64 7000000",
        "org.systemd.property.RuntimeMaxSec": "3600", "org.systemd.property.Documentation": "[\"https://example.org\"]",
        "org.systemd.property.Description": "\"cargo\""}'
    start_detached
    property_is TimeoutStopUSec 7s
    property_is RuntimeMaxUSec 1h
    property_is Documentation https://example.org
    property_is Description cargo
}

@test "a wrong annotation is refused before anything is made" {
    config '.annotations = {"org.systemd.property.TimeoutStopUSec": "seven"}'
    run_container
    exits 1
    says 'annotations.org.systemd.property.TimeoutStopUSec: at byte 0 of its value'
    unit_is_gone
}

@test "a property that systemd does not have is systemd's error, and nothing is left" {
    config '.annotations = {"org.systemd.property.Nonsense": "true"}'
    run_container
    exits 1
    says "Nonsense"
    says "$UNIT"
    unit_is_gone
}

@test "a name that is in use is an error, and its owner is left alone" {
    systemd-run --quiet --unit="hull-$ID" --scope sleep 30 3>&- 4>&- &
    wait_for grep -q . "$SCOPE/cgroup.procs"
    run_container
    exits 1
    says "$UNIT exists already, with processes in it"
    property_is ActiveState active
    systemctl stop "$UNIT"
    wait
}

@test "a unit of that name that has failed, or is empty, is replaced" {
    run systemd-run --quiet --unit="hull-$ID" --scope -p MemoryMax=4M -p MemorySwapMax=0 \
        python3 -c 'bytearray(100000000)'
    property_is ActiveState failed
    cargo echo alive
    run_container
    exits 0
    output_is alive
}

@test "a name can be used again at once, many times" {
    local i
    cargo true
    for i in 1 2 3 4 5; do
        run_container
        exits 0
    done
    wait_for unit_is_gone
}

@test "a container killed for its memory leaves no failed unit" {
    resources '{memory: {limit: 16777216, swap: 16777216}}'
    script 'tail /dev/zero'
    run_container
    exits 137
    wait_for unit_is_gone
}

@test "a failure after the scope was made takes it away" {
    resources '{unified: {"memory.max": "nonsense"}}'
    run_container
    [ "$status" -ne 0 ]
    wait_for unit_is_gone
    cargo /not/there
    resources '{}'
    run_container
    [ "$status" -ne 0 ]
    says "no such file or directory"
    wait_for unit_is_gone
}

@test "when hull is killed while it makes a container, the scope goes" {
    config --arg hook "$DIR/hook" '.hooks.createRuntime = [{path: $hook}]'
    printf '#!/bin/sh\ntouch %s/in\nkill -9 $PPID\n' "$DIR" >"$DIR/hook"
    chmod 755 "$DIR/hook"
    run hull create --bundle "$BUNDLE" "$ID"
    [ -e "$DIR/in" ]
    hull delete --force "$ID"
    wait_for unit_is_gone
}

@test "pause, resume, ps and kill --all" {
    script 'sleep 50 & sleep 60'
    start_detached
    hull pause "$ID"
    file_is cgroup.freeze 1
    property_is ActiveState active
    hull resume "$ID"
    run hull ps --format json "$ID"
    [ "$(jq length <<<"$output")" -ge 2 ]
    hull kill --all "$ID" KILL
    wait_for has_status stopped
}

@test "a unit that was stopped by systemctl is a stopped container" {
    script 'trap "exit 3" TERM; while :; do sleep 0.1; done'
    start_detached
    systemctl stop "$UNIT"
    wait_for has_status stopped
    hull delete "$ID"
}

# Hidden, not stopped: a user's manager that loses the system bus can't move processes any more.
@test "without D-Bus, systemd's private socket does" {
    unshare --mount sh -c 'mount -t tmpfs none /run/dbus && exec "$@"' sh \
        "$HULL" --root "$STATE" $HULL_FLAGS run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/log" 2>&1 3>&- 4>&- || {
        cat "$DIR/log"
        return 1
    }
    property_is ActiveState active
}

@test "without systemd: an error that says what to do, and nothing is made" {
    cargo true
    run unshare --mount sh -c '
        mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/dbus && exec "$@"' sh \
        "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 1
    says "reach systemd: by D-Bus:"
    says "by /run/systemd/private: No such file or directory"
    says "--cgroup-manager=cgroupfs"
    unit_is_gone
}

@test "without the helper: an error that names it" {
    cp "$HULL" "$DIR/hull"
    : >"$DIR/config.status"
    cargo true
    run "$DIR/hull" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID"
    exits 1
    says "run $DIR/hull-systemd"
    says "--cgroup-manager=cgroupfs"
}

@test "the helper is not there any more when the container is" {
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    run pgrep -x hull-systemd
    exits 1
}

# --- rootless ---

need_user_manager()
{
    id hull-test >/dev/null 2>&1 || skip "there is no user hull-test: this is not the lab"
    wait_for systemctl is-active user@1000.service
    wait_for test -S /run/user/1000/bus
    chown -R hull-test "$DIR"
    (cd "$BUNDLE" && rm -f config.json && as_hull_test "$HULL" spec --rootless)
    config '.process.terminal = false | .process.args = ["sleep", "60"]'
    MANAGER=$CGROUP/user.slice/user-1000.slice/user@1000.service
    SCOPE=$MANAGER/user.slice/$UNIT
}

as_hull_test()
{
    setpriv --reuid hull-test --regid hull-test --init-groups env -i PATH="$PATH" HOME="$DIR" "$@" 3>&- 4>&-
}

rootless()
{
    as_hull_test XDG_RUNTIME_DIR=/run/user/1000 "$HULL" --root "$STATE" $HULL_FLAGS "$@"
}

user_property()
{
    as_hull_test XDG_RUNTIME_DIR=/run/user/1000 systemctl --user show --value --property="$1" "$UNIT"
}

@test "rootless: the scope is in the user's manager, limits and all" {
    need_user_manager
    resources '{memory: {limit: 67108864}, pids: {limit: 42}}'
    rootless run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/log" 2>&1 || {
        cat "$DIR/log"
        return 1
    }
    [ "$(user_property ActiveState)" = active ]
    [ "$(user_property MemoryMax)" = 67108864 ]
    file_is memory.max 67108864
    file_is pids.max 42
    run rootless state "$ID"
    file_is cgroup.procs "$(jq .pid <<<"$output")"
    run rootless exec "$ID" cat /proc/self/cgroup
    exits 0
    rootless update --pids-limit 21 "$ID"
    file_is pids.max 21
    rootless delete --force "$ID"
    wait_for test ! -e "$SCOPE"
}

@test "rootless: without DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR" {
    need_user_manager
    as_hull_test "$HULL" --root "$STATE" $HULL_FLAGS run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/log" 2>&1 || {
        cat "$DIR/log"
        return 1
    }
    [ "$(user_property ActiveState)" = active ]
}

@test "rootless: no user manager is an error that says so" {
    need_user_manager
    run as_hull_test XDG_RUNTIME_DIR="$DIR" "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID" </dev/null
    exits 1
    says "reach the user's systemd"
}

# --- podman ---

need_podman()
{
    need_tool podman
    mkdir -p "$DIR/image"
    cp -a "$BUNDLE/rootfs/." "$DIR/image"
    podman image exists hull-test || tar -C "$DIR/image" -c . | podman import - hull-test >/dev/null
}

hull_podman()
{
    podman --runtime "$HULL" --cgroup-manager=systemd "$@" 3>&- 4>&-
}

@test "podman with --memory, --cpus, --pids-limit and --device" {
    need_podman
    run hull_podman run --rm --network=none --memory=64m --cpus=0.5 --pids-limit=44 --device=/dev/vdc hull-test \
        /bin/sh -c 'cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max cpu.max pids.max; dd if=/dev/vdc of=/dev/null bs=512 count=1 && echo opened'
    exits 0
    says 67108864
    says "50000 100000"
    says $'\n44\n'
    says opened
}

@test "rootless podman, in its user namespace, with --memory and --pids-limit" {
    need_tool podman
    need_user_manager
    mkdir -p "$DIR/home"
    chown hull-test "$DIR/home"
    rootless_podman()
    {
        as_hull_test HOME="$DIR/home" XDG_RUNTIME_DIR=/run/user/1000 podman --storage-driver=vfs --runtime "$HULL" \
            --cgroup-manager=systemd "$@"
    }
    tar -C "$BUNDLE/rootfs" -c . | rootless_podman import - hull-test >/dev/null
    run rootless_podman run --rm --network=none --memory=64m --pids-limit=44 hull-test \
        /bin/sh -c 'cd /sys/fs/cgroup; cat memory.max pids.max'
    rootless_podman system reset --force >/dev/null 2>&1 || true
    exits 0
    says $'67108864\n44'
}

@test "podman run, exec, pause, update, stats, top, kill" {
    need_podman
    local c
    c=$(hull_podman run --detach --network=none --memory=64m hull-test sleep 100)
    UNIT=libpod-$c.scope SCOPE=$CGROUP/machine.slice/libpod-$c.scope
    property_is ActiveState active
    property_is MemoryMax 67108864
    hull_podman pause "$c"
    file_is cgroup.freeze 1
    hull_podman unpause "$c"
    run hull_podman exec "$c" echo there
    output_is there
    hull_podman update --memory=128m "$c"
    property_is MemoryMax 134217728
    file_is memory.max 134217728
    run hull_podman stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' "$c"
    exits 0
    [[ $output =~ ^1\ .+B\ /\ .+MB$ ]]
    run hull_podman top "$c" args
    says "sleep 100"
    hull_podman rm --force --time 0 "$c"
    wait_for unit_is_gone
}
