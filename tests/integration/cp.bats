#!/usr/bin/env bats
# shellcheck disable=SC2016 # scripts for the shell inside
# hull cp: docker's table of cases, owners, archives on the standard streams, and what a hostile container tries meanwhile.

load helpers
load image-run

setup()
{
    image_setup '{"Env": ["PATH=/bin"]}'
    mkdir -p "$DIR/src/sub"
    echo one >"$DIR/src/one"
    ln "$DIR/src/one" "$DIR/src/hard"
    ln -s one "$DIR/src/link"
    echo two >"$DIR/src/sub/two"
    echo file >"$DIR/file"
    cd "$DIR" || return 1
}

teardown()
{
    cd /
    image_teardown
}

# In a container that runs, and in one that does not.
in_both()
{
    hull create --name rests --image box sleep 100 >/dev/null
    detach runs sleep 100
    "$1" rests
    "$1" runs
}

# look CONTAINER COMMAND...: in it; one that rests is started first.
look()
{
    local container=$1
    shift
    [ "$container" = runs ] || hull start "$container" >/dev/null
    run hull exec "$container" "$@"
    [ "$container" = runs ] || hull stop --time 0 "$container" >/dev/null
}

cp_fails()
{
    run hull cp "$1" "$2"
    exits 1
    says "$3"
    [ "${#lines[@]}" = 1 ]
}

files_into()
{
    hull cp file "$1:/tmp"
    hull cp file "$1:/tmp/"
    hull cp ./file "$1:tmp/renamed"
    hull cp file "$1:/tmp/renamed"
    hull cp src "$1:/tmp"
    hull cp src "$1:/new"
    hull cp src/. "$1:/content"
    hull cp src/. "$1:/tmp"
    (cd src && hull cp . "$1:/dot")
    cp_fails file "$1:/nodir/" "$1:/nodir/: there is no such directory"
    cp_fails file "$1:/no/such" "$1:/no/such: its directory /no: No such file"
    cp_fails src "$1:/tmp/renamed" "$1:/tmp/renamed: a directory cannot be copied to a file"
    cp_fails src/. "$1:/tmp/renamed" "$1:/tmp/renamed: a directory cannot be copied to a file"
    cp_fails nosuch "$1:/tmp" "nosuch: No such file"
    cp_fails file/ "$1:/tmp" "file/: Not a directory"
    cp_fails file "$1:/etc/passwd/" "$1:/etc/passwd/: Not a directory"
    look "$1" sh -c 'cd /; find tmp new content dot | sort | tr "\n" " "; cat tmp/renamed tmp/src/sub/two; readlink new/link; stat -c %h new/one; stat -c %a /tmp'
    output_is "content content/hard content/link content/one content/sub content/sub/two dot dot/hard dot/link dot/one dot/sub dot/sub/two \
new new/hard new/link new/one new/sub new/sub/two tmp tmp/file tmp/hard tmp/link tmp/one tmp/renamed tmp/src tmp/src/hard tmp/src/link \
tmp/src/one tmp/src/sub tmp/src/sub/two tmp/sub tmp/sub/two file
two
one
2
1777"
}

@test "into a container: files and directories, onto what is there and what is not" {
    in_both files_into
}

files_out_of()
{
    hull cp src "$1:/tmp"
    mkdir -p "out/$1/there"
    cd "out/$1" || return 1
    hull cp "$1:/tmp/src/one" .
    hull cp "$1:/tmp/src/one" renamed
    hull cp "$1:/tmp/src" there
    hull cp "$1:/tmp/src/" new
    hull cp "$1:/tmp/src/." content
    hull cp "$1:tmp/src/link" there/
    hull cp -L "$1:/tmp/src/link" followed
    cp_fails "$1:/nosuch" . "$1:/nosuch: No such file"
    cp_fails "$1:/tmp/src" renamed "renamed: a directory cannot be copied to a file"
    cp_fails "$1:/tmp/src/one" nodir/ "nodir/: there is no such directory"
    cp_fails "$1:/tmp/src/one/." x "$1:/tmp/src/one/.: Not a directory"
    run bash -c 'find . | sort | tr "\n" " "; cat renamed; readlink there/link; test -L followed || cat followed'
    output_is ". ./content ./content/hard ./content/link ./content/one ./content/sub ./content/sub/two ./followed ./new ./new/hard ./new/link \
./new/one ./new/sub ./new/sub/two ./one ./renamed ./there ./there/link ./there/src ./there/src/hard ./there/src/link ./there/src/one \
./there/src/sub ./there/src/sub/two one
one
one"
    cd "$DIR" || return 1
}

