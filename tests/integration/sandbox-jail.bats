#!/usr/bin/env bats
# What a sandbox is on the host: the tree, the rights, the descriptors and the namespaces that hull-vmm begins its life with.
# No virtual machine is made: in hull-vmm's place stands jail-vmm.c, which says what it was given.

load helpers
eval "usual_$(declare -f setup)"
eval "usual_$(declare -f teardown)"

setup_file()
{
    local build
    build=$(dirname "$HULL")
    "${CC:-cc}" -std=gnu17 -D_GNU_SOURCE -static -I"$TOP" -o "$BATS_FILE_TMPDIR/jail-vmm" "$TOP/tests/integration/jail-vmm.c" \
        "$build/libhull.a" 2>"$BATS_FILE_TMPDIR/cc.log" || rm -f "$BATS_FILE_TMPDIR/jail-vmm"
}

# A hull that finds jail-vmm beside itself: config.status marks a build tree (base/helper.c).
setup()
{
    usual_setup
    need_root
    [ -c /dev/kvm ] || skip "no /dev/kvm"
    [ -x "$BATS_FILE_TMPDIR/jail-vmm" ] || skip "jail-vmm.c does not build here: $(tail -n 1 "$BATS_FILE_TMPDIR/cc.log")"
    mkdir "$DIR/bin" "$DIR/kernel" "$DIR/one" "$DIR/two"
    cp "$HULL" "$DIR/bin/hull"
    cp "$BATS_FILE_TMPDIR/jail-vmm" "$DIR/bin/hull-vmm"
    touch "$DIR/bin/config.status" "$DIR/kernel/vmlinux" "$DIR/kernel/initrd"
    HULL=$DIR/bin/hull
    config --arg d "$DIR" '.vm = {kernel: {path: ($d + "/kernel/vmlinux"), initrd: ($d + "/kernel/initrd")}}
        | .mounts += [{destination: "/one", type: "bind", source: ($d + "/one"), options: ["rbind", "rw"]},
                      {destination: "/two", source: ($d + "/two"), options: ["bind", "ro"]}]'
}

teardown()
{
    ip netns del "$ID" 2>/dev/null || true
    usual_teardown
}

refused()
{
    run_container
    exits 1
    says "$1"
    [ ! -e "$STATE/$ID" ]
}

# The lines of the output that begin with a word, without it.
lines()
{
    sed -n "s/^$1 //p" <<<"$output"
}

@test "the tree is the root and the volumes in order, nothing else; read-only where config.json says so, on the host" {
    run_container
    exits 0
    [ "$(lines 'entry \.' | sort)" = $'rootfs\nvolumes' ]
    [ "$(lines 'entry volumes' | sort)" = $'0\n1' ]
    lines 'entry rootfs' | grep -qx bin
    [ "$(lines mount | cut -d, -f1 | sort)" = $'/ ro\n/rootfs rw\n/volumes/0 rw\n/volumes/1 ro' ]
    # Nothing that is shared can be a device, be executed, or give rights.
    [ "$(lines mount | grep -c 'nosuid,nodev,noexec')" = 4 ]
    says "write rootfs/written ok"
    says "write volumes/0/written ok"
    says "write volumes/1/written EROFS"
    [ -e "$BUNDLE/rootfs/written" ] && [ -e "$DIR/one/written" ] && [ ! -e "$DIR/two/written" ]
    # The bundle's root gets no devices, and the host keeps no mount.
    [ -z "$(find "$BUNDLE/rootfs/dev" "$BUNDLE/rootfs/proc" -mindepth 1)" ]
}

@test "a read-only root is so on the host, with the mount points in it that the guest cannot make" {
    echo x >"$DIR/file"
    rmdir "$BUNDLE/rootfs/proc"
    config --arg f "$DIR/file" '.root.readonly = true | .process.cwd = "/made/cwd"
        | .mounts += [{destination: "/etc/made", type: "bind", source: $f, options: ["bind"]},
                      {destination: "/deep/scratch", type: "tmpfs"}]'
    run_container
    exits 0
    says "write rootfs/written EROFS"
    says "write volumes/0/written ok"
    [ -d "$BUNDLE/rootfs/proc" ] && [ -d "$BUNDLE/rootfs/one" ] && [ -d "$BUNDLE/rootfs/made/cwd" ] && [ -f "$BUNDLE/rootfs/etc/made" ]
    # A tmpfs is everybody's, as where its mount point is made for it.
    [ "$(stat -c %a "$BUNDLE/rootfs/deep")" = 755 ] && [ "$(stat -c %a "$BUNDLE/rootfs/deep/scratch")" = 1777 ]
    # What lies in another mount is made there.
    [ -z "$(ls "$BUNDLE/rootfs/dev")" ]
}

