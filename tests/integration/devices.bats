#!/usr/bin/env bats
# linux.resources.devices and linux.devices: who may open and make which node. On v1 the kernel's lists, on v2 an eBPF
# program; the same tests for both.

load helpers.bash
load cgroups.bash

# Inside: each line a device and how it is opened, or "mknod"; what the kernel says comes out, "ok" or "EPERM" or another.
PROBE='
say() { case $2 in 0) echo "$1 ok";; *"not permitted"*) echo "$1 EPERM";; *) echo "$1 ${2##*: }";; esac; }
probe() {
    case $2 in
    r) why=$( (: <"$1") 2>&1) && why=0;;
    w) why=$( (: >"$1") 2>&1) && why=0;;
    rw) why=$( (: <>"$1") 2>&1) && why=0;;
    mknod) why=$(mknod "$1" $3 $4 $5 2>&1) && why=0;;
    esac
    say "$1 $2" "$why"
}
'

setup_file()
{
    [ "$(id -u)" = 0 ] || skip "needs root"
}

# Capabilities as an engine gives them for --privileged or --cap-add; nothing but the device cgroup may stand in the way.
with_mknod()
{
    config '.process.capabilities |= map_values(. + ["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"])'
}

# rules JSON: what comes after "deny all".
rules()
{
    config --argjson rules "$1" '.linux.resources.devices = [{allow: false, access: "rwm"}] + $rules'
}

kmsg_node()
{
    config '.linux.devices = [{path: "/dev/kmsg", type: "c", major: 1, minor: 11, fileMode: 438}]'
}

@test "devices: the default ones open, others do not, and any node may be made" {
    with_mknod
    script "$PROBE"'
        for d in null zero full random urandom; do probe /dev/$d rw; done
        probe /dev/ptmx rw
        probe /dev/made mknod c 1 11
        probe /dev/made r
        probe /dev/disk mknod b 7 0
        probe /dev/disk r'
    run_container
    exits 0
    output_is "/dev/null rw ok
/dev/zero rw ok
/dev/full rw ok
/dev/random rw ok
/dev/urandom rw ok
/dev/ptmx rw ok
/dev/made mknod ok
/dev/made r EPERM
/dev/disk mknod ok
/dev/disk r EPERM"
}

@test "devices: no rules, and no resources at all, are the same" {
    kmsg_node
    script "$PROBE"' probe /dev/null rw; probe /dev/kmsg r'
    config 'del(.linux.resources.devices)'
    run_container
    exits 0
    output_is $'/dev/null rw ok\n/dev/kmsg r EPERM'
    config 'del(.linux.resources)'
    run_container
    exits 0
    output_is $'/dev/null rw ok\n/dev/kmsg r EPERM'
}

@test "devices: linux.devices makes the node, and only a rule opens it" {
    with_mknod
    kmsg_node
    script "$PROBE"' stat -c "%F %t:%T %a" /dev/kmsg; probe /dev/kmsg r; probe /dev/kmsg w; probe /dev/kmsg rw'
    run_container
    exits 0
    output_is "character special file 1:b 666
/dev/kmsg r EPERM
/dev/kmsg w EPERM
/dev/kmsg rw EPERM"
    rules '[{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]'
    run_container
    exits 0
    output_is "character special file 1:b 666
/dev/kmsg r ok
/dev/kmsg w EPERM
/dev/kmsg rw EPERM"
    rules '[{"allow": true, "type": "c", "major": 1, "minor": 11}]'
    run_container
    exits 0
    output_is "character special file 1:b 666
/dev/kmsg r ok
/dev/kmsg w ok
/dev/kmsg rw ok"
}

@test "devices: the later rule wins, and the defaults stay" {
    with_mknod
    kmsg_node
    script "$PROBE"' probe /dev/kmsg r; probe /dev/kmsg w; probe /dev/null rw'
    rules '[{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"},
            {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "w"},
            {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]'
    run_container
    exits 0
    output_is $'/dev/kmsg r ok\n/dev/kmsg w EPERM\n/dev/null rw ok'
    rules '[{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"}, {"allow": false}]'
    run_container
    exits 0
    output_is $'/dev/kmsg r EPERM\n/dev/kmsg w EPERM\n/dev/null rw ok'
}

@test "devices: everything allowed, then everything but one" {
    with_mknod
    kmsg_node
    script "$PROBE"' probe /dev/loop mknod c 10 237; probe /dev/kmsg r; probe /dev/kmsg w'
    rules '[{"allow": true}]'
    run_container
    exits 0
    output_is $'/dev/loop mknod ok\n/dev/kmsg r ok\n/dev/kmsg w ok'
    rules '[{"allow": true}, {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "w"}]'
    rm -f "$BUNDLE/rootfs/dev/loop"
    run_container
    exits 0
    output_is $'/dev/loop mknod ok\n/dev/kmsg r ok\n/dev/kmsg w EPERM'
}