@test "out of a container" {
    in_both files_out_of
}

@test "a directory in a file's place, and the other way round, are errors without --overwrite" {
    mkdir -p a/x b
    echo >b/x
    hull create --name c --image box true >/dev/null
    hull cp a/. c:/t
    cp_fails b/. c:/t "c:/t: ./x: a directory is there"
    hull cp --overwrite b/. c:/t
    cp_fails a/. c:/t "c:/t: ./x/: a file is there"
    hull cp --overwrite a/. c:/t
    hull cp c:/t back
    [ -d back/x ]
}

@test "what is not said: arguments" {
    cp_fails a b 'one of "a" and "b" must be CONTAINER:PATH'
    cp_fails nosuch:/x y "container does not exist: nosuch"
    cp_fails file c: "c:: the path in the container is missing"
    touch ./a:b
    hull create --name c --image box true >/dev/null
    hull cp ./a:b c:/
    hull cp c:/a:b "$DIR/back"
}

@test "owners: the container's root, or the caller; -a keeps them; no device, no set-id bit by accident" {
    chown 7:8 file
    chmod 4755 file
    mkdir special
    cp file special/suid
    mknod special/null c 1 3
    mkfifo special/fifo
    detach runs sleep 100
    hull cp file runs:/plain
    hull cp -a file runs:/kept
    hull cp special runs:/
    run hull exec runs stat -c '%u:%g %a %F' /plain /kept /special/null /special/fifo
    output_is $'0:0 4755 regular file\n7:8 4755 regular file\n0:0 644 character special file\n0:0 644 fifo'
    hull exec runs chown 5:6 /kept
    hull exec runs chmod 6755 /kept
    hull cp runs:/kept plain
    hull cp -a runs:/kept kept
    run stat -c '%u:%g %a' plain kept
    output_is $'0:0 755\n5:6 6755'
    run hull cp runs:/special out
    exits 0
    says "1 device nodes are left out"
    [ "$(ls out)" = $'fifo\nsuid' ]
    hull cp -a runs:/special all
    [ -c all/null ]
}

@test "archives on the standard streams" {
    detach runs sleep 100
    tar -c src file | hull cp - runs:/tmp
    tar -cz -C src . | hull cp - runs:/tmp
    run hull exec runs sh -c 'cd /tmp && find . | sort | tr "\n" " "'
    output_is ". ./file ./hard ./link ./one ./src ./src/hard ./src/link ./src/one ./src/sub ./src/sub/two ./sub ./sub/two "
    hull cp runs:/tmp/src - >out.tar
    run tar -tf out.tar
    output_is $'src/\nsrc/hard\nsrc/link\nsrc/one\nsrc/sub/\nsrc/sub/two'
    run bash -c '"$1" --root "$2" cp runs:/tmp/src/. - | tar -t' - "$HULL" "$STATE"
    output_is $'./\n./hard\n./link\n./one\n./sub/\n./sub/two'
    run bash -c '"$1" --root "$2" cp runs:/tmp/file - | tar -xO' - "$HULL" "$STATE"
    output_is file
    run hull cp - runs:/nosuch <out.tar
    exits 1
    says "runs:/nosuch: No such file"
    run hull cp - runs:/tmp/file <out.tar
    exits 1
    says "unpacked into a directory"
    run hull cp - runs:/tmp </dev/null
    exits 0
    output_is ""
    run hull cp - runs:/tmp <file
    exits 1
    says "the archive cannot be read"
    head -c 2000 out.tar >cut.tar
    run hull cp - runs:/tmp <cut.tar
    exits 1
    run bash -c 'dd if=/dev/zero bs=1M count=50 2>/dev/null | "$1" --root "$2" cp - runs:/tmp' - "$HULL" "$STATE"
    [ "$status" -le 1 ]
}

