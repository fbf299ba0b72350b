#!/usr/bin/env bats
# Images: from registries, archives and directories into the store and out of it again, beside umoci, podman and skopeo.

load helpers
load images

setup()
{
    images_setup
    make_layout
}

eval "$(declare -f teardown | sed '1s/.*/leave_nothing()/')"
teardown()
{
    images_teardown
    leave_nothing
}

podman_()
{
    podman --root "$DIR/podman" --runroot "$DIR/podman-run" --storage-driver vfs "$@" 3>&- 4>&-
}

image_id()
{
    hull images -q --no-trunc | sort -u
}

layout_id()
{
    skopeo inspect --config --raw "oci:$LAYOUT:latest" | sha256sum | cut -d' ' -f1
}

@test "an image of a registry, by tag, has the tree that umoci makes" {
    start_registry
    push_layout t/image:1
    run --separate-stderr hull pull "$HOST/t/image:1" </dev/null
    exits 0
    output_is "sha256:$(layout_id)"
    umoci unpack --image "$LAYOUT:latest" "$DIR/umoci"
    overlay "$HOST/t/image:1" "$DIR/root"
    listing "$DIR/umoci/rootfs" >"$DIR/umoci.list"
    listing "$DIR/root" >"$DIR/hull.list"
    diff "$DIR/umoci.list" "$DIR/hull.list"
    [ ! -e "$DIR/root/opt/gone" ] && [ ! -e "$DIR/root/opt/opaque/b" ] && [ -e "$DIR/root/opt/opaque/new" ]
    [ "$(stat -c %b "$DIR/root/usr/lib/hole")" -lt 100 ]
}

@test "and the tree that podman makes" {
    need_tool podman
    start_registry
    push_layout t/image:1
    hull pull -q "$HOST/t/image:1"
    podman_ pull -q --tls-verify=false "$HOST/t/image:1"
    mounted=$(podman_ image mount "$HOST/t/image:1")
    overlay "$HOST/t/image:1" "$DIR/root"
    # The root's own time is another: podman makes directories in it, and takes them away again.
    listing "$mounted" | sed '1s/ [0-9]* - - -$//' >"$DIR/podman.list"
    listing "$DIR/root" | sed '1s/ [0-9]* - - -$//' >"$DIR/hull.list"
    podman_ image unmount "$HOST/t/image:1"
    diff "$DIR/podman.list" "$DIR/hull.list"
}

# Their directories are those of the layers below, with their modes and times, or lie where a link of theirs leads.
@test "layers that leave directories out have the tree that umoci makes" {
    mkdir -p "$DIR/1"/usr/{bin,share/deep} "$DIR/2/usr/share/deep" "$DIR/3/bin" "$DIR/4/usr/share/new"
    ln -s usr/bin "$DIR/1/bin"
    chmod 710 "$DIR/1/usr/bin"
    chmod 750 "$DIR/1/usr/share/deep"
    chown 3:4 "$DIR/1/usr/share/deep"
    echo f >"$DIR/2/usr/share/deep/f"
    echo tool >"$DIR/3/bin/tool"
    echo new >"$DIR/4/usr/share/new/f"
    find "$DIR/1" -exec touch -h -d '2021-03-04 05:06:07' {} +
    umoci init --layout "$DIR/oci"
    umoci new --image "$DIR/oci:latest"
    tar -C "$DIR/1" -cf "$DIR/1.tar" .
    tar -C "$DIR/2" -cf "$DIR/2.tar" usr/share/deep/f
    tar -C "$DIR/3" -cf "$DIR/3.tar" bin/tool
    tar -C "$DIR/4" -cf "$DIR/4.tar" usr/share/new/f
    for i in 1 2 3 4; do umoci raw add-layer --image "$DIR/oci:latest" "$DIR/$i.tar"; done
    LAYOUT=$DIR/oci
    start_registry
    push_layout t/image:1
    hull pull -q "$HOST/t/image:1"
    overlay "$HOST/t/image:1" "$DIR/root"
    [ "$(cat "$DIR/root/usr/bin/tool")" = tool ]
    [ -L "$DIR/root/bin" ]
    [ "$(stat -c '%a %u:%g' "$DIR/root/usr/share/deep")" = "750 3:4" ]
    umoci unpack --image "$LAYOUT:latest" "$DIR/umoci"
    # New directories have the time of unpacking; umoci gives parents one, too.
    diff <(cd "$DIR/umoci/rootfs" && find . -type f -printf '%p %m %u %s %T@\n' -o -printf '%p %m %u %l\n' | sort) \
        <(cd "$DIR/root" && find . -type f -printf '%p %m %u %s %T@\n' -o -printf '%p %m %u %l\n' | sort)
}