@test "mount points in a read-only volume are made on the host as well: a directory, a file" {
    echo x >"$DIR/file"
    config --arg d "$DIR" '.mounts += [{destination: "/two/a/directory", type: "tmpfs"},
        {destination: "/two/a/file", type: "bind", source: ($d + "/file"), options: ["bind", "ro"]},
        {destination: "/one/x", type: "tmpfs"}, {destination: "/one/x/inside", type: "tmpfs"}]'
    run_container
    exits 0
    says "write volumes/1/written EROFS"
    [ -d "$DIR/two/a/directory" ] && [ -f "$DIR/two/a/file" ]
    [ -d "$DIR/one/x" ] && [ ! -e "$DIR/one/x/inside" ] # which lies in the guest's own
}

@test "mounts below a volume, and volumes with ids mapped, as for containers" {
    mkdir "$DIR/one/below"
    mount -t tmpfs below "$DIR/one/below"
    config '.mounts[-1].uidMappings = [{containerID: 0, hostID: 5000, size: 10}] | .mounts[-1].gidMappings = .mounts[-1].uidMappings'
    run_container
    umount "$DIR/one/below"
    exits 0
    lines mount | grep -q '^/volumes/0/below rw,nosuid,nodev,noexec'
    lines mount | grep -q '^/volumes/1 ro,.*idmapped'
}

@test "root with the capabilities of a file server, for ever; no groups, no mask" {
    config '.process.user = {uid: 1000, gid: 1000, additionalGids: [5], umask: 63} | .process.capabilities.bounding += ["CAP_SYS_ADMIN"]'
    run_container
    exits 0
    local caps
    # chown dac_override fowner fsetid setgid setuid setfcap
    caps=$(printf '%016x' $((1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 31)))
    [ "$(lines status | grep ^Cap | tr -d '\t' | sort)" = "CapAmb:0000000000000000
CapBnd:$caps
CapEff:$caps
CapInh:0000000000000000
CapPrm:$caps" ]
    [ "$(lines status | grep NoNewPrivs | tr -dc 0-9)" = 1 ]
    [ "$(lines status | grep Uid | tr -s '\t' ' ')" = "Uid: 0 0 0 0" ]
    [ "$(lines status | grep Groups | tr -d '[:space:]')" = "Groups:" ]
    [ "$(lines status | grep Umask | tr -dc 0-7)" = 0000 ]
}

@test "exactly the descriptors that its command line names; config.json is sealed, the rest is not visible" {
    exec 7</etc/hostname 23</etc/hostname
    run_container
    exec 7<&- 23<&-
    exits 0
    local named fds
    named=$(lines argument | grep -E '^--(kvm|kernel|initrd|config|root|proc|sync|fifo)=' | sed 's/.*=//' | sort -n)
    fds=$(lines fd | awk '$1 > 2 { print $1 }' | sort -n)
    [ "$named" = "$fds" ]
    says "seals 15"
    says "bytes $(stat -c %s "$BUNDLE/config.json")"
    lines fd | grep -q ' /dev/kvm$'
    says "pid 1"
    # Its program cannot be written to by whoever breaks into it, and is not the host's file system's.
    lines argument | grep -qx "$ID"
    lines environment | grep -v '^HOME=' && false
    true
}

@test "namespaces: as asked for, with a mount namespace of its own; the names and offsets are the guest's" {
    config '.hostname = "inside" | .linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {monotonic: {secs: 1000}}
        | .linux.namespaces |= map(select(.type != "mount")) | del(.linux.maskedPaths, .linux.readonlyPaths)'
    run_container
    exits 0
    local type
    for type in mnt pid ipc uts net; do
        [ "$(lines "ns $type")" != "$(readlink /proc/self/ns/$type)" ]
    done
    [ "$(lines 'ns time')" = "$(readlink /proc/self/ns/time)" ]
    says_not "host inside"
}

@test "a user namespace: its root on the host is who it is mapped to" {
    config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}]
        | .linux.gidMappings = .linux.uidMappings'
    chown -hR 100000:100000 "$BUNDLE/rootfs"
    touch "$BUNDLE/rootfs/wait"
    start_detached
    [ "$(stat -c %u "/proc/$(pid_of)")" = 100000 ]
    wait_for grep -q waiting "$DIR/stdout"
    grep -q 'write rootfs/written ok' "$DIR/stdout"
    [ "$(stat -c %u:%g "$BUNDLE/rootfs/written")" = 100000:100000 ]
    grep -q 'write volumes/0/written EACCES' "$DIR/stdout"
}

