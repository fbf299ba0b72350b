#!/usr/bin/env bats
# Images and bundles that want to reach the host. Each test plants the trap, runs into it, and looks at the host.

load helpers

# A directory of the host's that a trap points at; untouched() is true while nothing in it changed.
setup_host()
{
    HOST=$DIR/host
    mkdir -p "$HOST/dir"
    echo original >"$HOST/file"
    chmod 700 "$HOST/dir"
    HOST_BEFORE=$(host_listing)
}

host_listing()
{
    find "$HOST" -printf '%P %y %m %U:%G %l\n' | sort
    cat "$HOST/file"
}

untouched()
{
    [ "$(host_listing)" = "$HOST_BEFORE" ] || {
        diff <(echo "$HOST_BEFORE") <(host_listing) >&2
        return 1
    }
}

# From inside the container, an absolute path of the host's means one below the root: make sure none is there.
trap_link()
{
    rm -rf "${BUNDLE:?}/rootfs/$1"
    ln -s "$2" "$BUNDLE/rootfs/$1"
}

UP=../../../../../../../../../../..

@test "a symlink at a bind mount's target stays inside the root" {
    setup_host
    echo data >"$DIR/source"
    mkdir "$DIR/sourcedir"
    local target
    for target in "$HOST/dir" "$UP$HOST/dir"; do
        trap_link tmp/link "$target"
        config --arg s "$DIR/source" --arg d "$DIR/sourcedir" '.mounts |= map(select(.destination | startswith("/tmp") | not))
            + [{destination: "/tmp/link/new", source: $s, options: ["bind"]},
               {destination: "/tmp/link/sub/deep", source: $d, options: ["bind"]}]'
        cargo true
        run_container
        untouched
    done
}

@test "a symlink as the last component of a target stays inside the root" {
    setup_host
    echo data >"$DIR/source"
    trap_link tmp/link "$HOST/file"
    config --arg s "$DIR/source" '.mounts += [{destination: "/tmp/link", source: $s, options: ["bind"]}]'
    script 'cat /tmp/link; echo overwritten >/tmp/link'
    run_container
    untouched
    trap_link tmp/link "$UP$HOST/made"
    run_container
    untouched
}

@test "/dev that is a symlink to a directory of the host is not followed (CVE-2026-47766)" {
    setup_host
    local target
    for target in "$HOST/dir" "$UP$HOST/dir"; do
        trap_link dev "$target"
        config '.mounts |= map(select(.destination | startswith("/dev") | not))'
        cargo true
        run_container
        untouched
    done
}

@test "/dev/null, /dev/pts/ptmx and others that a rootfs brings are not taken for the real ones (CVE-2025-31133)" {
    setup_host
    config '.mounts |= map(select(.destination | startswith("/dev") | not)) | .linux.maskedPaths = ["/proc/kcore", "/etc/passwd"]'
    rm -f "$BUNDLE/rootfs/dev/null"
    ln -s /proc/sysrq-trigger "$BUNDLE/rootfs/dev/null"
    script 'cat /etc/passwd; stat -L -c %t:%T /proc/kcore'
    run_container
    says_not root:
    if [ "$status" = 0 ]; then says 1:3; fi
    rm -f "$BUNDLE/rootfs/dev/null"
    echo "not a device" >"$BUNDLE/rootfs/dev/null"
    run_container
    says_not root:
    says_not "not a device"
    untouched
}

@test "a /proc or /sys that is a symlink is refused or stays inside (CVE-2019-19921)" {
    setup_host
    local which
    for which in proc sys; do
        trap_link "$which" "$UP$HOST/dir"
        cargo true
        run_container
        untouched
        trap_link "$which" /tmp/elsewhere
        mkdir -p "$BUNDLE/rootfs/tmp/elsewhere"
        run_container
        [ "$status" != 0 ]
        says "/$which"
        rm "$BUNDLE/rootfs/$which"
        mkdir "$BUNDLE/rootfs/$which"
    done
}

@test "a tmpfs or bind at /proc swallows no label, sysctl or limit write (CVE-2019-16884, CVE-2025-52881)" {
    mkdir -p "$DIR/fake/self/attr" "$DIR/fake/sys/kernel"
    touch "$DIR/fake/self/attr/exec" "$DIR/fake/self/oom_score_adj" "$DIR/fake/sys/kernel/msgmax"
    config --arg fake "$DIR/fake" '.mounts |= map(if .destination == "/proc" then
            {destination: "/proc", source: $fake, options: ["bind"]} else . end)
        | .linux.maskedPaths = [] | .linux.readonlyPaths = []
        | .linux.sysctl = {"kernel.msgmax": "4321"} | .process.oomScoreAdj = 100'
    cargo true
    run_container
    # Refused, or done on the real procfs: never written into the impostor.
    [ -z "$(cat "$DIR/fake/self/attr/exec" "$DIR/fake/self/oom_score_adj" "$DIR/fake/sys/kernel/msgmax")" ]
}

@test "a masked or read-only path through a symlink does not cover the host's" {
    setup_host
    trap_link secret "$UP$HOST/file"
    trap_link frozen "$UP$HOST/dir"
    config '.linux.maskedPaths += ["/secret"] | .linux.readonlyPaths += ["/frozen"]'
    cargo true
    run_container
    untouched
    [ "$(cat "$HOST/file")" = original ]
    touch "$HOST/dir/x"
}

@test "a device node or cwd below a symlink stays inside" {
    setup_host
    trap_link tmp/link "$UP$HOST/dir"
    config '.linux.devices = [{path: "/tmp/link/zero", type: "c", major: 1, minor: 5}] | .process.cwd = "/tmp/link/work"'
    cargo true
    run_container
    untouched
}

