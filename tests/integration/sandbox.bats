#!/usr/bin/env bats
# Containers in virtual machines, for real: needs VMX or SVM (the lab has it) and a kernel for guests:
#
#   GUEST_KERNEL  its file; without it the one that hull finds
#
# Machines start slowly where KVM itself is emulated, so each does as much as it can.

load helpers
eval "usual_$(declare -f setup)"

setup()
{
    usual_setup
    need_root
    grep -qwE 'vmx|svm' /proc/cpuinfo || skip "neither VMX nor SVM here: the lab has it"
    modprobe -q kvm_intel 2>/dev/null || modprobe -q kvm_amd 2>/dev/null || true
    [ -c /dev/kvm ] || skip "no /dev/kvm"
    KERNEL=(${GUEST_KERNEL:+--kernel "$GUEST_KERNEL"})
    export HULL_ISOLATION=vm TERMINAL_DEADLINE=150
    mkdir "$DIR/rw" "$DIR/ro"
    config --arg d "$DIR" '.mounts += [{destination: "/rw", type: "bind", source: ($d + "/rw"), options: ["rbind", "rw"]},
                                      {destination: "/ro", type: "bind", source: ($d + "/ro"), options: ["rbind", "ro"]}]'
}

# Run the bundle in a machine.
vm()
{
    run --separate-stderr timeout -k 5 "${DEADLINE:-150}" "$HULL" --root "$STATE" run --bundle "$BUNDLE" "${KERNEL[@]}" "$ID" 3>&- 4>&- </dev/null
    # shellcheck disable=SC2154
    output+=$'\n'$stderr
}

patient()
{
    local i
    for ((i = 0; i < 30; i++)); do
        wait_for "$@" 2>/dev/null && return 0
    done
    return 1
}

@test "an unchanged bundle has its own kernel, and works as in a container" {
    echo below >"$DIR/ro/file"
    config '.linux.resources = {memory: {limit: 268435456}, pids: {limit: 20}} | .vm.hwConfig = {vcpus: 2}
        | .process.capabilities |= map_values(. + ["CAP_CHOWN"]) | .hostname = "inside" | .process.env += ["MADE=here"] | .process.cwd = "/tmp"'
    # shellcheck disable=SC2016
    script 'echo boot $(cat /proc/sys/kernel/random/boot_id)
        echo cpus $(nproc)
        echo memory $(awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo)
        echo name $(hostname) $MADE $(pwd) $(id -u) pid $$
        echo stdin $(cat)
        echo words >&2
        echo volume $(cat /ro/file)
        touch /ro/more 2>/dev/null; echo ro $?
        echo written >/rw/file; echo rw $?
        touch /made && chmod 640 /made && chown 5:6 /made && ln -s made /link; echo made $?
        (i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i + 1)); done) 2>/dev/null; echo forks $?
        sh -c "kill -9 \$\$"; echo killed $?
        exit 42'
    run --separate-stderr timeout 150 "$HULL" --root "$STATE" run --bundle "$BUNDLE" "${KERNEL[@]}" "$ID" 3>&- 4>&- <<<'typed words'
    exits 42
    says "cpus 2"
    says "name inside here /tmp 0 pid 1"
    says "stdin typed words"
    says "volume below"
    says "ro 1"
    says "rw 0"
    says "made 0"
    says "forks 2" # pids.limit
    says "killed 137"
    says_not "boot $(cat /proc/sys/kernel/random/boot_id)"
    [ "$(head -n 1 <<<"$stderr")" = words ] # then the shell's own, on who was killed
    local memory
    memory=$(sed -n 's/^memory //p' <<<"$output")
    [ "$memory" -gt 150 ] && [ "$memory" -le 256 ]
    [ "$(cat "$DIR/rw/file")" = written ]
    [ "$(stat -c '%u:%g %a' "$BUNDLE/rootfs/made")" = "5:6 640" ]
    [ "$(readlink "$BUNDLE/rootfs/link")" = made ]
}

@test "what cannot be executed is told in the words of a container" {
    cargo nothing
    vm
    exits 1
    says 'exec: "nothing": executable file not found in $PATH'
    echo data >"$BUNDLE/rootfs/data"
    cargo /data
    vm
    exits 1
    says 'exec: "/data": permission denied'
    # What only execve can tell, in a guest without a console as well.
    printf '#!/no/interpreter\n' >"$BUNDLE/rootfs/script"
    chmod 755 "$BUNDLE/rootfs/script"
    cargo /script
    vm
    exits 1
    says 'hull: exec /script: no such file or directory'
}

