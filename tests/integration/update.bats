#!/usr/bin/env bats
# update: limits of a container that runs, from options and from JSON; in the order that the kernel needs.

load helpers
load cgroups

setup_file()
{
    [ "$(id -u)" = 0 ] || skip "needs root"
}

# begin JSON: a running container with these linux.resources.
begin()
{
    config ".linux.resources += $1"
    cargo sleep 100
    start_detached
}

update()
{
    run hull update "$@" "$ID" </dev/null
}

updates()
{
    update "$@"
    exits 0
    output_is ""
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

memory_is()
{
    kernel_says memory memory.limit_in_bytes "$1" memory.max "$1"
    kernel_says memory memory.memsw.limit_in_bytes "$2" memory.swap.max $(($2 - $1))
}

@test "memory and swap: up, down, and each alone" {
    begin '{memory: {limit: 33554432, swap: 67108864}}'
    memory_is 33554432 67108864
    updates --memory 128m --memory-swap 256m
    memory_is 134217728 268435456
    updates --memory 16m --memory-swap 32m
    memory_is 16777216 33554432
    updates --memory-swap 64M
    memory_is 16777216 67108864
    updates --memory-reservation 8m
    kernel_says memory memory.soft_limit_in_bytes 8388608 memory.low 8388608
    memory_is 16777216 67108864
    updates --memory-swap -1
    kernel_says memory memory.memsw.limit_in_bytes 9223372036854771712 memory.swap.max max
    updates --memory -1
    kernel_says memory memory.limit_in_bytes 9223372036854771712 memory.max max
}

@test "memory: what does not fit is refused, and nothing has changed" {
    begin '{memory: {limit: 33554432, swap: 67108864}}'
    update --memory 64m --memory-swap 32m
    exits 1
    says "memory+swap limit should be >= memory limit"
    update --memory-swap 16m
    exits 1
    says "memory+swap limit should be >= memory limit"
    memory_is 33554432 67108864
}

@test "one value that is refused leaves the others as they were" {
    begin '{memory: {limit: 67108864}, pids: {limit: 20}}'
    update --memory 90M --pids-limit 33 --cpuset-cpus 0-1023
    exits 1
    says cpuset.cpus
    kernel_says memory memory.limit_in_bytes 67108864 memory.max 67108864
    kernel_says pids pids.max 20 pids.max 20
}

@test "memory: checkBeforeUpdate refuses to go below what is in use" {
    begin '{memory: {limit: 67108864}}'
    hull exec "$ID" dd if=/dev/zero of=/tmp/x bs=1M count=4
    run hull update --resources - "$ID" <<<'{"memory": {"limit": 4096, "checkBeforeUpdate": true}}'
    exits 1
    says "memory.limit: 4096 is below what is in use now"
    kernel_says memory memory.limit_in_bytes 67108864 memory.max 67108864
}

@test "cpu: quota and period together and alone, shares, burst" {
    begin '{cpu: {quota: 50000, period: 100000}}'
    updates --cpu-quota 20000
    kernel_says cpu cpu.cfs_quota_us 20000 cpu.max "20000 100000"
    updates --cpu-period 50000
    kernel_says cpu cpu.cfs_period_us 50000 cpu.max "20000 50000"
    kernel_says cpu cpu.cfs_quota_us 20000 cpu.max "20000 50000"
    updates --cpu-quota 100000 --cpu-period 200000 --cpu-burst 100000
    kernel_says cpu cpu.cfs_burst_us 100000 cpu.max.burst 100000
    updates --cpu-quota 5000 --cpu-period 10000 --cpu-burst 0
    kernel_says cpu cpu.cfs_quota_us 5000 cpu.max "5000 10000"
    updates --cpu-quota -1
    [[ $(cgroup_value cpu cpu.cfs_quota_us cpu.max) =~ ^(-1|max\ .*)$ ]] # without a quota systemd has its own period
    updates --cpu-shares 2048
    kernel_says cpu cpu.shares 2048 cpu.weight 174
    updates --cpu-share 512
    kernel_says cpu cpu.shares 512 cpu.weight 59
    updates --cpu-idle 1
    kernel_says cpu cpu.idle 1 cpu.idle 1
    updates --cpu-idle 0 --cpu-shares 1024
    kernel_says cpu cpu.shares 1024 cpu.weight 100
}

@test "cpuset, pids" {
    begin '{pids: {limit: 100}}'
    updates --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 30
    kernel_says cpuset cpuset.cpus 0 cpuset.cpus 0
    kernel_says cpuset cpuset.mems 0 cpuset.mems 0
    kernel_says pids pids.max 30 pids.max 30
    [ "$(sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$(pid_of)/status")" = 0 ]
    updates --pids-limit -1
    kernel_says pids pids.max max pids.max max
}

@test "from JSON: a file, standard input, and options on top" {
    begin '{pids: {limit: 100}}'
    echo '{"pids": {"limit": 40}, "memory": {"limit": 67108864}}' >"$DIR/r.json"
    updates --resources "$DIR/r.json"
    kernel_says pids pids.max 40 pids.max 40
    kernel_says memory memory.limit_in_bytes 67108864 memory.max 67108864
    run hull update -r - "$ID" <<<'{"pids": {"limit": 50}}'
    exits 0
    kernel_says pids pids.max 50 pids.max 50
    kernel_says memory memory.limit_in_bytes 67108864 memory.max 67108864
    updates -r "$DIR/r.json" --pids-limit 60
    kernel_says pids pids.max 60 pids.max 60
    run hull update -r - "$ID" <<<'{"pids": {"limit": "x"}, "cpu": {"idle": 7}}'
    exits 1
    says "standard input: 2 problems"
    says "pids.limit: must be an integer"
    kernel_says pids pids.max 60 pids.max 60
}

@test "zero, and what is not mentioned, change nothing" {
    begin '{pids: {limit: 100}, memory: {limit: 67108864}, cpu: {shares: 512}}'
    updates
    updates --pids-limit 0 --memory 0 --cpu-shares 0 --memory-swap ""
    run hull update -r - "$ID" <<<'{"pids": {"limit": 0}, "memory": {"limit": 0}, "cpu": {}, "blockIO": {"weight": 0}}'
    exits 0
    kernel_says pids pids.max 100 pids.max 100
    kernel_says memory memory.limit_in_bytes 67108864 memory.max 67108864
    kernel_says cpu cpu.shares 512 cpu.weight 59
}

@test "a paused and a created container can be updated" {
    begin '{pids: {limit: 100}}'
    hull pause "$ID"
    updates --pids-limit 70
    kernel_says pids pids.max 70 pids.max 70
    hull resume "$ID"
    hull delete --force "$ID"
    hull create --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/out" 2>&1
    updates --pids-limit 80
    kernel_says pids pids.max 80 pids.max 80
}

@test "wrong options are told by their names" {
    begin '{}'
    for wrong in "--memory 1x" "--memory -2" "--memory-swap 1.5" "--cpu-shares 262145" "--cpu-idle 2" "--pids-limit -2" \
        "--cpu-quota abc" "--blkio-weight 1001"; do
        # shellcheck disable=SC2086
        update $wrong
        exits 1
        says "update: ${wrong% *}"
    done
    update --cpuset-cpus 0-
    exits 1
    says "cpu.cpus: must be a list of CPUs"
    update --cpu-period 10
    exits 1
    says "cpu.period: must be at least 1000"
}

@test "containers that cannot be updated" {
    run hull update --pids-limit 5 nobody </dev/null
    exits 1
    says "container does not exist"
    cargo true
    hull run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/out" 2>&1
    wait_for has_status stopped
    update --pids-limit 5
    exits 1
    says "container not running"
}

@test "Intel RDT: a container without a class has none to change" {
    begin '{}'
    update --l3-cache-schema "L3:0=f"
    exits 1
    says "without linux.intelRdt"
}
