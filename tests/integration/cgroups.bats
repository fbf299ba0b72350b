#!/usr/bin/env bats
# Where a container's cgroup is, who is in it, and what becomes of it: on v1, hybrid (the host of CI) and v2 (the lab), by
# the cgroupfs manager. Limits: resources.bats; devices: devices.bats; systemd's scopes: tests/lab/systemd.bats.

load helpers
load cgroups

setup_file()
{
    export HULL_FLAGS=--cgroup-manager=cgroupfs
}

# All directories of that name or path below any hierarchy.
directories()
{
    find /sys/fs/cgroup -type d -path "*/$1" 2>/dev/null
}

members()
{
    cat "$(cgroup_dir pids)/cgroup.procs"
}

# Containers at rest have one process, and it can be told from others'.
at_rest()
{
    cargo sleep "${1:-1000}"
}

@test "the first process is in the container's cgroup in each hierarchy, hull is not" {
    need_root
    at_rest
    config '.linux.cgroupsPath = "/hull-test/'"$ID"'"'
    start_detached
    local line
    while IFS= read -r line; do
        [[ $line == *:/hull-test/$ID || ! -d /sys/fs/cgroup/$(cut -d: -f2 <<<"$line" | sed 's/^name=//;s/^$/unified/') ]]
    done </proc/"$(pid_of)"/cgroup
    [ "$(members)" = "$(pid_of)" ]
    ! grep -q "$ID" /proc/self/cgroup
}

@test "delete removes the cgroup, and the parents that were made for it" {
    need_root
    at_rest
    config '.linux.cgroupsPath = "/'"$ID"'/parent/child"'
    start_detached
    [ -n "$(directories "$ID/parent/child")" ]
    hull delete --force "$ID"
    [ -z "$(directories "$ID")" ]
}

@test "a parent that others use stays" {
    need_root
    at_rest
    config '.linux.cgroupsPath = "/'"$ID"'/one"'
    start_detached
    config '.linux.cgroupsPath = "/'"$ID"'/two"'
    hull run --bundle "$BUNDLE" --detach "$ID-2" </dev/null >/dev/null
    hull delete --force "$ID"
    [ -n "$(directories "$ID/two")" ]
    [ "$(status_of "$ID-2")" = running ]
    hull delete --force "$ID-2"
    find /sys/fs/cgroup -depth -type d -name "$ID" -exec rmdir {} +
}

@test "without a path, and with a relative one, it is below the caller's" {
    need_root
    at_rest
    start_detached
    [ -n "$(directories "$ID")" ]
    hull delete --force "$ID"
    config '.linux.cgroupsPath = "'"$ID"'/relative"'
    start_detached
    [ -n "$(directories "$ID/relative")" ]
    hull delete --force "$ID"
    [ -z "$(directories "$ID")" ]
}

@test "a path that would leave the hierarchy, or is its root, is refused" {
    need_root
    local path
    for path in "../../etc/$ID" "/../$ID" "/a$ID/../../$ID" .. / ./ //; do
        config --arg path "$path" '.linux.cgroupsPath = $path'
        run_container
        exits 1
        says linux.cgroupsPath
    done
    [ -z "$(find /sys/fs /etc -maxdepth 4 -name "*$ID*")" ]
}

@test "a cgroup in which something runs is not taken" {
    need_root
    at_rest
    config '.linux.cgroupsPath = "/'"$ID"'"'
    start_detached
    run hull run --bundle "$BUNDLE" "$ID-2" </dev/null
    exits 1
    says "container's cgroup is not empty"
    [ "$(status_of)" = running ]
}

@test "a frozen cgroup, or one below it, is not taken" {
    need_root
    local dir=/sys/fs/cgroup/freezer file=freezer.state freeze=FROZEN thaw=THAWED path
    [ -d $dir ] || { dir=/sys/fs/cgroup file=cgroup.freeze freeze=1 thaw=0; }
    mkdir "$dir/$ID"
    echo $freeze >"$dir/$ID/$file"
    at_rest
    for path in "/$ID" "/$ID/below"; do
        config '.linux.cgroupsPath = "'"$path"'"'
        run timeout 10 "$HULL" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null
        exits 1
        says "container's cgroup unexpectedly frozen"
    done
    [ ! -e "$dir/$ID/below" ]
    echo $thaw >"$dir/$ID/$file"
    rmdir "$dir/$ID"
}

