#!/usr/bin/env bats
# linux.resources at create: what the kernel's files say afterwards, on v1, hybrid and v2; and what is refused.

load helpers
load cgroups

setup_file()
{
    [ "$(id -u)" = 0 ] || skip "needs root"
}

# limits JSON: linux.resources gets these, and the container runs.
run_with()
{
    config ".linux.resources += $1"
    cargo sleep 100
    start_detached
}

# The same where it may be refused: sets status and output.
try_to_run()
{
    cargo sleep 100
    status=0
    hull run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/stdout" 2>"$DIR/stderr" || status=$?
    output=$(cat "$DIR/stderr")
}

# kernel_says V1-CONTROLLER V1-FILE V1-VALUE V2-FILE V2-VALUE
kernel_says()
{
    local got want=$3
    ! is_v2 "$1" || want=$5
    got=$(cgroup_value "$1" "$2" "$4")
    [ "$got" = "$want" ] || {
        printf '%s (v2: %s) is "%s", expected "%s"\n' "$2" "$4" "$got" "$want" >&2
        return 1
    }
}

# not_made WORDS...: create fails with these words, and leaves nothing.
not_made()
{
    local words
    cargo true
    run_container
    exits 1
    for words; do
        says "$words"
    done
    run hull state "$ID"
    exits 1
}

@test "memory: limit, swap, reservation" {
    run_with '{memory: {limit: 67108864, swap: 100663296, reservation: 33554432}}'
    kernel_says memory memory.limit_in_bytes 67108864 memory.max 67108864
    kernel_says memory memory.memsw.limit_in_bytes 100663296 memory.swap.max 33554432
    kernel_says memory memory.soft_limit_in_bytes 33554432 memory.low 33554432
}

@test "memory: what only v1 has" {
    ! is_v2 memory || skip "v2"
    run_with '{memory: {swappiness: 30, disableOOMKiller: true, kernelTCP: 16777216, useHierarchy: true}}'
    kernel_says memory memory.swappiness 30 - -
    grep -qx "oom_kill_disable 1" "$(cgroup_dir memory)/memory.oom_control"
    kernel_says memory memory.kmem.tcp.limit_in_bytes 16777216 - -
}

@test "memory: a limit that v2 has not is an error that says what to use" {
    is_v2 memory || skip "v1"
    config '.linux.resources.memory = {kernel: 16777216}'
    not_made "linux.resources.memory.kernel: cannot be enforced" "memory.limit counts"
    config '.linux.resources.memory = {swappiness: 10}'
    not_made "linux.resources.memory.swappiness: cannot be enforced"
    config '.linux.resources.memory = {disableOOMKiller: true}'
    not_made "linux.resources.memory.disableOOMKiller: cannot be enforced"
}

@test "memory: kernel memory is limited, or refused" {
    ! is_v2 memory || skip "v2"
    config '.linux.resources.memory = {kernel: 16777216}'
    try_to_run
    if [ "$status" = 0 ]; then
        kernel_says memory memory.kmem.limit_in_bytes 16777216 - -
    else
        says "linux.resources.memory.kernel"
    fi
}

@test "memory: more than the limit is killed" {
    config '.linux.resources.memory = {limit: 16777216, swap: 16777216}'
    cargo dd if=/dev/zero of=/dev/null bs=64M count=1
    run_container
    exits 137
}

@test "cpu: shares, quota, period" {
    run_with '{cpu: {shares: 512, quota: 50000, period: 200000}}'
    kernel_says cpu cpu.shares 512 cpu.weight 59
    kernel_says cpu cpu.cfs_quota_us 50000 cpu.max "50000 200000"
    is_v2 cpu || kernel_says cpu cpu.cfs_period_us 200000 - -
}

@test "cpu: burst and idle" {
    run_with '{cpu: {quota: 50000, burst: 20000}}'
    kernel_says cpu cpu.cfs_burst_us 20000 cpu.max.burst 20000
    hull delete --force "$ID"
    run_with '{cpu: {idle: 1}}'
    kernel_says cpu cpu.idle 1 cpu.idle 1
}

@test "cpu: cpus and mems" {
    run_with '{cpu: {cpus: "0", mems: "0"}}'
    kernel_says cpuset cpuset.cpus 0 cpuset.cpus 0
    kernel_says cpuset cpuset.mems 0 cpuset.mems 0
    [ "$(sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$(pid_of)/status")" = 0 ]
    hull delete --force "$ID"
    config '.linux.resources.cpu = {cpus: "99999"}'
    not_made 'linux.resources.cpu.cpus: write "99999" to'
}

