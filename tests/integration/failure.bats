#!/usr/bin/env bats
# Whatever goes wrong while a container is made, nothing of it is left: each failure point of a build with
# --enable-fault-injection (runtime/fault.h) in turn, once as an error and once as a kill -9 on the spot; then signals
# during hooks that hang, and failures that need no injection.

load helpers
eval "usual_$(declare -f setup)"

setup_file()
{
    local top=$BATS_TEST_DIRNAME/../..
    export FAULTY=$top/build/fault/hull
    mkdir -p "$top/build/fault"
    (
        flock 9
        cd "$top/build/fault"
        [ -e ../../configure ] || (cd ../.. && autoreconf -fi)
        [ -e Makefile ] || ../../configure --enable-fault-injection -q
        make hull
    ) 9>"$top/build/fault.lock" >"$top/build/fault/log" 2>&1 3>&- 4>&- || {
        cat "$top/build/fault/log" >&2
        return 1
    }
}

# All points: those named in the code, and the steps of init, which its table names.
points()
{
    grep -rhoE 'FAULT_POINT\("[a-z-]+"' "$TOP/runtime" "$TOP/namespaces" | cut -d'"' -f2
    sed -n '/^} steps\[\]/,/^};/p' "$TOP/runtime/init.c" | grep -oE '\{"[^"]+"' | cut -d'"' -f2
}

# Points behind `start`, where create has nothing to fail at any more.
after_start()
{
    [[ $1 == execve || $1 == start-hooks || $1 == exec ]]
}

# A user namespace, so that mapping ids is among the steps.
setup()
{
    HULL=$FAULTY
    usual_setup
    mounts >"$DIR/mounts.before"
    config '.linux.namespaces += [{"type": "user"}] |
        .linux.uidMappings = [{"containerID": 0, "hostID": 700000, "size": 65536}] |
        .linux.gidMappings = .linux.uidMappings'
    chown -R 700000:700000 "$BUNDLE/rootfs"
    cargo true
}

faulty()
{
    local point=$1
    shift
    # Into a file: a created container keeps its standard output, and `run` would wait for the end of it.
    status=0
    env HULL_FAULT="$point" timeout 20 "$HULL" --root "$STATE" "$@" --bundle "$BUNDLE" --pid-file "$DIR/pid" "$ID" \
        </dev/null >"$DIR/out" 2>&1 3>&- 4>&- || status=$?
    output=$(cat "$DIR/out")
}

# The host's mounts, but for places where other tests work at the same time; ours, $DIR, is in leftovers().
mounts()
{
    grep -vE '^([^ ]+ ){4}/(tmp|run|var)/' /proc/self/mountinfo
}

# Mounts and processes; the state directory and the cgroup it names are the next function's business.
unchanged()
{
    local left
    diff "$DIR/mounts.before" <(mounts)
    left=$(leftovers)
    if [[ $left == *process* ]]; then
        sleep 0.3 # a process that was just killed may still be on its way out
        left=$(leftovers)
    fi
    left=$(grep -v -e "^$STATE/" -e "^/sys/fs/cgroup/" <<<"$left") || true
    [ -z "$left" ] || {
        printf 'left behind:\n%s\n' "$left" >&2
        return 1
    }
}

nothing_left()
{
    unchanged
    [ ! -e "$STATE/$ID" ]
    [ -z "$(find /sys/fs/cgroup -type d -name "*$ID*")" ]
    [ ! -e "$DIR/pid" ]
    [ -z "$(find "$DIR" -maxdepth 1 -name '*.pid*' -o -maxdepth 1 -name '.*' ! -name . ! -path "$DIR")" ]
}

one_error()
{
    [ "$(grep -c '^hull: ' <<<"$output")" = 1 ]
    says "injected fault at $1"
}

@test "the points of failure are found" {
    local all
    all=$(points | sort -u)
    [ "$(wc -l <<<"$all")" -ge 20 ]
    [ -z "$(points | sort | uniq -d)" ]
}

@test "create fails at each point with one error, and leaves nothing" {
    local point
    for point in $(points); do
        echo "at $point"
        faulty "$point" create
        if after_start "$point"; then
            exits 0
            env HULL_FAULT= timeout 20 "$HULL" --root "$STATE" start "$ID"
            wait_for has_status stopped
            timeout 20 "$HULL" --root "$STATE" delete "$ID"
            rm "$DIR/pid"
        else
            exits 1
            one_error "$point"
        fi
        nothing_left
    done
}

@test "run fails at each point with one error, and leaves nothing" {
    local point
    for point in $(points); do
        echo "at $point"
        faulty "$point" run
        exits 1
        one_error "$point"
        nothing_left
    done
}

# A pid file is there whole or not at all.
pid_file_is_whole()
{
    [ ! -e "$DIR/pid" ] || [[ $(cat "$DIR/pid") =~ ^[0-9]+$ ]]
    rm -f "$DIR/pid"
}

@test "a kill -9 at each point of create leaves nothing that delete --force does not remove" {
    local point
    for point in $(points); do
        echo "at $point"
        faulty "$point:kill" create
        after_start "$point" || [ "$status" != 0 ]
        ! after_start "$point" || timeout 20 "$HULL" --root "$STATE" start "$ID"
        after_start "$point" || unchanged
        timeout 20 "$HULL" --root "$STATE" delete --force "$ID"
        pid_file_is_whole
        nothing_left
    done
}

@test "a kill -9 at each point of run leaves nothing that delete --force does not remove" {
    local point
    for point in $(points); do
        echo "at $point"
        faulty "$point:kill" run
        [ "$status" != 0 ]
        unchanged
        timeout 20 "$HULL" --root "$STATE" delete --force "$ID"
        pid_file_is_whole
        nothing_left
    done
}