@test "an empty cgroup that is there is taken, and its limits are the container's" {
    need_root
    local root=/sys/fs/cgroup/pids
    [ -d $root ] || root=/sys/fs/cgroup
    mkdir "$root/$ID"
    at_rest
    config '.linux.cgroupsPath = "/'"$ID"'" | .linux.resources.pids.limit = 17'
    start_detached
    [ "$(cat "$root/$ID/pids.max")" = 17 ]
    hull delete --force "$ID"
    [ ! -d "$root/$ID" ]
}

@test "exec is in the container's cgroup" {
    need_root
    at_rest
    start_detached
    hull exec "$ID" sleep 1000 </dev/null &
    wait_for eval '[ "$(members | wc -l)" = 2 ]'
    hull ps --format json "$ID" | jq -e 'length == 2'
    hull kill --all "$ID" KILL
    wait
}

@test "exec --cgroup: below the container's own, and nowhere else" {
    need_root
    at_rest
    start_detached
    local dir
    dir=$(cgroup_dir pids)
    if is_v2 pids; then
        mkdir "$dir/below"
        run hull exec --cgroup below "$ID" cat /proc/self/cgroup
    else
        mkdir "$dir/below"
        run hull exec --cgroup pids:below "$ID" cat /proc/self/cgroup
    fi
    exits 0
    says "/below"
    local path
    for path in .. ../.. below/../.. /..; do
        run hull exec --cgroup "$path" "$ID" true
        exits 255
        says --cgroup
    done
    run hull exec --cgroup not-there "$ID" true
    exits 255
    says not-there
    run hull exec --cgroup no-such:/ "$ID" true
    exits 255
    says 'unknown controller "no-such"'
}

@test "exec --cgroup: several controllers of v1, each its own; no guesses between them" {
    need_root
    is_v2 pids && skip "v2 has one path"
    at_rest
    start_detached
    mkdir "$(cgroup_dir pids)/one" "$(cgroup_dir memory)/two"
    run hull exec --cgroup pids:one --cgroup memory:/two "$ID" cat /proc/self/cgroup
    exits 0
    grep -q ":pids:.*/one$" <<<"$output"
    grep -q ":memory:.*/two$" <<<"$output"
    grep ":freezer:" <<<"$output" | grep -qv "one\|two"
    run hull exec --cgroup pids:one --cgroup pids:two "$ID" true
    exits 255
    says "given twice"
    run hull exec --cgroup pids:one --cgroup two "$ID" true
    exits 255
    says "needs a CONTROLLER"
}

@test "exec --cgroup: where no process may be it fails, and does not go elsewhere" {
    need_root
    is_v2 pids || skip "v1 lets processes be anywhere"
    at_rest
    start_detached
    local dir
    dir=$(cgroup_dir pids)
    mkdir "$dir/leaf"
    echo "$(pid_of "$ID")" >"$dir/leaf/cgroup.procs"
    echo +pids >"$dir/cgroup.subtree_control"
    run hull exec --cgroup / "$ID" true
    exits 255
    says "it has cgroups of its own"
    hull exec --cgroup leaf "$ID" true </dev/null
}

@test "exec into a v2 container that has divided its cgroup goes where its first process is" {
    need_root
    is_v2 pids || skip "v1 lets processes be anywhere"
    at_rest
    start_detached
    local dir
    dir=$(cgroup_dir pids)
    mkdir "$dir/init"
    pid_of >"$dir/init/cgroup.procs"
    echo +pids >"$dir/cgroup.subtree_control"
    run hull exec "$ID" cat /proc/self/cgroup
    exits 0
    [ "$(cat /sys/fs/cgroup"$(sed -n 's/^0:://p' "/proc/$(pid_of)/cgroup")"/cgroup.procs)" = "$(pid_of)" ]
}

@test "what the container leaves below its cgroup is killed and removed" {
    need_root
    config '.linux.namespaces |= map(select(.type != "pid"))'
    at_rest
    start_detached
    local dir name
    dir=$(cgroup_dir pids)
    for name in a a/b a/b/c d; do mkdir "$dir/$name"; done
    for name in a/b/c d; do
        # Not ours: as if the container had forked it.
        sleep 1000 3>&- 4>&- &
        echo $! >"$dir/$name/cgroup.procs"
        is_v2 pids || echo $! >"$(cgroup_dir freezer)/cgroup.procs"
        disown $!
    done
    [ "$(cat "$dir/a/b/c/cgroup.procs" "$dir/d/cgroup.procs" | wc -l)" = 2 ]
    timeout 20 "$HULL" --root "$STATE" delete --force "$ID"
    [ ! -d "$dir" ]
}

