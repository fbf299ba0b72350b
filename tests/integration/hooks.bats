#!/usr/bin/env bats
# Hooks: their order, the namespaces they run in, the state on stdin, timeouts and failures (runtime-spec, config.md#posix-platform-hooks).

load helpers

# hook TYPE SCRIPT [TIMEOUT]: run by the host's shell, or the container's for those that run there.
hook()
{
    config --arg type "$1" --arg script "$2" --argjson timeout "${3:-null}" '.hooks[$type] += [
        {path: "/bin/sh", args: ["sh", "-c", $script], env: ["PATH=/bin:/usr/bin"]}
        + (if $timeout then {timeout: $timeout} else {} end)]'
}

@test "all six, in the order of the specification" {
    cp /bin/busybox "$DIR/busybox"
    local type
    for type in prestart createRuntime createContainer poststart poststop; do
        hook "$type" "cat >$DIR/$type.state; echo $type >>$DIR/order"
    done
    mkdir "$BUNDLE/rootfs/out"
    chmod 777 "$BUNDLE/rootfs/out"
    hook startContainer "cat >/out/startContainer.state; echo startContainer >>/out/order"
    script 'echo process >>/out/order; sleep 0.3'
    hull create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
    [ "$(cat "$DIR/order")" = $'prestart\ncreateRuntime\ncreateContainer' ]
    [ ! -e "$BUNDLE/rootfs/out/order" ]
    hull start "$ID"
    wait_for has_status stopped
    [ "$(cat "$BUNDLE/rootfs/out/order")" = $'startContainer\nprocess' ]
    [ "$(tail -n 1 "$DIR/order")" = poststart ]
    hull delete "$ID"
    [ "$(tail -n 1 "$DIR/order")" = poststop ]
    # The state document on stdin: id and bundle in each, the status of the moment.
    local file
    for file in "$DIR"/*.state "$BUNDLE/rootfs/out/startContainer.state"; do
        jq -e --arg id "$ID" --arg bundle "$BUNDLE" '.id == $id and .bundle == $bundle and (.ociVersion | length) > 0' "$file"
    done
    jq -e '.status == "creating" and .pid > 0' "$DIR/createRuntime.state"
    jq -e '.status == "created"' "$BUNDLE/rootfs/out/startContainer.state"
    jq -e '.status == "running"' "$DIR/poststart.state"
    jq -e '.status == "stopped"' "$DIR/poststop.state"
}

@test "createRuntime runs in the host's namespaces, createContainer in the container's before pivot" {
    hook createRuntime "readlink /proc/self/ns/mnt /proc/self/ns/uts >$DIR/runtime"
    hook createContainer "readlink /proc/self/ns/uts >$DIR/container; ls -d $BUNDLE/rootfs/dev/null $BUNDLE/rootfs/proc/self >>$DIR/container"
    script 'readlink /proc/self/ns/uts'
    run_container
    exits 0
    [ "$(cat "$DIR/runtime")" = "$(readlink /proc/self/ns/mnt /proc/self/ns/uts)" ]
    [ "$(head -n 1 "$DIR/container")" = "$output" ]
    grep -q dev/null "$DIR/container"
}

@test "args[0] and env are the configuration's alone; the path is executed" {
    export OF_THE_HOST=1
    printf '#!/bin/sh\nenv | grep -vE "^(PWD|_|SHLVL)=" | sort >%s/env; echo "$1" >%s/args\n' "$DIR" "$DIR" >"$DIR/hook"
    chmod 755 "$DIR/hook"
    config --arg path "$DIR/hook" '.hooks.createRuntime = [{path: $path, args: ["zero", "one"], env: ["A=1"]}]'
    cargo true
    run_container
    exits 0
    [ "$(cat "$DIR/env")" = A=1 ]
    [ "$(cat "$DIR/args")" = one ]
}

@test "a hook that fails before start ends the creation; its name and words are in the error; poststop runs" {
    local type
    for type in prestart createRuntime createContainer; do
        config 'del(.hooks)'
        hook "$type" "echo why it failed >&2; exit 3"
        hook poststop "echo poststop >>$DIR/poststop"
        script "echo ran"
        run_container
        [ "$status" != 0 ]
        says "$type"
        says_not ran
        run hull state "$ID"
        exits 1
    done
}

@test "a startContainer hook that fails keeps the process from running" {
    hook startContainer "exit 3"
    cargo echo ran
    run_container
    [ "$status" != 0 ]
    says_not $'ran\n'
    says startContainer
}

@test "a hook that does not end is killed at its timeout" {
    hook createRuntime "sleep 100 & echo \$! >$DIR/sleeper; wait" 1
    cargo echo ran
    local began=$SECONDS
    run_container
    [ "$status" != 0 ]
    [ $((SECONDS - began)) -lt 5 ]
    says createRuntime
    kill "$(cat "$DIR/sleeper")" 2>/dev/null || true
}

@test "a failing poststop hook is warned of, the container is deleted all the same, later hooks run" {
    hook poststop "exit 1"
    hook poststop "echo second >$DIR/second"
    cargo true
    start_detached
    wait_for has_status stopped
    run hull delete "$ID"
    says poststop
    [ "$(cat "$DIR/second")" = second ]
    run hull state "$ID"
    exits 1
}

@test "hooks get no descriptor of the runtime's" {
    hook createRuntime "ls -l /proc/\$\$/fd >$DIR/fds; true"
    cargo true
    run_container
    exits 0
    # Its own output, stdin, and the shell's copies of them; no socket, no directory, no pid.
    cat "$DIR/fds"
    ! grep -E -- '-> (socket|pipe|anon_inode|/proc|.*/(bundle|state))' "$DIR/fds"
}