@test "by digest; again, nothing is fetched" {
    start_registry
    push_layout t/image:1
    digest=$(skopeo inspect --tls-verify=false "docker://$HOST/t/image:1" | jq -r .Digest)
    hull pull -q "$HOST/t/image@$digest"
    run hull images
    says "<none>"
    run hull pull "$HOST/t/image:1" </dev/null
    exits 0
    says "present"
    says_not "unpacked"
    run hull pull -q "$HOST/t/image@sha256:$(printf %064d 1)" </dev/null
    exits 1
    says "404 not found"
}

@test "pull --policy: newer is another digest; where the registry is away, the stored one will do" {
    start_registry
    push_layout t/image:1
    local image=$HOST/t/image:1 old new
    run hull pull --policy=never "$image" </dev/null
    exits 1
    says "is not in the store"
    old=$(hull pull -q --policy=missing "$image")
    [ "$(hull pull -q --policy=newer "$image")" = "$old" ]
    cp -r "$LAYOUT" "$DIR/other"
    umoci config --image "$DIR/other:latest" --config.env NEW=1
    LAYOUT=$DIR/other push_layout t/image:1
    [ "$(hull pull -q --policy=missing "$image")" = "$old" ]
    [ "$(hull pull -q --policy=never "$image")" = "$old" ]
    [ "$(image_id)" = "$old" ]
    new=$(hull pull -q --policy=newer "$image")
    [ "$new" != "$old" ]
    hull inspect "$image" | grep -q "${new#sha256:}"
    run hull pull -q --policy=missing --platform=linux/s390x "$image" </dev/null
    exits 1
    says "not for linux/s390x"
    stop_registry
    run --separate-stderr hull pull -q --policy=newer "$image" </dev/null
    exits 0
    output_is "$new"
    [[ "$stderr" == *"the image in the store will do"* ]]
    run hull pull -q --policy=newer "$HOST/t/none:1" </dev/null
    exits 1
    run hull pull -q "$image" </dev/null
    exits 1
    run hull run --rm --pull=newer --image "$image" sh -c 'echo runs' </dev/null
    exits 0
    says runs
}

@test "two at once share the work" {
    start_registry
    push_layout t/one:1
    push_layout t/two:1
    hull pull "$HOST/t/one:1" >/dev/null 2>"$DIR/one" &
    first=$!
    hull pull "$HOST/t/two:1" >/dev/null 2>"$DIR/two" &
    second=$!
    wait $first
    wait $second
    [ "$(cat "$DIR/one" "$DIR/two" | grep -c unpacked)" = 3 ]
    [ "$(cat "$DIR/one" "$DIR/two" | grep -c present)" = 3 ]
    [ "$(find "$HULL_STORE/layers" -maxdepth 1 -mindepth 1 | wc -l)" = 3 ]
}

@test "killed at any point; then it works, and prune leaves nothing" {
    start_registry
    push_layout t/image:1
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$HULL" pull -q "$HOST/t/image:1" >/dev/null 2>&1 3>&- 4>&- &
        sleep "0.0$((RANDOM % 9))"
        kill -9 $! 2>/dev/null || true
        wait $! || true
        hull prune -a >/dev/null
        store_is_empty
    done
    "$HULL" pull -q "$HOST/t/image:1" >/dev/null 2>&1 3>&- 4>&- &
    sleep 0.03
    kill -9 $! 2>/dev/null || true
    wait $! || true
    hull pull -q "$HOST/t/image:1"
    overlay "$HOST/t/image:1" "$DIR/root"
    [ "$(find "$DIR/root/srv" -type f | wc -l)" = 400 ]
    umount "$DIR/root"
    [ -z "$(ls "$HULL_STORE/tmp")" ]
    hull prune -a
    store_is_empty
}