@test "a hundred levels below are removed too" {
    need_root
    at_rest
    start_detached
    local dir path i
    dir=$(cgroup_dir pids)
    path=$dir
    for ((i = 0; i < 100; i++)); do
        path=$path/x
        mkdir "$path"
    done
    timeout 20 "$HULL" --root "$STATE" delete --force "$ID"
    [ ! -d "$dir" ]
}

@test "a fork bomb is killed whole: kill --all, and delete" {
    need_root
    config '.linux.namespaces |= map(select(.type != "pid")) | .linux.resources.pids.limit = 100'
    script 'bomb() { while :; do sleep 0.01 & bomb & wait; done; }; bomb 2>/dev/null & exec sleep 1000'
    start_detached
    wait_for eval '[ "$(members | wc -l)" -gt 30 ]'
    local dir
    dir=$(cgroup_dir pids)
    hull kill --all "$ID" KILL
    wait_for eval '[ -z "$(cat "'"$dir"'/cgroup.procs")" ]'
    timeout 20 "$HULL" --root "$STATE" delete "$ID"
    [ ! -d "$dir" ]
}

@test "the init dies, others without a pid namespace stay: delete ends them" {
    need_root
    config '.linux.namespaces |= map(select(.type != "pid"))'
    script 'sleep 1000 & exit 0'
    start_detached
    wait_for has_status stopped
    timeout 20 "$HULL" --root "$STATE" delete "$ID"
    ! pgrep -f "sleep 1000" -r S | while read -r pid; do grep -q "$ID" "/proc/$pid/cgroup" && echo left; done | grep -q left
}

@test "the init dies, others without a pid namespace stay: kill KILL ends them" {
    need_root
    config '.linux.namespaces |= map(select(.type != "pid")) | .linux.cgroupsPath = "/'"$ID"'"'
    script 'sleep 1000 & exit 0'
    start_detached
    wait_for has_status stopped
    local dir=/sys/fs/cgroup/pids/$ID
    [ -d "$dir" ] || dir=/sys/fs/cgroup/$ID
    [ -n "$(cat "$dir/cgroup.procs")" ]
    run hull kill "$ID" TERM
    exits 1
    says "not running"
    hull kill "$ID" KILL
    wait_for eval '[ -z "$(cat "'"$dir"'/cgroup.procs")" ]'
    run hull kill "$ID" KILL
    exits 1
    says "not running"
}

# Appended to: a file that is truncated in turn is empty nearly always where the disk is busy.
@test "pause stops all, resume lets them go on, state says so" {
    need_root
    script 'while :; do echo >>/tmp/count; sleep 0.01; done'
    start_detached
    local file=$BUNDLE/rootfs/tmp/count size
    wait_for [ -s "$file" ]
    hull pause "$ID"
    has_status paused
    hull list | grep -q paused
    size=$(stat -c %s "$file")
    sleep 0.2
    [ "$(stat -c %s "$file")" = "$size" ]
    hull resume "$ID"
    has_status running
    wait_for eval '[ "$(stat -c %s "'"$file"'")" -gt "'"$size"'" ]'
}

@test "pause and resume of what is not there, stopped, paused already, or not paused" {
    need_root
    run hull pause "$ID"
    exits 1
    says "container does not exist"
    at_rest
    start_detached
    run hull resume "$ID"
    exits 1
    says "not paused"
    hull pause "$ID"
    run hull pause "$ID"
    exits 1
    says paused
    hull kill "$ID" KILL
    wait_for has_status stopped
    run hull pause "$ID"
    exits 1
    says "not running"
}

@test "exec into a paused container is refused, or waits with --ignore-paused" {
    need_root
    at_rest
    start_detached
    hull pause "$ID"
    run hull exec "$ID" true
    exits 255
    says "cannot exec in a paused container"
    hull exec --ignore-paused "$ID" touch /tmp/after </dev/null &
    sleep 0.3
    [ ! -e "$BUNDLE/rootfs/tmp/after" ]
    hull resume "$ID"
    wait $!
    [ -e "$BUNDLE/rootfs/tmp/after" ]
}