@test "its life: create, state, start, kill, delete; signals are the workload's, the status is its" {
    touch "$BUNDLE/rootfs/wait"
    echo 7 >"$BUNDLE/rootfs/status"
    hull create --bundle "$BUNDLE" --pid-file "$DIR/pid" "$ID" </dev/null >"$DIR/stdout" 2>&1
    has_status created
    [ "$(cat "$DIR/pid")" = "$(pid_of)" ]
    [ "$(hull state "$ID" | jq -r '.isolation, .rootfs')" = "vm
$BUNDLE/rootfs" ]
    grep -q 'argument --fifo=' "$DIR/stdout"
    hull start "$ID"
    wait_for grep -qx waiting "$DIR/stdout"
    has_status running
    hull kill "$ID" USR1
    wait_for grep -qx 'signal 10' "$DIR/stdout"
    run hull delete "$ID"
    exits 1
    hull kill "$ID" TERM
    wait_for has_status stopped
    hull delete "$ID"
    rm "$BUNDLE/rootfs/wait"
    run_container
    exits 7
}

@test "SIGKILL and delete --force end it, and nothing is left; kill --all too" {
    touch "$BUNDLE/rootfs/wait"
    start_detached
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull delete "$ID"
    start_detached
    hull kill --all "$ID" KILL
    wait_for has_status stopped
    hull delete "$ID"
    start_detached
    hull delete --force "$ID"
    run hull state "$ID"
    exits 1
}

@test "what fails before the container is there: its words and its exit code" {
    echo -n 'exec: "nothing": executable file not found in $PATH' >"$BUNDLE/rootfs/error"
    run -127 hull run --bundle "$BUNDLE" "$ID" </dev/null
    says 'hull: exec: "nothing": executable file not found'
    rm "$DIR/bin/hull-vmm"
    refused "$DIR/bin/hull-vmm, which makes virtual machines, is missing"
}

@test "hooks run on the host, all but startContainer" {
    local type
    for type in prestart createRuntime createContainer startContainer poststart poststop; do
        config --arg type "$type" --arg script "pwd >>$DIR/$type; cat >>$DIR/$type" \
            '.hooks[$type] = [{path: "/bin/sh", args: ["sh", "-c", $script]}]'
    done
    run_container
    exits 0
    [ ! -e "$DIR/startContainer" ]
    for type in prestart createRuntime createContainer poststart poststop; do
        [ -s "$DIR/$type" ]
        tail -n 1 "$DIR/$type" | jq -e --arg root "$BUNDLE/rootfs" '.rootfs == $root and .isolation == "vm"'
    done
    [ "$(head -n 1 "$DIR/createRuntime")" = "$BUNDLE" ]
    head -n 1 "$DIR/createContainer" | grep -q '/rootfs$'
}

@test "a terminal: hull-vmm has it on 0, 1 and 2 with its size; in the foreground and by a console socket" {
    local terminal=$TESTS/integration/terminal.py
    config '.process.terminal = true'
    run timeout 30 "$terminal" run -s 33x101 -- "$HULL" --root "$STATE" run --bundle "$BUNDLE" "$ID"
    exits 0
    says "terminal 1 1 1 size 33 101"
    says "argument --terminal"
    config '.process.consoleSize = {height: 55, width: 66}'
    "$terminal" console "$DIR/sock" >"$DIR/out" 3>&- 4>&- &
    wait_for test -S "$DIR/sock"
    hull create --bundle "$BUNDLE" --console-socket "$DIR/sock" "$ID" </dev/null
    hull start "$ID"
    wait %1
    grep "terminal: True" "$DIR/out"
    grep "terminal 1 1 1 size 55 66" "$DIR/out"
}

@test "size: from limits, vm.hwConfig, annotations" {
    sized()
    {
        config "$1"
        run_container
        exits 0
        says "argument --memory=$(($2 << 20))"
        says "argument --cpus=$3"
    }
    local cpus
    cpus=$(nproc --all)
    sized . 2048 1
    sized '.linux.resources.memory.limit = 300000000' 288 1
    sized '.linux.resources.memory.limit = 6291456' 64 1
    sized '.linux.resources.cpu = {quota: 150000, period: 100000}' 64 $((cpus < 2 ? cpus : 2))
    sized '.linux.resources.cpu = {cpus: "0"}' 64 1
    sized '.vm.hwConfig = {vcpus: 3, memory: 134217728}' 128 3
    sized '.annotations = {"org.hull.vm.memory": "512m", "org.hull.vm.cpus": "4"}' 512 4
    config '.annotations["org.hull.vm.cpu-mask"] = "x86-64-v2"'
    run_container
    says "argument --cpu-mask=x86-64-v2"
    config '.annotations["org.hull.vm.cpu-mask"] = "--fifo=0 x"'
    refused 'annotations["org.hull.vm.cpu-mask"]: --fifo=0 x: must be the name of a CPU mask'
    config 'del(.annotations["org.hull.vm.cpu-mask"])'
    config '.annotations["org.hull.vm.memory"] = "1m"'
    refused 'annotations["org.hull.vm.memory"]: must be from 64 MiB'
    config 'del(.annotations) | .vm.hwConfig = {memory: 512}'
    refused 'vm.hwConfig.memory: must be from 64 MiB'
    config '.vm.hwConfig = {vcpus: 33}'
    refused 'vm.hwConfig.vcpus: must be from 1 to 32, got 33'
}

@test "limits of the cgroup are the machine's" {
    local dir
    touch "$BUNDLE/rootfs/wait"
    config '.linux.resources = {memory: {limit: 134217728}, pids: {limit: 5}}'
    start_detached
    dir=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print "/sys/fs/cgroup/memory" $3 }' "/proc/$(pid_of)/cgroup")
    [ -n "$dir" ] || dir=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(pid_of)/cgroup")
    [ "$(cat "$dir/memory.limit_in_bytes" 2>/dev/null || cat "$dir/memory.max")" = $(((128 + 32 + 1) << 20)) ]
    dir=$(awk -F: '$2 == "pids" { print "/sys/fs/cgroup/pids" $3 }' "/proc/$(pid_of)/cgroup")
    [ -n "$dir" ] || dir=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(pid_of)/cgroup")
    [ "$(cat "$dir/pids.max")" = 64 ]
}

