#!/usr/bin/env bats
# hull check: what it says is held against the machine, as root, as a user, and with things taken away around it.

load helpers

# check ARGUMENTS: JSON into $DIR/check; the exit status in $status.
check()
{
    status=0
    "$@" check --format json </dev/null >"$DIR/check" 2>"$DIR/stderr" 3>&- 4>&- || status=$?
    jq -e . "$DIR/check" >/dev/null || {
        cat "$DIR/check" "$DIR/stderr" >&2
        return 1
    }
}

# answer NAME STATUS [DETAIL [REMEDY]]: that row says so; the texts are regular expressions.
answer()
{
    jq -e --arg n "$1" --arg s "$2" --arg d "${3-}" --arg r "${4-}" '.checks[] | select(.name == $n)
        | .status == $s and (.detail | test($d)) and ((.remedy // "") | test($r))' "$DIR/check" >/dev/null || {
        echo "expected $*, got:" >&2
        jq --arg n "$1" '.checks[] | select(.name == $n)' "$DIR/check" >&2
        return 1
    }
}

# Run the rest in a mount namespace of its own after a shell script that takes something away.
without()
{
    unshare --mount sh -c "$1"' || exit 99
        shift; exec "$@"' sh "$@"
}

# hull check inside of a container of hull's: with its seccomp profile and rights around it.
check_inside()
{
    cp "$HULL" "$BUNDLE/rootfs/bin/hull"
    cargo /bin/hull --root /run/hull check --format json
    status=0
    timeout 20 "$HULL" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID" </dev/null >"$DIR/check" \
        2>"$DIR/stderr" 3>&- 4>&- || status=$?
    jq -e . "$DIR/check" >/dev/null || {
        cat "$DIR/check" "$DIR/stderr" >&2
        return 1
    }
}

@test "JSON has its members, each check says ok, warn or no, and the verdicts follow from them" {
    check "$HULL"
    jq -e 'keys == ["checks", "containers", "sandboxes"]
        and (.checks | length > 40 and all(keys == ["detail", "group", "name", "remedy", "status"]))
        and ([.checks[].status] - ["ok", "warn", "no"] == [])
        and ([.checks[].name] | length == (unique | length))
        and .containers == ([.checks[] | select(.group != "sandbox") | .status] | index("no") == null)
        and .sandboxes == (.containers and ([.checks[] | select(.group == "sandbox") | .status] | index("no") == null))
        ' "$DIR/check"
    [ "$status" = "$(jq 'if .containers then 0 else 1 end' "$DIR/check")" ]
}

@test "the exit status: containers, or with --isolation=vm sandboxes" {
    local vm helpers=no
    check "$HULL"
    [ "$(jq .containers "$DIR/check")" = true ]
    exits 0
    [ ! -x "$(dirname "$HULL")/hull-vmm" ] || [ ! -x "$(dirname "$HULL")/hull-guest" ] || helpers=ok
    [ ! -e "$(dirname "$HULL")/config.status" ] || answer build "$helpers" hull-vmm
    vm=$(jq 'if .sandboxes then 0 else 1 end' "$DIR/check")
    run "$HULL" check --isolation vm
    exits "$vm"
    [ "$vm" = 0 ] || says 'sandboxes can run: no'
    run "$HULL" check --isolation=container
    exits 0
    run "$HULL" check --isolation=vm --format=json
    exits "$vm"
    run "$HULL" check --isolation=none
    exits 1
    run "$HULL" check something
    exits 1
    says 'requires exactly 0 argument(s)'
}

@test "what it says of this machine is so" {
    check "$HULL"
    answer kernel ok "^Linux $(uname -r | sed 's/[.+]/\\&/g') "
    if grep -qwE 'vmx|svm' /proc/cpuinfo; then answer cpu ok; else answer cpu no '' 'nested|firmware'; fi
    grep -qw hypervisor /proc/cpuinfo && jq -e '.checks[] | select(.name == "cpu").detail | test("below")' "$DIR/check"
    [ ! -d /sys/fs/cgroup/unified ] || answer cgroup ok hybrid
    [ ! -e /sys/fs/cgroup/cgroup.controllers ] || answer cgroup ok '^v2$'
    for controller in $(sed -n 's/^[0-9]*:\([a-z_]*\):.*/\1/p' /proc/self/cgroup | grep -xE 'cpu|memory|pids'); do
        answer cgroup.controllers ok "$controller"
    done
    answer seccomp ok "^$(cat /proc/sys/kernel/seccomp/actions_avail)\$"
    answer idmap.root ok "$(stat -f -c %T / | sed 's/.*ext.*/ext4/')"
    answer nftables ok
    if command -v criu; then answer criu ok; else answer criu warn 'not in PATH' 'install'; fi
}

@test "it leaves nothing: mounts, processes, files" {
    mkdir "$DIR/tmp"
    cp "$HULL" "$DIR/tmp/hull"
    # Namespaces of its own, because others use this machine's /tmp and mounts at the same time.
    run unshare --mount --pid --fork --mount-proc bash -c '
        mount --bind "$1/tmp" /tmp || exit 99
        state() { cat /proc/self/mountinfo; ls -R /tmp; echo /proc/[0-9]* | wc -w; }
        before=$(state)
        /tmp/hull --root /tmp/not/yet check >/dev/null || exit 98
        sleep 0.3 # orphans of what was tried are reaped by this shell
        after=$(state)
        diff <(echo "$before") <(echo "$after")' bash "$DIR"
    exits 0
}

@test "the table: groups, one line each, the remedy below; colour on a terminal only" {
    run "$HULL" check
    exits 0
    says_not $'\033'
    [[ ${lines[0]} == kernel ]]
    [[ ${lines[1]} =~ ^\ \ kernel\ +ok\ +Linux ]]
    [[ $output == *$'\ncontainers can run: yes\nsandboxes can run: no' ]]
    run env script -qec "'$HULL' check" /dev/null </dev/null
    says $'\033[32mok'
}

@test "a full disk is told, not swallowed" {
    run sh -c '"$1" check >/dev/full' sh "$HULL"
    exits 1
    says 'No space left on device'
}

@test "an ordinary user: his ids are mapped for a try, /dev/kvm and idmapped mounts are refused him" {
    need_unprivileged_user
    install -m 755 "$HULL" "$DIR/hull"
    chmod 755 "$DIR"
    check as_user "$DIR/hull"
    exits 0
    answer namespace.mount ok 'within a user namespace'
    answer subids ok 'mapped for a try'
    answer overlay.userns ok
    answer idmap.root warn "root's"
    [ ! -e /dev/kvm ] || [ "$(stat -c %a /dev/kvm)" != 600 ] || answer kvm no 'Permission denied' 'group'
}

@test "an ordinary user without newuidmap, without a range" {
    need_unprivileged_user
    install -m 755 "$HULL" "$DIR/hull"
    chmod 755 "$DIR"
    : >"$DIR/empty"
    chmod 644 "$DIR/empty"
    check without 'mount --bind /dev/null /usr/bin/newuidmap' \
        setpriv --reuid "$UNPRIVILEGED" --regid "$UNPRIVILEGED" --clear-groups --inh-caps=-all env -i HOME="$DIR" "$DIR/hull"
    exits 0
    answer newuidmap warn 'newuidmap is not installed' 'uidmap'
    check without "mount --bind $DIR/empty /etc/subgid" \
        setpriv --reuid "$UNPRIVILEGED" --regid "$UNPRIVILEGED" --clear-groups --inh-caps=-all env -i HOME="$DIR" "$DIR/hull"
    exits 0
    answer subids warn '/etc/subgid has no range' 'usermod --add-subuids'
}

@test "a user without user namespaces can run nothing, and is told why" {
    need_unprivileged_user
    install -m 755 "$HULL" "$DIR/hull"
    chmod 755 "$DIR"
    # A user namespace whose limit is 0, set from inside, stands for a host with the sysctl at 0.
    status=0
    timeout 20 unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces
        exec setpriv --bounding-set=-all --inh-caps=-all "$@"' sh "$DIR/hull" check --format json </dev/null >"$DIR/check" || status=$?
    exits 1
    answer userns.limit no '^0:' 'sysctl user.max_user_namespaces'
    answer namespace.user no 'No space left' 'max_user_namespaces'
    answer namespace.network no
    [ "$(jq .containers "$DIR/check")" = false ]
}

@test "/dev/kvm: hidden, no device of KVM's, and a module that is there without it" {
    [ -c /dev/kvm ] || skip "no /dev/kvm here"
    check without 'mount -t tmpfs none /dev' "$HULL"
    answer kvm no 'No such file' 'pass the device|modprobe|see cpu'
    answer kvm.capabilities no 'not known'
    check without 'mount --bind /dev/zero /dev/kvm' "$HULL"
    answer kvm no 'does not speak'
    check "$HULL"
    answer kvm ok 'a VM was made'
}

@test "/dev/net/tun hidden" {
    check without 'mount -t tmpfs none /dev' "$HULL"
    answer tun warn 'No such file' 'modprobe tun'
    exits 0
}

@test "seccomp: an action that the kernel lacks" {
    echo 'kill_process kill_thread trap errno trace allow' >"$DIR/actions"
    check without "mount --bind $DIR/actions /proc/sys/kernel/seccomp/actions_avail" "$HULL"
    answer seccomp warn 'log is missing'
    answer seccomp.notify warn 'user_notif'
}

@test "cgroups that are read-only or not mounted" {
    check without 'for m in $(sed -n "s/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup2* .*/\1/p" /proc/mounts); do
        mount -o remount,bind,ro "$m" || exit 1; done' "$HULL"
    answer cgroup.delegation warn '' 'mount its cgroup'
    check without 'umount -l -R /sys/fs/cgroup' "$HULL"
    answer cgroup warn 'no hierarchy is mounted' 'mount -t cgroup2'
    exits 0
}

@test "a state directory that cannot be written" {
    mount -t tmpfs -o ro none "$BUNDLE/rootfs/tmp"
    check "$HULL" --root "$BUNDLE/rootfs/tmp/state"
    umount "$BUNDLE/rootfs/tmp"
    exits 1
    answer state no 'Read-only file system' '--root'
}

@test "criu in PATH says its version; one that hangs is not waited for" {
    mkdir "$DIR/bin"
    printf '#!/bin/sh\necho Version: 3.17.1\n' >"$DIR/bin/criu"
    chmod 755 "$DIR/bin/criu"
    PATH=$DIR/bin:$PATH check "$HULL"
    answer criu ok "^$DIR/bin/criu: Version: 3.17.1\$"
    printf '#!/bin/sh\nexec sleep 60\n' >"$DIR/bin/criu"
    PATH=$DIR/bin:$PATH check "$HULL"
    answer criu warn 'does not say'
}

@test "in a container: calls that a seccomp filter hides are missing, and their remedy is the filter" {
    config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [
        {names: ["clone3", "openat2", "close_range", "fsopen", "mount_setattr"], action: "SCMP_ACT_ERRNO", errnoRet: 38}]}'
    check_inside
    for call in clone3 openat2 close_range mount_setattr; do
        answer $call warn 'Function not implemented' 'seccomp filter'
    done
    answer mount-api warn 'fsopen is missing'
    answer pidfd ok
}

@test "in a container: masked /proc" {
    config '.process.capabilities |= map_values(. + ["CAP_SETFCAP"] | unique)'
    check_inside
    exits 1
    answer namespace.mount ok 'within a user namespace'
    answer proc no 'cannot be mounted' 'unmask'
    answer idmap.root warn
}

@test "in a container: root who may not map himself" {
    check_inside
    exits 1
    answer namespace.user no 'not permitted' 'CAP_SETFCAP'
    answer namespace.mount no 'not permitted' 'see namespace.user'
}