# shellcheck disable=SC2016
@test "pids: a fork bomb stops at the limit" {
    run_with '{pids: {limit: 20}}'
    kernel_says pids pids.max 20 pids.max 20
    run hull exec "$ID" sh -c 'i=0; while [ $i -lt 40 ]; do sleep 50 >/dev/null 2>&1 & i=$((i + 1)); done'
    says "can't fork"
    [ "$(cgroup_value pids pids.current pids.current)" -le 20 ]
}

@test "pids: -1 is no limit" {
    run_with '{pids: {limit: -1}}'
    kernel_says pids pids.max max pids.max max
}

@test "blockIO: weight and throttles" {
    local device
    device=$(lsblk -dnro MAJ:MIN,TYPE | awk '$2 == "disk" { print $1 }' | tail -1)
    [ -n "$device" ] || skip "no disk"
    run_with "{blockIO: {throttleReadBpsDevice: [{major: ${device%:*}, minor: ${device#*:}, rate: 1048576}],
        throttleWriteIOPSDevice: [{major: ${device%:*}, minor: ${device#*:}, rate: 100}]}}"
    if is_v2 blkio; then
        [ "$(cat "$(cgroup_dir blkio)/io.max")" = "$device rbps=1048576 wbps=max riops=max wiops=100" ]
    else
        kernel_says blkio blkio.throttle.read_bps_device "$device 1048576" - -
        kernel_says blkio blkio.throttle.write_iops_device "$device 100" - -
    fi
}

@test "blockIO: weight" {
    local dir
    config '.linux.resources.blockIO = {weight: 500}'
    try_to_run
    if [ "$status" != 0 ]; then # no BFQ here, and no io.cost
        says "linux.resources.blockIO.weight: cannot be enforced"
        return 0
    fi
    dir=$(cgroup_dir blkio)
    grep -hqE '^(default )?(500|4950)$' "$dir"/*weight
}

@test "hugepageLimits" {
    local v1=/sys/fs/cgroup/hugetlb
    config '.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]'
    try_to_run
    if [ "$status" != 0 ]; then
        [ ! -d $v1 ] && ! grep -qs hugetlb /sys/fs/cgroup/cgroup.controllers
        says "linux.resources.hugepageLimits: cannot be enforced: the hugetlb controller is not available"
        return 0
    fi
    kernel_says hugetlb hugetlb.2MB.limit_in_bytes 4194304 hugetlb.2MB.max 4194304
    kernel_says hugetlb hugetlb.2MB.rsvd.limit_in_bytes 4194304 hugetlb.2MB.rsvd.max 4194304
}

@test "unified: v2's own files, or an error that names the controller" {
    if is_v2 memory; then
        run_with '{memory: {limit: 67108864}, unified: {"memory.high": "33554432", "memory.max": "50331648"}}'
        [ "$(cat "$(cgroup_dir memory)/memory.high")" = 33554432 ]
        [ "$(cat "$(cgroup_dir memory)/memory.max")" = 50331648 ]
    else
        config '.linux.resources.unified = {"memory.high": "33554432"}'
        not_made 'linux.resources.unified["memory.high"]: cannot be enforced' "memory"
    fi
}

# shellcheck disable=SC2016
@test "unified: nothing but limits" {
    local file
    for file in cgroup.procs cgroup.threads cgroup.subtree_control cgroup.freeze cgroup.kill cgroup.type ../cgroup.procs; do
        config '.linux.resources.unified = {($file): "0"}' --arg file "$file"
        not_made "linux.resources.unified[\"$file\"]"
    done
}

@test "a controller that is missing is named with the limit" {
    config '.linux.resources.network = {classID: 1048577}'
    [ ! -d /sys/fs/cgroup/net_cls ] || skip "there is net_cls"
    not_made "linux.resources.network.classID: cannot be enforced" net_cls
    config 'del(.linux.resources.network) | .linux.resources.rdma = {mlx5_1: {hcaHandles: 3}}'
    ! grep -qs rdma /sys/fs/cgroup/cgroup.controllers || skip "there is rdma"
    not_made "linux.resources.rdma: cannot be enforced" rdma
}

@test "values that limit nothing need no controller" {
    run_with '{network: {classID: 0}, memory: {limit: -1, swap: -1, disableOOMKiller: false}, pids: {limit: 0},
        blockIO: {weight: 0}, cpu: {shares: 0, quota: -1}, hugepageLimits: [], rdma: {}, unified: {}}'
    kernel_says memory memory.limit_in_bytes 9223372036854771712 memory.max max
}

@test "all that is wrong is told at once" {
    config '.linux.resources = {memory: {limit: 1000, swap: 999, swappiness: 101}, cpu: {cpus: "0-", period: 5},
        blockIO: {weight: 5}}'
    not_made "5 problems" "memory.swap: memory+swap limit should be >= memory limit" "memory.swappiness" "cpu.cpus" \
        "cpu.period" "blockIO.weight"
}