# The same for sandboxes; in hull-vmm's place stands the one of sandbox-jail.bats, so that no virtual machine is needed.
make_sandbox()
{
    [ -c /dev/kvm ] || skip "no /dev/kvm"
    mkdir -m 755 "$DIR/bin" "$DIR/kernel"
    "${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -static -I"$TOP" -o "$DIR/bin/hull-vmm" "$TOP/tests/integration/jail-vmm.c" \
        "$TOP/build/fault/libhull.a" 2>"$DIR/cc.log" || skip "jail-vmm.c does not build here: $(tail -n 1 "$DIR/cc.log")"
    cp "$FAULTY" "$DIR/bin/hull"
    HULL=$DIR/bin/hull
    touch "$DIR/bin/config.status" "$DIR/kernel/vmlinux" "$DIR/kernel/initrd"
    config --arg d "$DIR" '.vm = {kernel: {path: ($d + "/kernel/vmlinux"), initrd: ($d + "/kernel/initrd")}}'
}

@test "a sandbox: create fails at each point with one error, and leaves nothing" {
    local point failed=0
    make_sandbox
    for point in $(points); do
        echo "at $point"
        faulty "$point" create
        if [ "$status" = 0 ]; then # not on its road
            timeout 20 "$HULL" --root "$STATE" delete --force "$ID"
            rm "$DIR/pid"
        else
            exits 1
            one_error "$point"
            failed=$((failed + 1))
        fi
        nothing_left
    done
    [ $failed -ge 20 ]
}

@test "a sandbox: a kill -9 at each point of create leaves nothing that delete --force does not remove" {
    local point
    make_sandbox
    for point in $(points); do
        echo "at $point"
        faulty "$point:kill" create
        [ "$status" = 0 ] || unchanged
        timeout 20 "$HULL" --root "$STATE" delete --force "$ID"
        pid_file_is_whole
        nothing_left
    done
}

@test "exec fails at each of its points with one error, and the container goes on" {
    local point
    cargo sleep 1000
    start_detached
    for point in child-start process-attributes cwd execve; do
        echo "at $point"
        run env HULL_FAULT=$point timeout 20 "$HULL" --root "$STATE" exec --pid-file "$DIR/pid" "$ID" true </dev/null
        [ "$status" != 0 ]
        one_error "$point"
        [ ! -e "$DIR/pid" ] || [ "$point" = execve ]
        [ "$(status_of)" = running ]
    done
}

@test "mounts that fail in the middle of the plan leave nothing" {
    local options
    for options in '{"destination": "/mnt", "type": "bind", "source": "/nonexistent", "options": ["rbind"]}' \
        '{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=what"]}' \
        '{"destination": "/mnt", "type": "nosuchfs", "source": "none"}'; do
        config --argjson m "$options" '.mounts |= map(select(.destination != "/mnt")) + [$m]'
        faulty none create
        exits 1
        [ "$(grep -c '^hull: ' <<<"$output")" = 1 ]
        says /mnt
        nothing_left
    done
}

# hanging_hook TYPE: one that hangs, with a child of its own, and says when it is there. The names of both are in
# $DIR, so that leftovers() knows them.
hanging_hook()
{
    mkdir -p "$DIR/there"
    chmod 777 "$DIR/there"
    rm -f "$DIR/there/child"
    printf '#!/bin/sh\nsh -c "while sleep 1; do :; done" %s/child &\necho >%s/there/child\nwait\n' "$DIR" "$DIR" >"$DIR/hook"
    chmod 755 "$DIR/hook"
    config --arg type "$1" --arg path "$DIR/hook" 'del(.hooks) | .hooks[$type] = [{"path": $path}]'
}

hook_hangs()
{
    [ -e "$DIR/there/child" ]
}

@test "SIGTERM and SIGINT during a hook that hangs end hull and the hook, and leave nothing" {
    local type command signal pid code
    for type in prestart createRuntime createContainer poststart; do
        for command in create run; do
            [ "$type" != poststart ] || [ "$command" = run ] || continue
            for signal in TERM INT; do
                echo "$signal during $type of $command"
                hanging_hook $type
                cargo sleep 1000
                timeout 20 "$HULL" --root "$STATE" $command --bundle "$BUNDLE" --pid-file "$DIR/pid" "$ID" \
                    </dev/null >"$DIR/out" 2>&1 3>&- 4>&- &
                pid=$! code=0
                wait_for hook_hangs
                kill -$signal "$(pgrep -P $pid)"
                wait $pid || code=$?
                cat "$DIR/out"
                [ "$code" = $((128 + $(kill -l $signal))) ]
                grep -q "interrupted by SIG$signal" "$DIR/out"
                nothing_left
            done
        done
    done
}

@test "a hook that hangs dies with a hull that is killed, and delete --force removes the rest" {
    local pid
    hanging_hook createRuntime
    cargo sleep 1000
    "$HULL" --root "$STATE" create --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/out" 2>&1 3>&- 4>&- &
    pid=$!
    wait_for hook_hangs
    kill -9 $pid
    wait $pid || true
    run pgrep -f "$DIR/hook"
    output_is ""
    kill -9 $(pgrep -f "$DIR/child")
    hull delete --force "$ID"
    nothing_left
}

@test "delete --force waits for a create that is under way instead of cutting into it" {
    local pid deleter
    hanging_hook createRuntime
    "$HULL" --root "$STATE" create --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/out" 2>&1 3>&- 4>&- &
    pid=$!
    wait_for hook_hangs
    hull delete --force "$ID" </dev/null >"$DIR/deleted" 2>&1 &
    deleter=$!
    sleep 0.3
    kill -0 $deleter
    kill -TERM $pid
    wait $pid || true
    wait $deleter
    nothing_left
}
