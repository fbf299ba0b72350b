#!/usr/bin/env bats
# podman (Debian's, 4.3) with hull as its runtime, without cgroups and without a network: what people type, and the exit
# codes they get. The image is made in place from the busybox root of the other tests.

load ../integration/helpers
load podman

# podman run [flags] -- COMMAND...: in the foreground, gone afterwards.
podman_run()
{
    local flags=()
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    shift
    # shellcheck disable=SC2086
    run ${EXPECT-} podman run --rm --cgroups=disabled --network "${NETWORK:-none}" "${flags[@]}" localhost/busybox "$@" </dev/null
}

podman_start()
{
    podman run -d --name "$CONTAINER" --cgroups=disabled --network none localhost/busybox "$@" </dev/null >/dev/null 2>"$DIR/stderr"
}

@test "run: output, error output, exit code" {
    podman_run -- sh -c 'echo out; echo err >&2; exit 3'
    exits 3
    says out
    says err
}

@test "run: 125, 126 and 127 mean what podman's manual says" {
    podman_run --no-such-flag -- true
    exits 125
    EXPECT=-127 podman_run -- /no/such/program
    says "no such file or directory"
    EXPECT=-127 podman_run -- no-such-program
    says "not found"
    podman_run -- /etc/passwd
    exits 126
    podman_run -- /etc
    exits 126
}

@test "exec: output, exit codes, 126 and 127" {
    podman_start sleep 1000
    run podman exec "$CONTAINER" sh -c 'echo inside; exit 5' </dev/null
    exits 5
    says inside
    run -127 podman exec "$CONTAINER" /no/such/program </dev/null
    run podman exec "$CONTAINER" /etc/passwd </dev/null
    exits 126
}

@test "exec: environment, user, directory, stdin" {
    podman_start sleep 1000
    run podman exec --env A=b --user 1000 --workdir /tmp "$CONTAINER" sh -c 'echo $A; id -u; pwd' </dev/null
    output_is $'b\n1000\n/tmp'
    run podman exec -i "$CONTAINER" cat <<<"through stdin"
    output_is "through stdin"
}

@test "run -it and exec -it give a terminal" {
    podman_start sleep 1000
    run command script -qec "stty rows 33 cols 77; $PODMAN/podman exec -it $CONTAINER sh -c 'tty; stty size; exit 4'" /dev/null </dev/null
    exits 4
    says /dev/pts/
    says "33 77"
    run command script -qec "stty rows 33 cols 77; $PODMAN/podman run --rm -it --cgroups=disabled --network none localhost/busybox \
        sh -c 'sleep 0.3; tty; stty size; exit 6'" /dev/null </dev/null
    exits 6
    says /dev/pts/
    says "33 77"
}

@test "run -d, logs, stop: the process gets SIGTERM, its exit code is kept" {
    podman_start sh -c 'trap "echo bye; exit 9" TERM; echo hello; while :; do sleep 0.1; done'
    wait_for bash -c "$PODMAN/podman logs $CONTAINER | grep hello"
    podman stop "$CONTAINER" >/dev/null
    run podman logs "$CONTAINER"
    says hello
    says bye
    run podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$CONTAINER"
    output_is "exited 9"
}

@test "kill, wait, start again, rm -f" {
    podman_start sleep 1000
    podman kill "$CONTAINER" >/dev/null
    run podman wait "$CONTAINER"
    output_is 137
    podman start "$CONTAINER" >/dev/null
    run podman inspect --format '{{.State.Status}}' "$CONTAINER"
    output_is running
    podman rm -f -t 0 "$CONTAINER" >/dev/null
    run podman ps --all --quiet
    output_is ""
}

@test "volumes: read-write, read-only, a single file" {
    mkdir "$DIR/volume"
    echo file >"$DIR/file"
    podman_run -v "$DIR/volume:/rw" -v "$DIR/volume:/ro:ro" -v "$DIR/file:/etc/file:ro" -- \
        sh -c 'echo written >/rw/a; cat /ro/a /etc/file; touch /ro/b'
    exits 1
    says written
    says file
    says "Read-only file system"
    [ "$(cat "$DIR/volume/a")" = written ]
}