@test "create, start, signals, state, kill, delete; a monitor that is killed leaves nothing" {
    # shellcheck disable=SC2016
    script 'trap "echo got usr1" USR1; trap "echo got segv" SEGV; trap "echo got 34" 34; trap "echo got term; exit 9" TERM
        [ $(cut -d. -f1 /proc/uptime) -gt 864000 ] && echo ready; while :; do sleep 0.1; done'
    config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 864000}, monotonic: {secs: 864000}}'
    timeout 150 "$HULL" --root "$STATE" create --bundle "$BUNDLE" "${KERNEL[@]}" "$ID" </dev/null >"$DIR/stdout" 2>&1 3>&- 4>&-
    has_status created
    [ "$(hull state "$ID" | jq -r .isolation)" = vm ]
    [ ! -s "$DIR/stdout" ]
    hull start "$ID"
    patient grep -qx ready "$DIR/stdout"
    has_status running
    [ "$(tr '\0' '\n' <"/proc/$(pid_of)/cmdline" | head -n 1)" = hull-vmm ]
    hull kill "$ID" USR1
    patient grep -qx 'got usr1' "$DIR/stdout"
    hull kill "$ID" SEGV
    patient grep -qx 'got segv' "$DIR/stdout"
    hull kill "$ID" 34
    patient grep -qx 'got 34' "$DIR/stdout"
    hull kill "$ID" TERM
    patient has_status stopped
    grep -qx 'got term' "$DIR/stdout"
    hull delete "$ID"
    script 'echo ready; sleep 1000'
    timeout 150 "$HULL" --root "$STATE" run --detach --bundle "$BUNDLE" "${KERNEL[@]}" "$ID" </dev/null >"$DIR/stdout" 2>&1 3>&- 4>&-
    patient grep -qx ready "$DIR/stdout"
    kill -9 "$(pid_of)"
    wait_for has_status stopped
    hull delete "$ID"
    [ -z "$(leftovers)" ]
}

@test "output that nobody takes: the sandbox waits for its reader, and no longer when it is told to end" {
    mkfifo "$DIR/fifo"
    sleep 300 <"$DIR/fifo" 3>&- 4>&- &
    local reader=$!
    script 'head -c 150000 /dev/zero; exit 6'
    (timeout 150 "$HULL" --root "$STATE" run --bundle "$BUNDLE" "${KERNEL[@]}" "$ID" </dev/null >"$DIR/fifo" 2>"$DIR/stderr" ||
        echo $? >"$DIR/status") 3>&- 4>&- &
    patient has_status running
    sleep 5
    has_status running
    hull kill "$ID" TERM
    patient test -s "$DIR/status"
    kill $reader
    [ "$(cat "$DIR/status")" = 6 ]
}

@test "a terminal, and its new size" {
    config '.process.terminal = true | .process.env += ["PS1=# "]'
    cargo sh
    run timeout 160 "$TESTS/integration/terminal.py" run -s 33x101 -r 44x122 -i 'tty; stty size' -i 'exit 6' -- \
        "$HULL" --root "$STATE" run --bundle "$BUNDLE" "${KERNEL[@]}" "$ID"
    exits 6
    says /dev/pts/0
    says "44 122"
}

@test "four CPUs and two gigabytes; a user namespace's owners" {
    config '.annotations = {"org.hull.vm.cpus": "4", "org.hull.vm.memory": "2g"} | .linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}] | .linux.gidMappings = .linux.uidMappings
        | .process.capabilities |= map_values(. + ["CAP_CHOWN"])'
    chown -hR 100000:100000 "$BUNDLE/rootfs"
    # shellcheck disable=SC2016
    script 'echo cpus $(nproc); echo memory $(awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo)
        echo owner $(stat -c %u:%g /bin/busybox); touch /tmp/mine; chown 7:8 /tmp/mine'
    vm
    exits 0
    says "cpus 4"
    says "owner 0:0"
    [ "$(sed -n 's/^memory //p' <<<"$output")" -gt 1800 ]
    [ "$(stat -c %u:%g "$BUNDLE/rootfs/tmp/mine")" = 100007:100008 ]
}

all_rights='.process.capabilities |= map_values($caps) | del(.linux.seccomp, .linux.maskedPaths, .linux.readonlyPaths)
    | .process.noNewPrivileges = false | .linux.resources.devices = [{allow: true, access: "rwm"}]'

with_all_rights()
{
    config --argjson caps "$(capsh --print | sed -n 's/^Bounding set *=//p' | tr , '\n' | tr a-z A-Z | jq -R . | jq -s .)" "$all_rights"
}