@test "what a virtual machine cannot give is refused by its JSON path, all of it at once" {
    config '.linux.namespaces |= map(select(.type != "pid" and .type != "network"))
        | .linux.namespaces |= map(if .type == "ipc" then .path = "/proc/self/ns/ipc" else . end)
        | .linux.devices = [{path: "/dev/fuse", type: "c", major: 10, minor: 229}, {path: "/dev/null", type: "c", major: 1, minor: 3}]
        | .linux.rootfsPropagation = "rshared"
        | .linux.resources.unified = {"memory.max": "1000000"}
        | .vm.hypervisor = {path: "/bin/qemu"} | .vm.kernel.parameters = ["quiet"] | .vm.image = {path: "/i", format: "raw"}'
    refused 'what a sandbox cannot give:'
    local what
    for what in 'without "pid"' 'without "network"' 'cannot join the ipc namespace' 'linux.devices[0] (/dev/fuse)' \
        linux.rootfsPropagation 'linux.resources.unified["memory.max"]' vm.hypervisor vm.kernel.parameters vm.image; do
        says "$what"
    done
    says_not /dev/null
    make_bundle "$BUNDLE"
    config '.vm = {} | .linux.netDevices = {eth9: {}}'
    refused linux.netDevices
}

@test "of many devices a few are named" {
    config '.linux.devices = [range(1; 60) | {path: "/dev/tty\(.)", type: "c", major: 4, minor: .}]'
    refused 'linux.devices[2] (/dev/tty3)'
    says 'linux.devices: nor 56 more of them'
    says_not tty4
}

