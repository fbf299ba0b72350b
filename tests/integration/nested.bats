#!/usr/bin/env bats
# Hull inside a container of Hull's, as in a CI job: what the outer container forbids either weakens nothing that was
# asked for (a warning, and on it goes), or is refused with the remedy. It never hangs, and nothing stays half made.
#
# The outer root holds hull itself (it is static) and the inner bundle; the inner container's cargo says "inside".

load helpers
eval "usual_$(declare -f setup)"

setup()
{
    need_root
    usual_setup
    ldd "$HULL" 2>&1 | grep -q 'statically linked\|not a dynamic' || skip "hull is linked dynamically"
    cp "$HULL" "$BUNDLE/rootfs/bin/hull"
    mkdir -p "$BUNDLE/rootfs/bundle/rootfs"
    cp -a "$(rootfs_template)/." "$BUNDLE/rootfs/bundle/rootfs"
    inner_config
    # What engines give a container: a read-only cgroupfs, no new privileges, /proc masked (unless told otherwise).
    config '.process.args = ["timeout", "10", "hull", "--root", "/run/inner", "run", "--bundle", "/bundle", "inner"]'
}

# inner_config [spec flags]: the inner bundle's configuration.
inner_config()
{
    "$HULL" spec "$@" --bundle "$DIR"
    jq '.process.terminal = false | .root.readonly = false |
        .process.args = ["sh", "-c", "echo inside; echo pid $$"]' "$DIR/config.json" >"$BUNDLE/rootfs/bundle/config.json"
    rm "$DIR/config.json"
}

inner()
{
    jq "$@" <"$BUNDLE/rootfs/bundle/config.json" >"$DIR/inner.edited"
    cat "$DIR/inner.edited" >"$BUNDLE/rootfs/bundle/config.json"
}

all_capabilities()
{
    config '["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
        "CAP_NET_ADMIN", "CAP_SYS_ADMIN"] as $all |
        .process.capabilities = {bounding: $all, permitted: $all, effective: $all}'
}

# podman's and docker's default: no CAP_SYS_ADMIN.
few_capabilities()
{
    config '["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_SETFCAP"] as $few |
        .process.capabilities = {bounding: $few, permitted: $few, effective: $few}'
}

unmasked()
{
    config 'del(.linux.maskedPaths, .linux.readonlyPaths)'
}

# forbid ERRNO CALL...: the outer seccomp profile answers these calls so.
forbid()
{
    local code=$1
    shift
    config --argjson code "$code" '.linux.seccomp.defaultAction = "SCMP_ACT_ALLOW" | .linux.seccomp.syscalls += [{
        names: $ARGS.positional, action: "SCMP_ACT_ERRNO", errnoRet: $code}]' --args -- "$@"
}

ENOSYS=38 EPERM=1
NEW_CALLS=(clone3 openat2 open_tree move_mount mount_setattr fsopen fsmount fsconfig close_range pidfd_open faccessat2)

works()
{
    run_container
    exits 0
    says inside
    says "pid 1"
}

@test "with CAP_SYS_ADMIN and an unmasked /proc all is as outside" {
    all_capabilities
    unmasked
    works
    says_not warning
}

@test "a masked /proc, a user namespace and a pid namespace of its own: refused, with the remedy" {
    all_capabilities
    inner_config --rootless
    run_container
    exits 1
    says "mount proc"
    says "unmask"
}

@test "a masked /proc, and the outer pid namespace: the outer /proc is shown, with a warning" {
    all_capabilities
    inner_config --rootless
    inner '.linux.namespaces |= map(select(.type != "pid"))'
    run_container
    exits 0
    says inside
    says "outer /proc is shown"
}

@test "no CAP_SYS_ADMIN: refused, with the remedy" {
    few_capabilities
    unmasked
    run_container
    exits 1
    says "user namespace"
}

@test "no CAP_SYS_ADMIN, but a user namespace: works" {
    few_capabilities
    unmasked
    inner_config --rootless
    works
}