@test "a layer that is not what the manifest says: named, and nothing stays" {
    start_registry
    push_layout t/image:1
    blob=$(find "$DIR/registry" -name data -size +1000k | head -n 1)
    printf x | dd of="$blob" bs=1 seek=500000 conv=notrunc status=none
    run hull pull -q "$HOST/t/image:1" </dev/null
    exits 1
    says "layers["
    says "damaged"
    store_is_empty
}

@test "the registry dies half-way: an error, and nothing stays" {
    start_registry
    push_layout t/image:1
    truncate -s 300000 "$(find "$DIR/registry" -name data -size +1500k | head -n 1)"
    run timeout 60 "$HULL" pull -q "$HOST/t/image:1" </dev/null 3>&- 4>&-
    exits 1
    says "$HOST"
    store_is_empty
}

@test "a full disk: an error, and nothing stays" {
    mkdir "$HULL_STORE"
    mount -t tmpfs -o size=2m none "$HULL_STORE"
    run hull load -q -i "$LAYOUT" </dev/null
    exits 1
    says "No space left on device"
    store_is_empty
}

@test "64 MiB are enough for a layer of any size" {
    mkdir "$DIR/tree"
    head -c 100M /dev/urandom >"$DIR/tree/random"
    head -c 300M /dev/zero >"$DIR/tree/zeros"
    tar -C "$DIR/tree" -cf "$DIR/big.tar" .
    gzip -1 "$DIR/big.tar"
    run --separate-stderr /usr/bin/time -o "$DIR/peak" -f %M "$HULL" import -q "$DIR/big.tar.gz" big 3>&- 4>&-
    exits 0
    [ "$(cat "$DIR/peak")" -lt 65536 ]
    [ "$(du -sm "$HULL_STORE/layers" | cut -f1)" -lt 110 ] # the zeros are a hole
}

@test "what others save, hull loads: the same image" {
    need_tool podman
    skopeo copy -q "oci:$LAYOUT:latest" "docker-archive:$DIR/skopeo.tar:docker.io/library/s:1"
    skopeo copy -q "oci:$LAYOUT:latest" "oci-archive:$DIR/skopeo-oci.tar:x"
    podman_ load -q -i "$DIR/skopeo.tar"
    podman_ tag docker.io/library/s:1 localhost/p:1
    podman_ save -q -o "$DIR/podman.tar" localhost/p:1
    podman_ save -q --format oci-archive -o "$DIR/podman-oci.tar" localhost/p:1
    gzip -k "$DIR/skopeo.tar"
    for file in skopeo.tar skopeo-oci.tar podman.tar podman-oci.tar skopeo.tar.gz; do
        rm -rf "$HULL_STORE"
        run hull load -q -i "$DIR/$file" </dev/null
        exits 0
        kind=docker-archive
        [[ $file != *oci* ]] || kind=oci-archive
        id=$(skopeo inspect --config --raw "$kind:$DIR/${file%.gz}" | sha256sum | cut -d' ' -f1)
        [ "$(image_id)" = "sha256:$id" ] || {
            echo "$file: $(image_id), expected $id" >&2
            return 1
        }
    done
    run hull load -q <"$DIR/podman.tar"
    exits 0
    output_is "Loaded image: localhost/p:1"
}

@test "what hull saves, others load: the same image" {
    need_tool podman
    hull load -q -i "$LAYOUT" v:2 </dev/null
    id=$(layout_id)
    for format in docker-archive oci-archive; do
        hull save --format $format -o "$DIR/$format.tar" v:2
        [ "$(skopeo inspect --config --raw "$format:$DIR/$format.tar" | sha256sum | cut -d' ' -f1)" = "$id" ]
        podman_ load -q -i "$DIR/$format.tar"
        [ "$(podman_ images -q --no-trunc localhost/v:2)" = "sha256:$id" ]
        podman_ rmi -f localhost/v:2
        hull save --format $format v:2 >"$DIR/stdout.tar"
        cmp "$DIR/$format.tar" "$DIR/stdout.tar"
    done
    hull save --format oci-dir -o "$DIR/layout" v:2
    umoci unpack --image "$DIR/layout:localhost/v:2" "$DIR/again" 2>/dev/null || umoci ls --layout "$DIR/layout"
    skopeo copy -q "oci:$DIR/layout" "dir:$DIR/dir"
    run hull save --format oci-dir -o "$DIR/layout" v:2
    exits 1
    says "has an image layout already"
}