@test "archives that want out of where they go" {
    python3 - <<'PYTHON'
import io, tarfile
def make(name, *entries):
    with tarfile.open(name, "w") as t:
        for path, kind, link in entries:
            i = tarfile.TarInfo(path)
            i.type, i.linkname = kind, link
            data = b"evil" if kind == tarfile.REGTYPE else b""
            i.size = len(data)
            t.addfile(i, io.BytesIO(data))
R, S, L = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
make("up.tar", ("../up", R, ""))
make("through.tar", ("l", S, "/tmp"), ("l/through", R, ""))
make("hard.tar", ("h", L, "/etc/passwd"))
make("hardup.tar", ("h", L, "../../etc/passwd"))
make("absolute.tar", ("/tmp/absolute-of-hull", R, ""))
PYTHON
    hull create --name c --image box true >/dev/null
    for name in up through hard hardup; do
        run hull cp - c:/tmp <"$name.tar"
        exits 1
    done
    run hull cp - c:/tmp <absolute.tar
    exits 0
    [ ! -e /tmp/absolute-of-hull ] && [ ! -e /tmp/through ] && [ ! -e "$DIR/up" ]
    hull cp c:/tmp/tmp/absolute-of-hull back
    # A file that is replaced is replaced, not written through.
    echo before >target
    ln -s "$DIR/target" link
    mkdir in
    ln "$DIR/target" in/hard
    ln -s "$DIR/target" in/link
    mkdir evil
    echo evil >evil/hard
    echo evil >evil/link
    hull cp evil/. c:/e
    hull cp c:/e/. in
    [ "$(cat target)" = before ]
    [ "$(cat in/link)" = evil ]
}

@test "links of the container's lead nowhere else" {
    mkdir "$DIR/secret"
    echo host >"$DIR/secret/file"
    detach runs sh -c "mkdir -p /w && ln -s $DIR/secret /w/dir && ln -s $DIR/secret/file /w/file && ln -s ../../../../../..$DIR/secret/file /w/up && ln -s /w/real /w/inside && ln -s /proc/1/root/$DIR/secret /w/magic && sleep 100"
    wait_for hull exec runs test -L /w/magic
    cp_fails runs:/w/dir/file out "No such file"
    cp_fails runs:/w/dir/ out "No such file"
    run hull cp -L runs:/w/up out
    exits 1
    run hull cp runs:/w/magic/file out
    exits 1
    hull cp file runs:/w/inside
    run hull exec runs cat /w/real
    output_is file
    cp_fails file runs:/w/dir/file "No such file"
    hull exec runs mkdir -p "$DIR/secret"
    hull cp file runs:/w/dir
    hull cp file runs:/w/file
    hull cp file runs:/w/up
    [ "$(cat "$DIR/secret/file")" = host ]
    [ "$(ls "$DIR/secret")" = file ]
    [ ! -e out ]
    run hull exec runs cat "$DIR/secret/file"
    output_is file
}