@test "a network that the guest would not have is refused, also one that a hook brings" {
    ip netns add "$ID"
    config --arg path "/run/netns/$ID" '.linux.namespaces |= map(if .type == "network" then .path = $path else . end)'
    run_container
    exits 0
    ip netns exec "$ID" ip link add eth7 type veth peer name eth9
    run_container
    exits 0 # it is down
    ip netns exec "$ID" ip link set eth7 up
    refused "has the interface eth7"
    config '.linux.namespaces |= map(if .type == "network" then del(.path) else . end)
        | .hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "pid=$(jq .pid); nsenter -t $pid -n ip link add eth8 up type veth peer name eth9"]}]'
    refused "has the interface eth8"
}

@test "mounts that a virtual machine cannot give are refused" {
    mkfifo "$DIR/pipe"
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$DIR/socket"
    config --arg d "$DIR" '.mounts += [
        {destination: "/a", type: "bind", source: "/dev/null", options: ["bind"]},
        {destination: "/b", type: "bind", source: ($d + "/socket"), options: ["bind"]},
        {destination: "/c", type: "bind", source: ($d + "/pipe"), options: ["bind"]},
        {destination: "/d", type: "bind", source: "/proc", options: ["rbind"]},
        {destination: "/e", type: "ext4", source: "/dev/sda1", options: []},
        {destination: "/f", type: "overlay", source: "overlay", options: ["lowerdir=/a:/b"]},
        {destination: "/one", type: "bind", source: "none", options: ["bind", "remount", "ro"]},
        {destination: "/h", type: "bind", source: $d, options: ["rbind", "rshared"]}]'
    refused 'what a sandbox cannot give:'
    local what
    for what in '(/a): /dev/null is a device' '(/b): '"$DIR"'/socket is a socket' '(/c): '"$DIR"'/pipe is a named pipe' \
        '(/d): /proc is a proc of' "(/e): a virtual machine cannot mount the host's ext4" "cannot mount the host's overlay" \
        '(/one): remount' '(/h): rshared'; do
        says "$what"
    done
    config 'del(.mounts[-8:]) | .mounts += [{destination: "/x", type: "bind", source: "/does/not/exist", options: ["bind"]}]'
    refused '(/x): bind source /does/not/exist: No such file'
    config 'del(.mounts[-1]) | .root.path = "missing"'
    refused "root.path: bind source $BUNDLE/missing: No such file"
    config '.root.path = "config.json"'
    refused "root.path: open $BUNDLE/config.json: Not a directory"
}

@test "a kernel and an initrd that are no files are refused, and waited for is none" {
    mkfifo "$DIR/pipe"
    config --arg d "$DIR" '.vm.kernel.path = $d + "/pipe"'
    refused "vm.kernel.path: $DIR/pipe is not a regular file"
    config --arg d "$DIR" '.vm.kernel = {path: ($d + "/kernel/vmlinux"), initrd: ($d + "/pipe")}'
    refused "vm.kernel.initrd: $DIR/pipe is not a regular file"
    config '.vm.kernel.initrd = "/dev"'
    refused "vm.kernel.initrd: /dev is not a regular file"
    config 'del(.vm)'
    run env HULL_ISOLATION=vm timeout 20 "$HULL" --root "$STATE" run --kernel "$DIR/pipe" --bundle "$BUNDLE" "$ID" </dev/null
    exits 1
    says "--kernel: guest kernel: $DIR/pipe is not a regular file"
}

@test "descriptors cannot go along; a kernel for a container is refused" {
    run_container --preserve-fds 0
    exits 0
    run hull run --bundle "$BUNDLE" --preserve-fds 1 "$ID" </dev/null 3</dev/null
    exits 1
    config 'del(.vm)'
    run_container --kernel "$DIR/kernel/vmlinux"
    exits 1
    says '--kernel: a container has none'
}

@test "commands that need the agent say so" {
    touch "$BUNDLE/rootfs/wait"
    start_detached
    local words
    for words in "exec $ID true" "ps $ID" "pause $ID" "resume $ID" "update --pids-limit 5 $ID" "events --stats $ID"; do
        # shellcheck disable=SC2086
        run hull $words
        [ "$status" != 0 ]
        says "not available for sandboxes yet: container $ID runs in a virtual machine"
    done
}

@test "a hull that is killed while it creates takes hull-vmm along" {
    touch "$BUNDLE/rootfs/hold" # instead of READY
    "$HULL" --root "$STATE" create --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/stdout" 2>&1 3>&- 4>&- &
    wait_for grep -qx holding "$DIR/stdout"
    kill -9 $!
    wait $! || true
    wait_for hull delete --force "$ID"
    [ -z "$(leftovers)" ]
}