@test "a root file system that is a symlink is used, one with .. below the bundle is not followed out by mounts" {
    mv "$BUNDLE/rootfs" "$DIR/real"
    ln -s "$DIR/real" "$BUNDLE/rootfs"
    cargo echo lives
    run_container
    exits 0
    output_is lives
}

@test "races: a symlink that is swapped while containers start (CVE-2021-30465)" {
    setup_host
    mkdir -p "$DIR/volume/sub" "$DIR/payload"
    config --arg v "$DIR/volume" --arg p "$DIR/payload" '.mounts += [
        {destination: "/volume", source: $v, options: ["bind"]},
        {destination: "/volume/sub/target", source: $p, options: ["bind"]}]'
    cargo true
    python3 - "$DIR/volume" "$HOST/dir" <<'PY' 3>&- 4>&- &
import ctypes, os, sys
volume, host = sys.argv[1:]
libc = ctypes.CDLL(None)
os.symlink("../" * 12 + host, volume + "/swap")
while os.path.exists(volume):  # RENAME_EXCHANGE
    libc.renameat2(-100, (volume + "/sub").encode(), -100, (volume + "/swap").encode(), 2)
PY
    local swapper=$! i
    for i in {1..60}; do
        hull run --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 || true
        [ -z "$(ls "$HOST/dir")" ]
    done
    kill $swapper
    wait $swapper || true
    untouched
}

@test "the binary of the host cannot be opened for writing from inside during exec (CVE-2019-5736)" {
    # A copy, so that a success would ruin nothing but the test.
    install -m 755 "$HULL" "$DIR/hull"
    local before i
    before=$(sha256sum <"$DIR/hull")
    script 'echo ready; while :; do for p in /proc/[0-9]*; do
        [ "$p" = /proc/1 ] && continue
        t=$(readlink $p/exe) || continue
        case $t in /bin/busybox) continue;; esac
        (echo owned >>$p/exe) 2>/dev/null && echo "wrote to $t"
        (exec 9<$p/exe && { sleep 0.02; echo owned >>/proc/self/fd/9; }) 2>/dev/null && echo "wrote through $t"
        done; done'
    start_detached
    wait_for grep ready "$DIR/stdout"
    for i in {1..40}; do
        "$DIR/hull" --root "$STATE" $HULL_FLAGS exec "$ID" true </dev/null 3>&- 4>&- || true
    done
    hull kill "$ID" KILL
    [ "$(sha256sum <"$DIR/hull")" = "$before" ]
    ! grep "$DIR/hull" "$DIR/stdout"
}

@test "an exec of #!/proc/self/exe does not run or open the host's binary (CVE-2019-5736)" {
    install -m 755 "$HULL" "$DIR/hull"
    local before
    before=$(sha256sum <"$DIR/hull")
    printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/bin/trap"
    chmod 755 "$BUNDLE/rootfs/bin/trap"
    cargo sleep 1000
    start_detached
    run timeout 10 "$DIR/hull" --root "$STATE" $HULL_FLAGS exec "$ID" /bin/trap --version </dev/null
    says_not "spec:"
    hull delete --force "$ID"
    cargo /bin/trap --version
    run timeout 10 "$DIR/hull" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID" </dev/null
    says_not "spec:"
    [ "$(sha256sum <"$DIR/hull")" = "$before" ]
}

@test "a container without a pid namespace cannot write to the runtime's binary either" {
    install -m 755 "$HULL" "$DIR/hull"
    config '.linux.namespaces |= map(select(.type != "pid"))'
    script 'for p in /proc/[0-9]*; do case $(readlink $p/exe) in "'"$DIR"'"/hull) echo "$p"; (echo owned >>$p/exe) 2>/dev/null && echo wrote;; esac; done; true'
    run timeout 20 "$DIR/hull" --root "$STATE" $HULL_FLAGS run --bundle "$BUNDLE" "$ID" </dev/null
    cmp "$DIR/hull" "$HULL"
    says_not wrote
}

@test "huge strings and deep nesting in config.json are refused or carried, never a crash (CVE-2021-43784)" {
    python3 - "$BUNDLE/config.json" <<'PY'
import json, sys
path = sys.argv[1]
config = json.load(open(path))
config["process"]["args"] = ["true"]
config["process"]["env"].append("BIG=" + "x" * 100000)
config["annotations"] = {"k" * 70000: "v" * 3000000}
json.dump(config, open(path, "w"))
PY
    run_container
    exits 0
    python3 -c 'print("{\"a\":" * 100000 + "1" + "}" * 100000)' >"$BUNDLE/config.json"
    run_container
    exits 1
    python3 -c 'print("[" * 3000000)' >"$BUNDLE/config.json"
    run_container
    exits 1
    printf '{"ociVersion": "1.0.2", "ociVersion": "1.0.1"}' >"$BUNDLE/config.json"
    run_container
    exits 1
    says "ociVersion"
}

@test "cgroupsPath and exec --cgroup with .. make nothing outside" {
    local before
    before=$(find /sys/fs/cgroup -maxdepth 3 -type d 2>/dev/null | sort)
    config --arg id "$ID" '.linux.cgroupsPath = ("/../../../../tmp/" + $id)'
    cargo sleep 1000
    start_detached || true
    [ ! -e "/tmp/$ID" ]
    run hull exec --cgroup "../../$ID" "$ID" true </dev/null
    [ -z "$(find /sys/fs/cgroup -maxdepth 3 -type d -name "$ID" 2>/dev/null)" ]
    hull delete --force "$ID"
}