# A directory below the target is a link to the host's secret, now and then: written are the container's files alone.
@test "links swapped while files are copied: the host's stay as they are, and are not read" {
    mkdir -p "$DIR/secret" tree/a/b
    local i
    for i in $(seq 1 40); do
        echo secret >"$DIR/secret/f$i"
        echo copied >"tree/a/b/f$i"
    done
    chmod 600 "$DIR/secret"/*
    find "$DIR/secret" -printf '%p %m %u %s %T@ %i\n' | sort >before
    detach runs sh -c "mkdir -p /t/tree/a/b /t/tree/a/c; cd /t/tree/a; for i in \$(seq 1 40); do echo own >/t/tree/a/b/f\$i; done
        while :; do mv b x; ln -s $DIR/secret b; rm b; ln -s /proc/1/root$DIR/secret b; rm b; mv x b; mv b/f1 b/g; ln -s $DIR/secret/f1 b/f1; rm -f b/f1; mv b/g b/f1; done 2>/dev/null"
    wait_for hull exec runs test -e /t/tree/a/b/f40
    local pids=()
    hull exec runs sh -c "while :; do mv /t/tree/a /t/tree/y; ln -s $DIR/secret /t/tree/a; rm /t/tree/a; mv /t/tree/y /t/tree/a; done 2>/dev/null" &
    pids+=($!)
    for i in $(seq 1 40); do
        hull cp tree runs:/t >/dev/null 2>&1 || true
        rm -rf out
        hull cp runs:/t/tree out >/dev/null 2>&1 || true
        run grep -rl secret out
        [ "$status" != 0 ]
    done
    find "$DIR/secret" -printf '%p %m %u %s %T@ %i\n' | sort | diff before -
    hull rm --force runs >/dev/null
    wait "${pids[@]}" || true
}

@test "between containers, volumes, what is mounted on a file" {
    mkdir -p volume readonly
    detach one -v "$DIR/volume:/v" -v "$DIR/readonly:/r:ro" sleep 100
    hull create --name two --image box -v "$DIR/volume:/root" -v "$DIR/readonly:/run:ro" true >/dev/null
    hull cp src one:/v
    [ -f volume/src/sub/two ]
    hull cp one:/v/src two:/etc
    hull cp two:/etc/src/one two:/root
    [ -f volume/one ]
    cp_fails file one:/r "Read-only file system"
    cp_fails file two:/run "Read-only file system"
    [ -z "$(ls readonly)" ]
    hull cp file one:/etc/hostname
    run hull exec one cat /etc/hostname
    output_is file
    run hull cp one:/proc/version out
    exits 1
    says "shows the kernel's state"
    hull cp one:/ everything
    [ -d everything/proc ] && [ -z "$(ls everything/proc)" ] && [ -z "$(ls everything/sys)" ]
    [ -f everything/etc/passwd ]
}

@test "a bundle's container: while it runs, and when it has ended" {
    make_bundle "$BUNDLE"
    cargo sleep 100
    start_detached
    hull cp src "$ID:/tmp"
    [ -f "$BUNDLE/rootfs/tmp/src/sub/two" ]
    hull cp "$ID:/tmp/src/one" out
    hull kill "$ID" KILL
    wait_for has_status stopped
    hull cp "$ID:/tmp/src/sub" out2
    [ -f out2/two ]
    hull delete "$ID"
}

@test "ids of a user namespace are the container's" {
    detach runs --uidmap 0:100000:65536 --gidmap 0:100000:65536 sleep 100
    chown 7:8 file
    hull cp file runs:/plain
    hull cp -a file runs:/kept
    run hull exec runs stat -c %u:%g /plain /kept
    output_is $'0:0\n7:8'
    hull cp -a runs:/kept back
    hull stop --time 0 runs
    hull cp -a file runs:/ended
    hull cp -a runs:/kept back2
    run stat -c %u:%g back back2
    output_is $'7:8\n7:8'
    hull start runs
    run hull exec runs stat -c %u:%g /ended
    output_is 7:8
    chown 70000 file
    run hull cp -a file runs:/x
    exits 1
    says "none that the container has"
}

@test "a container that is worked on starts afterwards; nothing stays mounted, killed or not" {
    hull create --name c --image box cat /tmp/slow/file >/dev/null
    mkdir slow
    cp file slow/file
    (tar -c slow; sleep 1) | hull cp - c:/tmp &
    sleep 0.3
    run hull start --attach c
    exits 0
    output_is file
    wait
    mkfifo archive
    "$HULL" --root "$STATE" cp - c:/tmp <archive 3>&- 4>&- &
    local cp=$! child
    exec 5>archive
    tar -c slow >&5
    wait_for pgrep -P "$cp"
    child=$(pgrep -P "$cp")
    wait_for grep -qa copy-in "/proc/$child/cmdline"
    kill -9 "$child"
    run hull start --attach c
    output_is file
    exec 5>&-
    wait
    run grep -F "$DIR/store" /proc/self/mountinfo
    exits 1
}

@test "without root" {
    need_unprivileged_user
    mkdir home
    cp file home/
    cp -r src home/
    local layout=$DIR/box.tar
    hull save --output "$layout" box
    chmod 644 "$layout"
    chown -R "$UNPRIVILEGED:" home
    mine()
    {
        (cd home && as_user HOME="$DIR/home" XDG_RUNTIME_DIR="$DIR/home" HULL_STORE="$DIR/home/store" "$HULL" --root "$DIR/home/state" "$@" 3>&- 4>&-)
    }
    mine load --quiet --input "$layout"
    mine run -d --name c --image box sleep 100 </dev/null
    mine cp src c:/tmp
    run mine exec c stat -c %u:%g /tmp/src/sub/two
    output_is 0:0
    mine exec c chown 5:5 /tmp/src/one
    mine cp c:/tmp/src out
    [ "$(stat -c %U home/out/one)" = "$UNPRIVILEGED" ]
    mine stop --time 0 c
    mine cp file c:/etc/ended
    mine cp c:/tmp/src/one back
    mine start c
    run mine exec c cat /etc/ended
    output_is file
    mine rm --force --all
}
