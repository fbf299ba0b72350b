#!/usr/bin/env bats
# podman with hull-vm as its runtime: containers in virtual machines. Needs VMX or SVM (the lab has it) and the kernel that
# hull finds for guests. Machines start slowly where KVM itself is emulated, so each does as much as it can.

load ../integration/helpers
load podman

podman_lacks()
{
    if ! grep -qwE 'vmx|svm' /proc/cpuinfo; then
        echo "VMX or SVM (the lab has it)"
        return
    fi
    modprobe -q kvm_intel 2>/dev/null || modprobe -q kvm_amd 2>/dev/null || true
    [ -c /dev/kvm ] || echo /dev/kvm
}

podman_runtime()
{
    ln -s "$(realpath "$HULL")" "$BATS_FILE_TMPDIR/hull-vm"
    echo "$BATS_FILE_TMPDIR/hull-vm"
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
    # shellcheck disable=SC2086
    run ${EXPECT-} podman run --rm --network "${NETWORK:-none}" "${flags[@]}" localhost/busybox "$@" </dev/null
}

podman_start()
{
    podman run -d --name "$CONTAINER" --network none localhost/busybox "$@" </dev/null >/dev/null 2>"$DIR/stderr"
}

patient()
{
    wait_for "$@" 2>/dev/null || wait_for "$@" 2>/dev/null || wait_for "$@"
}

logs_say()
{
    podman logs "$CONTAINER" 2>&1 | grep -qx "$1"
}

@test "run: what is typed most, in one" {
    mkdir "$DIR/volume"
    chmod 777 "$DIR/volume"
    echo file >"$DIR/file"
    echo -n hidden >"$DIR/secret"
    podman secret create "s$ID" "$DIR/secret" >/dev/null
    podman_run --read-only --tmpfs /scratch --secret "s$ID" --memory 128m --pids-limit 50 --cap-drop ALL --user 1000:1000 \
        --group-add 2000 --env A=b --workdir /tmp --hostname boat -v "$DIR/volume:/rw" -v "$DIR/volume:/ro:ro" -v "$DIR/file:/etc/file:ro" -- \
        sh -c 'echo boot $(cat /proc/sys/kernel/random/boot_id); echo words >&2; echo $(id -u) $(id -G) $A $(pwd) $(hostname)
            echo secret $(cat /run/secrets/*); cat /etc/hosts /etc/file; echo shm $(stat -c %a /dev/shm)
            echo written >/rw/a; cat /ro/a; touch /ro/b; touch /scratch/c && echo scratch; touch /d
            echo memory $(awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo)
            grep CapBnd /proc/self/status; exit 3'
    podman secret rm "s$ID" >/dev/null
    exits 3
    says words
    says "1000 1000 2000 b /tmp boat"
    says "secret hidden"
    says "127.0.0.1"
    says $'\nfile\n'
    says "shm 1777"
    says $'\nwritten\n'
    says "/ro/b: Read-only file system"
    says $'\nscratch\n'
    says "/d: Read-only file system"
    says $'CapBnd:\t0000000000000000'
    says_not "boot $(cat /proc/sys/kernel/random/boot_id)"
    local memory
    memory=$(sed -n 's/^memory //p' <<<"$output")
    [ "$memory" -gt 70 ] && [ "$memory" -le 128 ]
    [ "$(cat "$DIR/volume/a")" = written ]
    [ "$(stat -c %u:%g "$DIR/volume/a")" = 1000:1000 ]
}

@test "run: 126 and 127 mean what podman's manual says" {
    EXPECT=-127 podman_run -- /no/such/program
    says "no such file or directory"
    EXPECT=-127 podman_run -- no-such-program
    says "not found"
    podman_run -- /etc/passwd
    exits 126
    says "permission denied"
}

@test "run -it gives a terminal" {
    run command script -qec "stty rows 33 cols 77; $PODMAN/podman run --rm -it --network none localhost/busybox \
        sh -c 'sleep 0.3; tty; stty size; exit 6'" /dev/null </dev/null
    exits 6
    says /dev/pts/
    says "33 77"
}

@test "run -d, logs, what sandboxes have not yet, stop; start again, a monitor that dies" {
    podman_start sh -c 'trap "echo bye; exit 9" TERM; echo hello; while :; do sleep 0.1; done'
    patient logs_say hello
    run podman exec "$CONTAINER" true </dev/null
    [ "$status" != 0 ]
    says "exec: not available for sandboxes yet"
    run podman pause "$CONTAINER"
    [ "$status" != 0 ]
    says "pause: not available for sandboxes yet"
    podman stop "$CONTAINER" >/dev/null
    logs_say bye
    run podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$CONTAINER"
    output_is "exited 9"
    podman start "$CONTAINER" >/dev/null
    local pid
    pid=$(podman inspect --format '{{.State.Pid}}' "$CONTAINER")
    [ "$(tr '\0' '\n' <"/proc/$pid/cmdline" | head -n 1)" = hull-vmm ]
    kill -9 "$pid"
    run podman wait "$CONTAINER"
    output_is 137
    podman rm "$CONTAINER" >/dev/null
    run podman ps --all --quiet
    output_is ""
}

@test "kill; a user namespace" {
    podman_start sleep 1000
    podman kill "$CONTAINER" >/dev/null
    run podman wait "$CONTAINER"
    output_is 137
    podman_run --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- sh -c 'id -u; touch /new && stat -c "%u:%g new" /new; stat -c "%u hosts" /etc/hosts; ls /run/.containerenv'
    exits 0
    says $'0\n0:0 new\n0 hosts\n/run/.containerenv'
}

@test "what a virtual machine cannot give is refused at once" {
    NETWORK=host podman_run -- true
    exits 126
    says 'without "network" the container would share the host'
    podman_run --pid host -- true
    exits 126
    says 'without "pid"'
    podman_run --device /dev/fuse -- true
    exits 126
    says "(/dev/fuse): a virtual machine cannot use the host's device"
    podman_run --privileged -- true
    exits 126
    says "more of them"
    ip netns add "$ID"
    ip -n "$ID" link set lo up
    ip -n "$ID" link add eth7 up type veth peer name eth8
    NETWORK=ns:/run/netns/$ID podman_run -- true
    ip netns del "$ID"
    exits 126
    says "has the interface eth7"
}