@test "a paused container can be killed and deleted" {
    need_root
    at_rest
    start_detached
    hull pause "$ID"
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull delete "$ID"
    start_detached
    hull pause "$ID"
    timeout 20 "$HULL" --root "$STATE" delete --force "$ID"
    [ -z "$(directories "$ID")" ]
}

@test "a created container can be paused, and starts when it is resumed" {
    need_root
    cargo touch /tmp/ran
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null
    hull pause "$ID"
    has_status paused
    hull resume "$ID"
    has_status created
    hull start "$ID"
    wait_for [ -e "$BUNDLE/rootfs/tmp/ran" ]
}

@test "with a cgroup namespace the container sees its own cgroup as the root" {
    need_root
    config '.linux.namespaces += [{"type": "cgroup"}] | .linux.namespaces |= unique'
    cargo cat /proc/self/cgroup
    run_container
    exits 0
    [ -z "$(cut -d: -f3- <<<"$output" | grep -vx /)" ]
}

@test "the cgroup mount shows the container's own cgroup, read-only where it is asked for" {
    need_root
    config '.mounts |= map(select(.type != "cgroup")) + [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "ro"]}]'
    config '.linux.resources.pids.limit = 23'
    script 'cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null
        mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>/dev/null && echo writable; true'
    run_container
    exits 0
    output_is 23
    config '.linux.namespaces += [{"type": "cgroup"}] | .linux.namespaces |= unique'
    run_container
    exits 0
    output_is 23
}

@test "v2: with user and cgroup namespaces and a writable mount the cgroup is the container's to divide" {
    need_root
    is_v2 pids || skip "v1 is never given away"
    config '.linux.namespaces += [{"type": "cgroup"}, {"type": "user"}] | .linux.namespaces |= unique
        | .linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings
        | .mounts |= map(select(.type != "cgroup")) + [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev"]}]'
    chown -R 100000:100000 "$BUNDLE/rootfs"
    script 'cd /sys/fs/cgroup && mkdir inner && echo 0 >inner/cgroup.procs && echo +pids >cgroup.subtree_control && cat inner/pids.max'
    run_container
    exits 0
    output_is max
    config '.mounts[-1].options += ["ro"]'
    run_container
    [ "$status" != 0 ]
}

@test "--cgroup-manager=disabled: no cgroup, and limits are warned of" {
    need_root
    HULL_FLAGS=--cgroup-manager=disabled
    config '.linux.resources.pids.limit = 23'
    cargo cat /proc/self/cgroup
    run_container
    exits 0
    says_not "$ID"
    says "linux.resources"
    at_rest
    config 'del(.linux.resources)'
    start_detached
    run hull pause "$ID"
    exits 1
    says "no cgroup of its own"
}

@test "rootless without rights on cgroups: fine without limits, refused with them" {
    need_unprivileged_user
    chmod 755 "$DIR"
    local bundle=$DIR/rootless
    mkdir "$bundle" "$DIR/rstate"
    cp -a "$BUNDLE/rootfs" "$bundle/rootfs"
    (cd "$bundle" && "$HULL" spec --rootless)
    jq '.process.terminal = false | .process.args = ["true"]
        | (.linux.uidMappings, .linux.gidMappings)[0].hostID = '"$(id -u "$UNPRIVILEGED")" "$bundle/config.json" >"$bundle/c"
    mv "$bundle/c" "$bundle/config.json"
    jq '.linux.gidMappings[0].hostID = '"$(id -g "$UNPRIVILEGED")" "$bundle/config.json" >"$bundle/c"
    mv "$bundle/c" "$bundle/config.json"
    chown -R "$UNPRIVILEGED:" "$bundle" "$DIR/rstate"
    run as_user "$HULL" --root "$DIR/rstate" run --bundle "$bundle" "$ID" </dev/null
    exits 0
    jq '.linux.resources.pids.limit = 5' "$bundle/config.json" >"$bundle/c"
    mv "$bundle/c" "$bundle/config.json"
    run as_user "$HULL" --root "$DIR/rstate" run --bundle "$bundle" "$ID" </dev/null
    exits 1
    says linux.resources.pids
}
