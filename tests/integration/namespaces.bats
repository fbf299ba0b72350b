#!/usr/bin/env bats
# Namespaces: new ones, those joined by path, those that are not asked for, and paths of the wrong type.

load helpers

ns_of()
{
    readlink "/proc/${2:-self}/ns/$1"
}

@test "all eight new: none is the host's" {
    config '.linux.namespaces = ([["pid","network","ipc","uts","mount","cgroup","user","time"][] | {type: .}])
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
        | .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]'
    chown -hR 100000:100000 "$BUNDLE/rootfs"
    script 'for n in pid net ipc uts mnt cgroup user time; do readlink /proc/self/ns/$n; done'
    run_container
    exits 0
    local n
    for n in pid net ipc uts mnt cgroup user time; do
        says "$n:["
        says_not "$(ns_of $n)"
    done
}

@test "a namespace that is not listed is the host's" {
    config '.linux.namespaces = [{type: "pid"}, {type: "mount"}] | del(.hostname)
        | .mounts |= map(select(.type != "sysfs" and .type != "mqueue"))'
    script 'for n in net ipc uts; do readlink /proc/self/ns/$n; done'
    run_container
    exits 0
    output_is "$(for n in net ipc uts; do ns_of $n; done)"
}

@test "joined by path: every type" {
    unshare --net --ipc --uts --pid --cgroup --fork --mount-proc sleep 1000 3>&- 4>&- &
    local outer=$!
    wait_for pgrep -P $outer
    local holder
    holder=$(pgrep -P $outer)
    config --arg p "/proc/$holder/ns" '.linux.namespaces = [{type: "mount"}, {type: "network", path: "\($p)/net"},
        {type: "ipc", path: "\($p)/ipc"}, {type: "uts", path: "\($p)/uts"}, {type: "pid", path: "\($p)/pid"},
        {type: "cgroup", path: "\($p)/cgroup"}]
        | del(.hostname) | .mounts |= map(select(.type != "sysfs" and .type != "cgroup"))'
    script 'for n in net ipc uts pid cgroup; do readlink /proc/self/ns/$n; done; echo pid $$; sleep 0.1'
    run_container
    local expected
    expected=$(for n in net ipc uts pid cgroup; do ns_of $n "$holder"; done)
    kill -9 "$holder"
    wait $outer || true
    exits 0
    says "$expected"
}

@test "a network namespace of ip-netns is joined" {
    ip netns add "$ID"
    ip netns exec "$ID" ip link set lo up
    config --arg p "/run/netns/$ID" '(.linux.namespaces[] | select(.type == "network")).path = $p'
    script 'readlink /proc/self/ns/net'
    run_container
    local expected
    expected=$(ip netns exec "$ID" readlink /proc/self/ns/net)
    ip netns delete "$ID"
    exits 0
    output_is "$expected"
}

@test "a path of the wrong type, or of no namespace, is refused before anything runs" {
    config '(.linux.namespaces[] | select(.type == "network")).path = "/proc/self/ns/uts"'
    cargo echo ran
    run_container
    exits 1
    says "network"
    says_not $'ran\n'
    config '(.linux.namespaces[] | select(.type == "network")).path = "/etc/passwd"'
    run_container
    exits 1
    says /etc/passwd
    config '(.linux.namespaces[] | select(.type == "network")).path = "/no/where"'
    run_container
    exits 1
    says /no/where
}

@test "the same namespace twice, an unknown one, a hostname without uts: refused" {
    cargo true
    cp "$BUNDLE/config.json" "$DIR/good"
    config '.linux.namespaces += [{type: "pid"}]'
    run_container
    exits 1
    says "linux.namespaces"
    cp "$DIR/good" "$BUNDLE/config.json"
    config '.linux.namespaces += [{type: "nonsense"}]'
    run_container
    exits 1
    says nonsense
    cp "$DIR/good" "$BUNDLE/config.json"
    config '.linux.namespaces |= map(select(.type != "uts")) | .hostname = "x"'
    run_container
    exits 1
    says hostname
}

@test "loopback is up in a new network namespace" {
    script 'cat /sys/class/net/lo/flags; ping -c 1 -W 1 127.0.0.1 >/dev/null && echo pong'
    config '.process.capabilities |= with_entries(.value += ["CAP_NET_RAW"])'
    run_container
    says 0x9
}

@test "time offsets" {
    [ -e /proc/self/ns/time ] || skip "this kernel has no time namespaces"
    config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000, nanosecs: 5}, monotonic: {secs: 7}}'
    script 'cut -d. -f1 /proc/uptime'
    run_container
    exits 0
    [ "$output" -ge 1000000 ]
}

@test "sharing a pid namespace with the host: the process is not PID 1, and dies at delete" {
    config '.linux.namespaces |= map(select(.type != "pid"))'
    cargo sleep 1000
    start_detached
    local pid
    pid=$(pid_of)
    [ "$(ns_of pid "$pid")" = "$(ns_of pid)" ]
    hull delete --force "$ID"
    [ ! -d "/proc/$pid" ] || [ "$(cut -d' ' -f3 "/proc/$pid/stat")" = Z ]
}

@test "a network device of the host's moves in, under its new name" {
    ip link add "hd$$" type dummy 2>/dev/null || ip link add "hd$$" type veth peer name "hp$$" 2>/dev/null ||
        skip "this kernel makes neither dummy nor veth devices"
    config --arg name "hd$$" '.linux.netDevices = {($name): {name: "inside0"}}'
    script 'ls /sys/class/net'
    run_container
    ip link delete "hd$$" 2>/dev/null || ip link delete "hp$$" 2>/dev/null || true
    exits 0
    says inside0
}