@test "devices: a hole in a wildcard is made on v2, and refused on v1 by the rule's name" {
    with_mknod
    kmsg_node
    script "$PROBE"' probe /dev/kmsg r; probe /dev/kmsg w; probe /dev/null rw'
    rules '[{"allow": true, "type": "c", "major": 1, "access": "rw"},
            {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "w"}]'
    run_container
    if is_v2 devices; then
        exits 0
        output_is $'/dev/kmsg r ok\n/dev/kmsg w EPERM\n/dev/null rw ok'
    else
        exits 1
        says 'linux.resources.devices[2]: "c 1:11 rm" cannot be an exception from "c 1:* rwm" on cgroup v1'
    fi
}

@test "devices: numbers that no device has are refused" {
    rules '[{"allow": true, "type": "c", "major": 5000, "minor": 1, "access": "rw"}]'
    run_container
    exits 1
    says 'linux.resources.devices[1].major'
}

@test "devices: exec is bound by the same rules" {
    kmsg_node
    cargo sleep 100
    start_detached
    run hull exec "$ID" sh -c "$PROBE"' probe /dev/null rw; probe /dev/kmsg r' </dev/null
    exits 0
    output_is $'/dev/null rw ok\n/dev/kmsg r EPERM'
}

@test "devices: update opens and closes them for what runs" {
    with_mknod
    kmsg_node
    script "$PROBE"' while :; do probe /dev/kmsg r; probe /dev/null rw; usleep 5000; done >/log'
    start_detached
    wait_for grep -aq 'kmsg r EPERM' "$BUNDLE/rootfs/log"
    local rule deny='{"allow": false, "access": "rwm"}'
    for rule in '{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}' '{"allow": true}'; do
        hull update --resources - "$ID" <<<"{\"devices\": [$deny, $rule]}"
        : >"$BUNDLE/rootfs/log"
        wait_for grep -aq 'kmsg r ok' "$BUNDLE/rootfs/log"
        hull update --resources - "$ID" <<<"{\"devices\": [$deny]}"
        : >"$BUNDLE/rootfs/log"
        wait_for grep -aq 'kmsg r EPERM' "$BUNDLE/rootfs/log"
        run grep -a 'null rw EPERM' "$BUNDLE/rootfs/log"
        exits 1
    done
    # Other limits leave the devices as they are.
    hull update --resources - "$ID" <<<"{\"devices\": [$deny, $rule]}"
    hull update --resources - "$ID" <<<'{"cpu": {"shares": 512}}'
    : >"$BUNDLE/rootfs/log"
    wait_for grep -aq 'kmsg r ok' "$BUNDLE/rootfs/log"
}

@test "devices: systemctl daemon-reload changes nothing" {
    [[ $HULL_FLAGS == *systemd* ]] || skip "not with systemd's cgroups"
    with_mknod
    config '.linux.devices = [{path: "/dev/kmsg", type: "c", major: 1, minor: 11},
                              {path: "/dev/loop-control", type: "c", major: 10, minor: 237}]'
    rules '[{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw"}]'
    script "$PROBE"' while :; do probe /dev/kmsg r; probe /dev/loop-control r; probe /dev/null rw; usleep 5000; done >/log'
    start_detached
    wait_for grep -aq 'kmsg r ok' "$BUNDLE/rootfs/log"
    systemctl daemon-reload
    wait_for grep -aq 'loop-control r EPERM' "$BUNDLE/rootfs/log"
    : >"$BUNDLE/rootfs/log"
    wait_for grep -aq 'null rw ok' "$BUNDLE/rootfs/log"
    run grep -aE 'kmsg r EPERM|null rw EPERM|control r ok' "$BUNDLE/rootfs/log"
    exits 1
}

@test "devices: in a user namespace on the host's root they are guarded as well" {
    config '.linux.namespaces += [{"type": "user"}] |
        .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings |
        .mounts += [{destination: "/kmsg", source: "/dev/kmsg", type: "bind", options: ["bind"]}]'
    : >"$BUNDLE/rootfs/kmsg"
    chown -R 100000:100000 "$BUNDLE/rootfs"
    script "$PROBE"' probe /dev/null rw; probe /kmsg r'
    run_container
    exits 0
    output_is $'/dev/null rw ok\n/kmsg r EPERM'
}