@test "sethostname and setdomainname forbidden: a warning" {
    all_capabilities
    unmasked
    forbid $EPERM sethostname setdomainname
    inner '.hostname = "inner" | .domainname = "example"'
    works
    says 'sethostname("inner")'
    says 'setdomainname("example")'
}

@test "each newer call missing, one by one" {
    local call code
    all_capabilities
    unmasked
    for code in $ENOSYS $EPERM; do
        for call in "${NEW_CALLS[@]}"; do
            echo "$call answers $code"
            config 'del(.linux.seccomp)'
            forbid "$code" "$call"
            works
        done
    done
}

@test "all newer calls missing at once" {
    local code
    all_capabilities
    unmasked
    for code in $ENOSYS $EPERM; do
        config 'del(.linux.seccomp)'
        forbid "$code" "${NEW_CALLS[@]}"
        works
    done
}

@test "hooks run where pidfd_open is missing" {
    all_capabilities
    unmasked
    forbid $EPERM pidfd_open
    inner '.hooks = {prestart: [{path: "/bin/true"}], createContainer: [{path: "/bin/true"}], poststop: [{path: "/bin/true"}]}'
    works
}

@test "an inner container of the outer one's id" {
    all_capabilities
    unmasked
    config --arg id "$ID" '.process.args[-1] = $id'
    works
}

@test "a read-only cgroupfs does not stand in the way" {
    all_capabilities
    unmasked
    config '.mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}]
        | .mounts |= unique_by(.destination) | .mounts |= sort_by(.destination)'
    inner '.mounts |= map(select(.destination != "/sys/fs/cgroup")) + [{"destination": "/sys/fs/cgroup", "type": "cgroup",
        "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}]'
    works
}

@test "create, start, exec, kill, delete inside" {
    all_capabilities
    unmasked
    inner '.process.args = ["sleep", "1000"]'
    script 'cd /bundle; hull="timeout 10 hull --root /run/inner"
        $hull create inner >/dev/null 2>&1 </dev/null && $hull start inner && $hull exec inner sh -c "echo inside; echo pid 1" </dev/null &&
        $hull kill inner KILL && sleep 0.5 && $hull delete inner && [ -z "$(ls /run/inner)" ]'
    works
}

# What an outer container may look like, and what must come of it. rights: all, or few with or without a user namespace.
@test "the table of outer containers: each works or is refused with its remedy, and none hangs" {
    local rights proc calls expected bad=0
    while read -r rights proc calls expected; do
        make_bundle_again
        case $rights in
        all) all_capabilities ;;
        few) few_capabilities ;;
        user) few_capabilities && inner_config --rootless ;;
        esac
        [ "$proc" = masked ] || unmasked
        [ "$calls" = any ] || forbid $EPERM sethostname "${NEW_CALLS[@]}"
        run_container
        printf '%-5s %-9s %-4s %s\n' "$rights" "$proc" "$calls" "$status: ${output//$'\n'/; }"
        [ "$(stat -c %h "$BUNDLE/rootfs/run")" -le 3 ]
        [ -z "$(ls "$BUNDLE/rootfs/run/inner" 2>/dev/null)" ] || bad=1
        case $expected in
        works) [[ $status = 0 && $output == *inside* ]] || bad=1 ;;
        *) [[ $status = 1 && $output == *"$expected"* ]] || bad=1 ;;
        esac
    done <<'END'
all  unmasked any works
all  unmasked old works
all  masked   any works
all  masked   old works
few  unmasked any user namespace
few  masked   old user namespace
user unmasked any works
user unmasked old works
user masked   any unmask
user masked   old unmask
END
    [ $bad = 0 ]
}

make_bundle_again()
{
    inner_config
    config 'del(.linux.seccomp) | .linux.maskedPaths = ["/proc/kcore", "/proc/keys"] | .linux.readonlyPaths = ["/proc/sys"]'
}