@test "a read-only root, tmpfs" {
    podman_run --read-only --tmpfs /scratch -- sh -c 'touch /scratch/a && echo ok; touch /a'
    exits 1
    says ok
    says "/a: Read-only file system"
}

@test "a secret, in a read-only root as well" {
    echo -n hidden >"$DIR/secret"
    podman secret create "s$ID" "$DIR/secret" >/dev/null
    podman_run --read-only --secret "s$ID" -- cat "/run/secrets/s$ID"
    podman secret rm "s$ID" >/dev/null
    exits 0
    output_is hidden
}

@test "user, groups, environment, directory, hostname" {
    podman_run --user 1000:1000 --group-add 2000 --env A=b --workdir /tmp --hostname boat -- \
        sh -c 'id -u; id -G; echo $A; pwd; hostname'
    exits 0
    output_is $'1000\n1000 2000\nb\n/tmp\nboat'
}

@test "capabilities: added, dropped, none" {
    podman_run --cap-add SYS_TIME --cap-drop CHOWN -- grep CapEff /proc/self/status
    local caps=$((16#${output##*[^0-9a-f]}))
    ((caps >> 25 & 1)) && ! ((caps & 1))
    podman_run --cap-drop ALL -- grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status
    [ "$(grep -c 0000000000000000 <<<"$output")" = 3 ]
}

@test "seccomp: podman's profile by default, none when unconfined; no-new-privileges" {
    podman_run -- grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status
    output_is $'NoNewPrivs:\t0\nSeccomp:\t2'
    podman_run --security-opt seccomp=unconfined --security-opt no-new-privileges -- grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status
    output_is $'NoNewPrivs:\t1\nSeccomp:\t0'
}

@test "the host's network" {
    NETWORK=host podman_run -- readlink /proc/self/ns/net
    output_is "$(readlink /proc/self/ns/net)"
}

@test "namespaces shared between containers" {
    podman_start sleep 1000
    NETWORK=container:$CONTAINER podman_run --ipc "container:$CONTAINER" -- sh -c 'readlink /proc/self/ns/net; readlink /proc/self/ns/ipc'
    exits 0
    local pid
    pid=$(podman inspect --format '{{.State.Pid}}' "$CONTAINER")
    says "$(readlink "/proc/$pid/ns/net")"
    says "$(readlink "/proc/$pid/ns/ipc")"
}

@test "a user namespace of its own" {
    podman_run --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- sh -c 'cat /proc/self/uid_map; id -u; touch /new && stat -c %u /new'
    exits 0
    says 100000
    [ "${lines[1]}" = 0 ]
    [ "${lines[2]}" = 0 ]
}

@test "rootless podman: run, exec, rm" {
    need_unprivileged_user
    mkdir "$DIR/home" "$DIR/run"
    cp "$PODMAN/busybox.tar" "$PODMAN/containers.conf" "$DIR/home"
    sed "s|$PODMAN/run|$DIR/run/podman|; s|$PODMAN|$DIR/home|g" "$PODMAN/podman" >"$DIR/home/podman"
    chmod 755 "$DIR/home/podman"
    chown -R "$UNPRIVILEGED:" "$DIR/home" "$DIR/run"
    rootless()
    {
        (cd "$DIR/home" && as_user HOME="$DIR/home" XDG_RUNTIME_DIR="$DIR/run" "$DIR/home/podman" "$@")
    }
    rootless import "$DIR/home/busybox.tar" localhost/busybox >/dev/null 2>&1
    run rootless run --rm --cgroups=disabled --network none localhost/busybox sh -c 'id -u; wc -l </proc/self/uid_map; exit 3' </dev/null
    exits 3
    output_is $'0\n2'
    rootless run -d --name "$CONTAINER" --cgroups=disabled --network none --user 1000 localhost/busybox sleep 1000 </dev/null >/dev/null 2>&1
    run rootless exec "$CONTAINER" id -u </dev/null
    exits 0
    output_is 1000
    rootless rm -f -t 0 "$CONTAINER" >/dev/null 2>&1
    as_user HOME="$DIR/home" XDG_RUNTIME_DIR="$DIR/run" timeout 20 podman unshare rm -rf "$DIR/home/storage" "$DIR/run/podman"
}
