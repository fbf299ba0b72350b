#!/usr/bin/env bats
# Bundles from real sources: an image unpacked by umoci, and a Debian root made by debootstrap, with an interactive shell
# on a real terminal, through `run` and through --console-socket. The Debian root is made once and kept outside of the
# checkout, in ${XDG_CACHE_HOME:-~/.cache}/hull-test.

load helpers

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/hull-test

need_debian()
{
    need_root
    [ ! -d "$CACHE/debian" ] || return 0
    need_tool debootstrap
    mkdir -p "$CACHE"
    rm -rf "$CACHE/debian.part"
    timeout 500 debootstrap --variant=minbase bookworm "$CACHE/debian.part" >"$CACHE/log" 2>&1 </dev/null 3>&- 4>&- ||
        skip "no Debian root: debootstrap: $(tail -1 "$CACHE/log")"
    mv "$CACHE/debian.part" "$CACHE/debian"
}

debian_bundle()
{
    need_debian
    config --arg root "$CACHE/debian" '.root = {path: $root, readonly: true} | .process.terminal = true | .process.args = ["bash", "-i"]'
}

# A person at a terminal: waits for the prompt, types, waits for what must come.
type_into()
{
    sleep 1
    printf 'tty\r'
    sleep 0.3
    printf '. /etc/os-release; echo "This is $ID"\r'
    sleep 0.3
    printf 'sleep 1000\r'
    sleep 0.3
    printf '\003' # Ctrl-C ends sleep, not the shell
    sleep 0.3
    printf 'echo interrupted with $?; stty size; exit 7\r'
    sleep 0.5
}

@test "umoci: an image's bundle runs as it was unpacked" {
    need_root
    need_tool umoci
    cd "$DIR"
    umoci init --layout image
    umoci new --image image:latest
    umoci unpack --image image:latest first >/dev/null 2>&1
    cp -a "$(rootfs_template)/." first/rootfs/
    umoci repack --image image:latest first >/dev/null 2>&1
    umoci config --image image:latest --config.cmd sh --config.cmd -c --config.cmd 'echo from umoci; echo $GREETING; exit 3' \
        --config.env GREETING=ahoy --config.workingdir /work
    umoci unpack --image image:latest second >/dev/null 2>&1
    BUNDLE=$DIR/second
    config '.process.terminal = false'
    run_container
    exits 3
    output_is $'from umoci\nahoy'
    [ -d "$DIR/second/rootfs/work" ]
}

@test "umoci: its bundle's terminal, through run" {
    need_root
    need_tool umoci
    cd "$DIR"
    umoci init --layout image
    umoci new --image image:latest
    umoci unpack --image image:latest unpacked >/dev/null 2>&1
    cp -a "$(rootfs_template)/." unpacked/rootfs/
    BUNDLE=$DIR/unpacked
    cargo sh -c 'tty; exit 4'
    run command script -qec "timeout --foreground 20 $HULL --root $STATE run --bundle $BUNDLE $ID" /dev/null </dev/null
    exits 4
    says /dev/pts/0
}

@test "Debian: commands of every day" {
    debian_bundle
    config '.process.terminal = false'
    script 'set -e; cat /etc/debian_version; dpkg --get-selections | wc -l; perl -e "print qq(perl\n)"; getent passwd nobody'
    run_container
    exits 0
    says perl
    says nobody
}

@test "Debian: an interactive shell on a terminal, through run" {
    debian_bundle
    type_into | timeout 20 script -qec "stty rows 33 cols 77; timeout --foreground 20 $HULL --root $STATE run --bundle $BUNDLE $ID" \
        /dev/null >"$DIR/screen" 2>&1 3>&- 4>&- && code=0 || code=$?
    cat "$DIR/screen"
    [ "$code" = 7 ]
    grep -q /dev/pts/0 "$DIR/screen"
    grep -q "This is debian" "$DIR/screen"
    grep -q "interrupted with 130" "$DIR/screen"
    grep -q "33 77" "$DIR/screen"
}

@test "Debian: an interactive shell through --console-socket" {
    need_tool python3
    debian_bundle
    cat >"$DIR/console" <<'END'
import array, os, select, socket, sys, time
path, words = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(1)
listener.settimeout(10)
connection, _ = listener.accept()
_, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
master = array.array("i", ancillary[0][2])[0]
end, screen = time.time() + 10, b""
for word in words + [None]:
    if word is not None:
        time.sleep(0.7)
        os.write(master, word.encode() + b"\r")
while time.time() < end:
    if select.select([master], [], [], 1)[0]:
        try:
            screen += os.read(master, 4096)
        except OSError: # the last process has closed its end
            break
sys.stdout.write(screen.decode())
END
    python3 "$DIR/console" "$DIR/socket" tty '. /etc/os-release; echo "This is $ID"' exit >"$DIR/screen" 2>&1 3>&- 4>&- </dev/null &
    local reader=$!
    wait_for test -S "$DIR/socket"
    hull create --bundle "$BUNDLE" --console-socket "$DIR/socket" "$ID" </dev/null >"$DIR/out" 2>&1
    hull start "$ID"
    wait $reader
    cat "$DIR/screen"
    grep -q /dev/pts/0 "$DIR/screen"
    grep -q "This is debian" "$DIR/screen"
    wait_for has_status stopped
    hull delete "$ID"
}