@test "pushed, and pulled by skopeo and podman" {
    need_tool podman
    start_registry
    hull load -q -i "$LAYOUT" v:2 </dev/null
    # What is there is not sent again, and keeps its manifest.
    push_layout other:1
    own=$(skopeo inspect --tls-verify=false "docker://$HOST/other:1" | jq -r .Digest)
    run --separate-stderr hull push v:2 "$HOST/other:2"
    exits 0
    output_is "$own"
    # shellcheck disable=SC2154 # of bats
    [[ $stderr == *present* && $stderr != *pushed* ]]
    run --separate-stderr hull push -q v:2 "$HOST/new/image:3"
    exits 0
    digest=$output
    [ "$(skopeo inspect --tls-verify=false "docker://$HOST/new/image:3" | jq -r .Digest)" = "$digest" ]
    podman_ pull -q --tls-verify=false "$HOST/new/image:3" >"$DIR/id"
    [ "$(cat "$DIR/id")" = "$(layout_id)" ]
    for compression in zstd none; do
        run --separate-stderr hull push -q --compression $compression v:2 "$HOST/$compression:1"
        exits 0
        hull --store "$DIR/$compression" pull -q "$HOST/$compression:1"
    done
}

@test "push: layers are taken from another repository of the registry; several at once" {
    start_registry
    push_layout t/image:1
    hull pull -q "$HOST/t/image:1"
    hull tag "$HOST/t/image:1" "$HOST/other/name:2"
    run --separate-stderr hull push "$HOST/other/name:2" </dev/null
    exits 0
    [ "$(grep -c ': present' <<<"$stderr")" = 3 ]
    [ "$(skopeo inspect --tls-verify=false --raw "docker://$HOST/other/name:2" | sha256sum)" = "$(skopeo inspect --tls-verify=false --raw "docker://$HOST/t/image:1" | sha256sum)" ]
    hull rmi "$HOST/t/image:1"
    run --separate-stderr hull push "$HOST/other/name:2" "$HOST/third/name:3" </dev/null
    exits 0
    [ "$(grep -c ': present' <<<"$stderr")" = 3 ] # from other/name, by the name that it has here
    hull tag "$HOST/other/name:2" localhost/alone:1
    hull rmi "$HOST/other/name:2"
    run --separate-stderr hull push localhost/alone:1 "$HOST/fourth/name:4" </dev/null
    exits 0
    [ "$(grep -c ': pushed' <<<"$stderr")" = 3 ]
    hull pull -q "$HOST/fourth/name:4"
}

@test "credentials: login, pull, logout" {
    # shellcheck disable=SC2016 # bcrypt of "secret"
    echo 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a' >"$DIR/htpasswd"
    start_registry "auth: {htpasswd: {realm: test, path: $DIR/htpasswd}}"
    skopeo copy -q --dest-tls-verify=false --dest-creds user:secret "oci:$LAYOUT:latest" "docker://$HOST/t/image:1"
    run hull pull -q "$HOST/t/image:1" </dev/null
    exits 1
    says "wants a user and a password; see hull login"
    run hull login -u user --password-stdin "$HOST" <<<wrong
    exits 1
    run hull login -u user --password-stdin "$HOST" <<<secret
    exits 0
    hull pull -q "$HOST/t/image:1"
    hull logout "$HOST"
    run hull pull -q "$HOST/t/image:1" </dev/null
    exits 1
}

@test "names: tag, rmi, prune" {
    hull load -q -i "$LAYOUT" a:1 </dev/null
    hull tag a:1 b quay.io/c/d:3
    run hull images
    says "localhost/b"
    says "quay.io/c/d"
    id=$(image_id)
    id=${id#sha256:}
    run hull rmi "$id"
    exits 1
    says "3 names"
    hull rmi a:1
    hull rmi localhost/b:latest
    run hull rmi d:3
    exits 0
    says "Deleted"
    store_is_empty
    run hull rmi nothing
    exits 1
    says "nothing"

    hull load -q -i "$LAYOUT" a:1 </dev/null
    mkdir -p "$HULL_STORE/containers/web"
    skopeo inspect --raw "oci:$LAYOUT:latest" | sha256sum | cut -d' ' -f1 >"$HULL_STORE/containers/web/uses"
    run hull rmi a:1
    exits 1
    says "used by container web"
    rm -r "$HULL_STORE/containers/web"
    run hull prune
    exits 0
    [ -n "$(image_id)" ]
    hull prune --all
    store_is_empty
}

@test "import; history and inspect" {
    mkdir "$DIR/tree"
    echo hello >"$DIR/tree/greeting"
    tar -C "$DIR/tree" -c . | hull import -q -m "from a tar" - greeter:1
    run hull history greeter:1
    says "from a tar"
    run hull inspect greeter:1
    exits 0
    [ "$(jq -r '.[0].RepoTags[0]' <<<"$output")" = localhost/greeter:1 ]
    [ "$(cat "$(jq -r '.[0].Directories[0]' <<<"$output")/greeting")" = hello ]
    [ "$(jq -r '.[0].Id' <<<"$output")" = "$(hull inspect --raw --config greeter:1 | sha256sum | cut -d' ' -f1)" ]
    run hull import -q "$TESTS/suite" x
    exits 1
    says "no tar archive"
}

@test "archives that lie" {
    cp -r "$LAYOUT" "$DIR/lie"
    echo '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../x","size":3}]}' >"$DIR/lie/index.json"
    run hull load -q -i "$DIR/lie" </dev/null
    exits 1
    says "manifests[0]"
    echo '[]' >"$DIR/manifest.json"
    tar -C "$DIR" -cf "$DIR/lie.tar" manifest.json
    run hull load -q -i "$DIR/lie.tar" </dev/null
    exits 1
    says "manifest.json: must be an array"
    echo '[{"Config":"../../../../etc/passwd","Layers":[]}]' >"$DIR/manifest.json"
    tar -C "$DIR" -cf "$DIR/lie.tar" manifest.json
    run hull load -q -i "$DIR/lie.tar" </dev/null
    exits 1
    says "../../../../etc/passwd: No such file"
    run hull load -q -i /dev/zero </dev/null
    exits 1
    store_is_empty
}

@test "the same in JSON, quietly, and by words that help" {
    hull load -q -i "$LAYOUT" a:1 </dev/null
    [ "$(hull images --format json | jq -r '.[0].Names[0]')" = localhost/a:1 ]
    run hull pull --help
    exits 0
    says "USAGE:"
    run hull pull
    exits 1
    says "requires a minimum of 1 argument"
    run hull pull "BAD NAME"
    exits 1
    says 'image reference "BAD NAME"'
    run hull --help
    says "COMMANDS FOR IMAGES"
}

@test "without root: a user's own store, files with the owners that the image says" {
    need_unprivileged_user
    start_registry
    push_layout t/image:1
    mkdir "$DIR/user"
    chmod 644 "$CONTAINERS_REGISTRIES_CONF"
    chown "$UNPRIVILEGED" "$DIR/user"
    rootless=(as_user env "HOME=$DIR/user" "CONTAINERS_REGISTRIES_CONF=$CONTAINERS_REGISTRIES_CONF" "$HULL")
    run "${rootless[@]}" pull "$HOST/t/image:1" </dev/null
    exits 0
    says "device nodes left out"
    store=$DIR/user/.local/share/hull
    [ "$(stat -c %U "$store/lock")" = "$UNPRIVILEGED" ]
    first=$(grep -m 1 "^$UNPRIVILEGED:" /etc/subuid | cut -d: -f2)
    [ "$(stat -c %u "$(find "$store/layers" -path '*/tree/opt' -user $((first + 6)))")" = $((first + 6)) ]
    run "${rootless[@]}" images
    says "t/image"
    run "${rootless[@]}" save -o "$DIR/user/saved.tar" t/image:1
    exits 0
    run "${rootless[@]}" rmi t/image:1
    exits 0
    [ -z "$(find "$store" -mindepth 2 -not -path '*/blobs/sha256')" ]
}

@test "mount and umount: read-only, and safe from prune" {
    hull load -q -i "$LAYOUT" a:1 </dev/null
    run --separate-stderr hull mount a:1
    exits 0
    root=$output
    umoci unpack --image "$LAYOUT:latest" "$DIR/umoci"
    diff <(listing "$DIR/umoci/rootfs") <(listing "$root")
    run touch "$root/srv/new"
    exits 1
    [ "$(hull mount a:1)" = "$root" ]
    [ "$(hull mount | wc -l)" = 1 ]
    run hull rmi a:1
    exits 1
    says "used by mount"
    hull rmi --force a:1
    hull prune --all
    [ "$(find "$root/srv" -type f | wc -l)" = 400 ]
    hull umount --all
    hull prune --all
    store_is_empty
}

@test "unpack: a bundle that any runtime runs" {
    hull load -q -i "$LAYOUT" a:1 </dev/null
    hull unpack a:1 "$DIR/bundle"
    umoci unpack --image "$LAYOUT:latest" "$DIR/umoci"
    diff <(listing "$DIR/umoci/rootfs") <(listing "$DIR/bundle/rootfs")
    run hull unpack a:1 "$DIR/bundle"
    exits 1
    says "has a bundle already"
    jq '.process.terminal = false | .process.args = ["/bin/sh", "-c", "pwd; cat /opt/opaque/new"]' "$DIR/bundle/config.json" >"$DIR/edited"
    cp "$DIR/edited" "$DIR/bundle/config.json"
    run hull run --bundle "$DIR/bundle" "$ID" </dev/null
    exits 0
    output_is "/srv
new"
    if command -v runc >/dev/null; then
        run runc --root "$DIR/runc" run --bundle "$DIR/bundle" "$ID-runc" </dev/null
        exits 0
        says "/srv"
    fi
}

@test "diff: what a container wrote, and an image of it" {
    hull load -q -i "$LAYOUT" a:1 </dev/null
    run hull run --image a:1 --name "$ID" --network none /bin/sh -c \
        'echo x >/srv/new; /bin/busybox rm /srv/file1; echo y >>/etc/passwd; /bin/busybox rm -r /opt/opaque; /bin/busybox mkdir /opt/opaque; echo z >/opt/opaque/z' </dev/null
    exits 0
    run hull diff "$ID"
    exits 0
    for line in "A /srv/new" "D /srv/file1" "C /etc/passwd" "C /opt/opaque" "A /opt/opaque/z"; do
        says "$line"
    done
    run hull diff -q -m "by hand" "$ID" changed:1
    exits 0
    overlay changed:1 "$DIR/root"
    [ "$(cat "$DIR/root/srv/new")" = x ]
    [ "$(tail -n 1 "$DIR/root/etc/passwd")" = y ]
    [ ! -e "$DIR/root/srv/file1" ] && [ -e "$DIR/root/srv/file2" ]
    [ "$(ls "$DIR/root/opt/opaque")" = z ]
    umount "$DIR/root"
    hull history changed:1 | grep -q "by hand"
    [ "$(hull inspect changed:1 | jq -r '.[0].Config.WorkingDir')" = /srv ]
    hull rm "$ID"
    hull save -o "$DIR/changed.tar" changed:1
    skopeo inspect --config "docker-archive:$DIR/changed.tar" >/dev/null
}

@test "unpack without root: a bundle for that user" {
    need_unprivileged_user
    mkdir "$DIR/user"
    chown "$UNPRIVILEGED" "$DIR/user"
    chmod -R a+rX "$BATS_RUN_TMPDIR"
    rootless=(as_user env "HOME=$DIR/user" "XDG_RUNTIME_DIR=$DIR/user" "$HULL")
    "${rootless[@]}" load -q -i "$LAYOUT" a:1 </dev/null
    run "${rootless[@]}" mount a:1
    exits 1
    says "hull unpack"
    "${rootless[@]}" unpack a:1 "$DIR/user/bundle"
    jq '.process.terminal = false | .process.args = ["/bin/busybox", "stat", "-c", "%u:%g", "/srv", "/etc/passwd"]' \
        "$DIR/user/bundle/config.json" >"$DIR/edited"
    cat "$DIR/edited" >"$DIR/user/bundle/config.json"
    run "${rootless[@]}" run --bundle "$DIR/user/bundle" "$ID" </dev/null
    exits 0
    output_is "5:6
0:0"
}