@test "a guest's root with all rights: what is read-only stays as it is, no device, nothing but what is shared" {
    mkdir "$DIR/ro/directory"
    echo below >"$DIR/ro/file"
    echo above >"$DIR/secret"
    with_all_rights
    # The whole tree again, by a mount of the guest's own, with the host's other files out of reach.
    # shellcheck disable=SC2016
    script 'ls /hull 2>/dev/null && echo seen
        attack() {
            cd "$1" || return
            rm -rf file directory; mv directory other; mv file other; chmod 777 file directory .; chown 7:7 file
            echo x >file; echo x >new; mkdir new; ln file new; ln -s /etc new; mknod new c 1 3; touch -d 2001-01-01 file
            setfattr -n user.x -v y file; truncate -s 0 file; mount -o remount,rw,bind "$1"; rm -rf file directory
            cat ../secret ../../secret ../../../secret "$2"/secret
        }
        attack /ro / >/dev/null 2>&1
        mkdir /again; mount -t virtiofs hull /again || echo no second mount
        ls /again
        attack /again/volumes/1 /again >/dev/null 2>&1
        attack /hull/volumes/1 /hull >/dev/null 2>&1
        touch /again/volumes/new /again/new 2>/dev/null
        mknod /rw/disk b 8 0; mknod /rw/null c 1 3
        rm -rf /rw/*; echo written >/rw/file; chmod 4755 /rw/file; echo end'
    local before after
    before=$(find "$DIR/ro" "$DIR/secret" -printf '%p %m %U:%G %T@ %y %n\n' | sort)
    vm
    exits 0
    says end
    says_not seen
    says_not above
    after=$(find "$DIR/ro" "$DIR/secret" -printf '%p %m %U:%G %T@ %y %n\n' | sort)
    [ "$before" = "$after" ]
    [ "$(cat "$DIR/ro/file")" = below ]
    [ "$(ls "$DIR")" = "$(printf '%s\n' bundle config.edited ro rw secret state)" ]
    [ -z "$(find "$DIR/rw" "$BUNDLE/rootfs" -type b -o -type c)" ]
}

@test "the guest's kernel panics: told in words, no hang, nothing left" {
    with_all_rights
    script 'echo before; echo c >/proc/sysrq-trigger || exit 77; sleep 100'
    vm
    [ "$status" != 77 ] || skip "this kernel has no sysrq-trigger"
    exits 125
    says before
    says "the sandbox's machine ended while the process runs"
    says "a kernel panic"
    [ ! -e "$STATE/$ID" ]
}

@test "a reboot is the container's end; a guest that runs out of memory kills who took it" {
    with_all_rights
    script 'reboot -f; sleep 100'
    vm
    exits 129
    config '.linux.resources.memory.limit = 134217728'
    script 'tail /dev/zero; echo killed $?; exit 5'
    vm
    exits 5
    says "killed 137"
}

holds_fewer_files_than()
{
    [ "$(ls "/proc/$(pid_of)/fd" | wc -l)" -lt "$1" ]
}

# Each file that a guest knows is an open one of hull-vmm's, and keeps memory of the host's that the cgroup counts.
@test "a walk through very many files: hull-vmm does not grow with them" {
    (cd "$DIR/rw" && seq 14000 | xargs touch)
    config '.linux.resources.memory.limit = 134217728'
    script 'ls -l /rw | wc -l; sleep 5; echo walked; sleep 1000'
    timeout 150 "$HULL" --root "$STATE" run --detach --bundle "$BUNDLE" "${KERNEL[@]}" "$ID" </dev/null >"$DIR/stdout" 2>&1 3>&- 4>&-
    patient grep -qx walked "$DIR/stdout"
    grep -qx 14001 "$DIR/stdout"
    patient holds_fewer_files_than 11500 # it forgets by the by, at the machine's pace
    hull delete --force "$ID"
}

@test "POSIX semantics of a volume" {
    local checks
    checks=$(dirname "$HULL")/tests/posix/posix-checks
    [ -x "$checks" ] || skip "no posix-checks beside hull: make check"
    cp "$checks" "$BUNDLE/rootfs/"
    with_all_rights
    script '/posix-checks /rw >/tap; echo checks $?'
    DEADLINE=400 vm
    grep -v ^ok "$BUNDLE/rootfs/tap" || true
    exits 0
    says "checks 0"
    [ "$(grep -c ^ok "$BUNDLE/rootfs/tap")" -ge 100 ]
}

@test "no kernel, no /dev/kvm: clear errors, and no container instead" {
    cargo touch /ran
    run "$HULL" --root "$STATE" run --kernel /nowhere --bundle "$BUNDLE" "$ID" </dev/null
    exits 1
    says "/nowhere: No such file or directory"
    run "$HULL" --root "$STATE" run --kernel /bin/busybox --bundle "$BUNDLE" "$ID" </dev/null
    exits 1
    says '--kernel'
    # shellcheck disable=SC2016
    run unshare -m sh -c 'mount --bind /dev/null /dev/kvm && "$@"' sh "$HULL" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null
    exits 1
    says /dev/kvm
    [ ! -e "$BUNDLE/rootfs/ran" ]
}
