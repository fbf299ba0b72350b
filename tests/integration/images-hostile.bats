#!/usr/bin/env bats
# Images at their worst: archives with all that one can hold, archives that mean harm, disks that are full or of the wrong kind,
# commands killed in the midst of each other, registries that want to be spoken to in their own way.

load helpers
load images

setup()
{
    images_setup
    need_tool python3
}

eval "$(declare -f teardown | sed '1s/.*/leave_nothing()/')"
teardown()
{
    images_teardown
    umount "$DIR/merged" 2>/dev/null || true
    leave_nothing
}

# A layout with the image $1 of the odd ones alone: load takes all that there are.
only()
{
    mkdir -p "$DIR/only.$1"
    cp -rn "$DIR/odd/blobs" "$DIR/odd/oci-layout" "$DIR/only.$1/"
    jq --arg name "$1" '.manifests |= map(select(.annotations["org.opencontainers.image.ref.name"] == $name))' \
        "$DIR/odd/index.json" >"$DIR/only.$1/index.json"
}

@test "all that an archive can hold, however it is compressed: as umoci unpacks it" {
    local form
    need_tool zstd
    python3 "$TESTS/integration/odd-layers.py" "$DIR/odd"
    umoci unpack --image "$DIR/odd:gzip" "$DIR/umoci"
    listing "$DIR/umoci/rootfs" >"$DIR/theirs"
    for form in gzip none zstd members frames window; do
        only "$form"
        rm -rf "$HULL_STORE"
        run hull load -q -i "$DIR/only.$form" odd:1 </dev/null
        exits 0
        overlay odd:1 "$DIR/root"
        listing "$DIR/root" >"$DIR/ours"
        umount "$DIR/root"
        diff "$DIR/theirs" "$DIR/ours"
    done
}

@test "archives that mean harm do none: what is wrong is named, nothing stays" {
    local name words
    mkdir "$DIR/hostile"
    python3 "$TESTS/integration/hostile-layers.py" "$DIR/hostile" "$DIR/canary" >"$DIR/cases"
    while IFS=$'\t' read -r name words; do
        run timeout 20 "$HULL" import -q "$DIR/hostile/$name.tar" hostile:1 </dev/null
        if [ -n "$words" ]; then
            exits 1
            says "$words"
            [[ $output != *[$'\e\a']* ]]
        else
            exits 0
            hull rmi hostile:1
        fi
        [ ! -e "$DIR/canary" ]
        store_is_empty
    done <"$DIR/cases"
}

@test "a disk that was full and is no more; a full disk is no altered layer" {
    make_layout
    mkdir "$HULL_STORE" "$DIR/full"
    mount -t tmpfs -o size=2m none "$HULL_STORE"
    run hull load -q -i "$LAYOUT" full:1 </dev/null
    exits 1
    says "No space left on device"
    mount -o remount,size=100m "$HULL_STORE"
    run hull load -q -i "$LAYOUT" full:1 </dev/null
    exits 0
    head -c 200m /dev/zero >"$HULL_STORE/fill" 2>/dev/null || true
    run hull save -o "$DIR/saved" full:1
    exits 1
    says "No space left on device"
    says_not "was changed"
    rm "$HULL_STORE/fill"
    mount -t tmpfs -o size=1m none "$DIR/full"
    run hull save -o "$DIR/full/saved" full:1
    umount "$DIR/full"
    exits 1
    says "No space left on device"
    [ ! -e "$DIR/saved" ]
}

@test "a store on overlayfs is told to move" {
    make_layout
    mkdir -p "$DIR/merged" "$DIR/lower" "$DIR/upper" "$DIR/work"
    mount -t overlay -o "lowerdir=$DIR/lower,upperdir=$DIR/upper,workdir=$DIR/work" none "$DIR/merged"
    HULL_STORE=$DIR/merged/store run hull load -q -i "$LAYOUT" </dev/null
    exits 1
    says "on overlayfs, which cannot hold layers"
    HULL_STORE=$DIR/merged/store store_is_empty
    # One layer without whiteouts comes in, but no container can write.
    mkdir -p "$DIR/tree/bin"
    cp /bin/busybox "$DIR/tree/bin/sh"
    tar -C "$DIR/tree" -cf "$DIR/tree.tar" .
    HULL_STORE=$DIR/merged/store hull import -q "$DIR/tree.tar" plain:1
    HULL_STORE=$DIR/merged/store run hull run --rm --network none --image plain:1 sh -c 'exit 3' </dev/null
    exits 125
    says "are on overlayfs themselves"
}

@test "the root directory is the topmost layer's that describes it; a bundle may be on another file system than the store" {
    local i where
    mkdir -p "$DIR/1/usr" "$DIR/2/opt" "$HULL_STORE"
    mount -t tmpfs none "$HULL_STORE"
    cp /bin/busybox "$DIR/1/usr/"
    truncate -s 1M "$DIR/1/usr/hole"
    chown 5:6 "$DIR/1"
    chmod 711 "$DIR/1"
    echo x >"$DIR/2/opt/file"
    tar -C "$DIR/1" --numeric-owner -cf "$DIR/1.tar" .
    tar -C "$DIR/2" --numeric-owner -cf "$DIR/2.tar" opt
    umoci init --layout "$DIR/layout"
    umoci new --image "$DIR/layout:root"
    for i in 1 2; do umoci raw add-layer --image "$DIR/layout:root" "$DIR/$i.tar"; done
    hull load -q -i "$DIR/layout" root:1 </dev/null
    where=$(hull mount root:1)
    [ "$(stat -c %a:%u:%g "$where")" = 711:5:6 ]
    [ "$(ls "$where")" = $'opt\nusr' ]
    hull umount root:1
    run hull unpack root:1 "$DIR/bundle"
    exits 0
    [ "$(stat -c %a:%u:%g "$DIR/bundle/rootfs")" = 711:5:6 ]
    cmp /bin/busybox "$DIR/bundle/rootfs/usr/busybox"
    [ "$(stat -c %s:%b "$DIR/bundle/rootfs/usr/hole")" = 1048576:0 ]
}

@test "a damaged store: told, and mended by the next pull" {
    local file
    make_layout
    start_registry
    push_layout t/image:1
    push_layout t/other:1
    hull pull -q "$HOST/t/image:1" </dev/null
    for file in "$HULL_STORE"/blobs/sha256/*; do
        head -c 100 "$file" >"$DIR/half"
        cat "$DIR/half" >"$file"
    done
    run hull inspect "$HOST/t/image:1"
    exits 1
    says "not whole (pull it again)"
    run --separate-stderr hull pull -q "$HOST/t/image:1" </dev/null
    exits 0
    run hull inspect "$HOST/t/image:1"
    exits 0
    # A name that says nothing is in nobody's way.
    hull tag "$HOST/t/image:1" good:1
    : >"$HULL_STORE/names/${HOST}+t+image:1"
    run hull images
    exits 0
    says "+t+image:1"
    says good
    run hull pull -q "$HOST/t/image:1" </dev/null
    exits 0
    run --separate-stderr hull inspect "$HOST/t/image:1"
    exits 0
    echo '{}' >"$HULL_STORE/names/bad"
    echo x >"$HULL_STORE/layers/junk"
    rm -r "$HULL_STORE/stacks"
    run hull pull -q "$HOST/t/image:1" </dev/null
    exits 0
    hull rmi good:1 "$HOST/t/image:1"
    hull prune
    store_is_empty
}

@test "commands killed in the midst of each other: then all works, and prune leaves nothing" {
    local i
    make_layout
    start_registry
    push_layout t/image:1
    kill_one()
    {
        "$HULL" --root "$STATE" "$@" >/dev/null 2>&1 </dev/null 3>&- 4>&- &
        local pid=$!
        sleep "0.$(printf %03d $((RANDOM % 300)))"
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    }
    for ((i = 0; i < 24; i++)); do
        case $((RANDOM % 6)) in
            0 | 1) kill_one pull -q "$HOST/t/image:1" ;;
            2) kill_one rmi -f "$HOST/t/image:1" ;;
            3) kill_one prune --all ;;
            4) kill_one load -q -i "$LAYOUT" other:1 ;;
            5) kill_one push -q "$HOST/t/image:1" "$HOST/t/killed:$i" ;;
        esac
    done
    run --separate-stderr hull pull -q "$HOST/t/image:1" </dev/null
    exits 0
    overlay "$HOST/t/image:1" "$DIR/root"
    umoci unpack --image "$LAYOUT:latest" "$DIR/umoci"
    listing "$DIR/umoci/rootfs" >"$DIR/theirs"
    listing "$DIR/root" | diff "$DIR/theirs" -
    umount "$DIR/root"
    hull prune --all
    store_is_empty
}

# An authority, a certificate of the server's and one of ours: $DIR/tls.
make_certificates()
{
    need_tool openssl
    mkdir -p "$DIR/tls"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$DIR/tls/ca.key" -out "$DIR/tls/ca.crt"
    local name
    for name in server client; do
        openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$DIR/tls/$name.key" -out "$DIR/tls/$name.csr"
        openssl x509 -req -days 2 -in "$DIR/tls/$name.csr" -CA "$DIR/tls/ca.crt" -CAkey "$DIR/tls/ca.key" -CAcreateserial \
            -extfile <(echo subjectAltName=IP:127.0.0.1) -out "$DIR/tls/$name.crt"
    done
} 2>/dev/null

@test "a registry that wants a certificate of ours, and a password that a helper keeps" {
    local certs
    make_layout
    make_certificates
    # bcrypt of "secret", for user
    # shellcheck disable=SC2016
    echo 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a' >"$DIR/htpasswd"
    start_registry "  tls: {certificate: $DIR/tls/server.crt, key: $DIR/tls/server.key, clientcas: [$DIR/tls/ca.crt]}
auth: {htpasswd: {realm: r, path: $DIR/htpasswd}}"
    certs=$HOME/.config/containers/certs.d/$HOST
    mkdir -p "$certs" "$DIR/bin"
    cp "$DIR/tls/ca.crt" "$certs/"
    echo 'credential-helpers = ["containers-auth.json", "test"]' >"$CONTAINERS_REGISTRIES_CONF"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = "%s" ] && echo "{\\"Username\\":\\"user\\",\\"Secret\\":\\"secret\\"}"\n' \
        "$HOST" >"$DIR/bin/docker-credential-test"
    chmod +x "$DIR/bin/docker-credential-test"
    hull load -q -i "$LAYOUT" local:1 </dev/null
    run timeout 5 "$HULL" push -q local:1 "$HOST/t/image:1" </dev/null
    exits 1
    says "docker-credential-test"
    PATH=$DIR/bin:$PATH
    run timeout 5 "$HULL" push -q local:1 "$HOST/t/image:1" </dev/null
    exits 1 # at once: no trying again
    says "wants a certificate of ours"
    cp "$DIR/tls/client.crt" "$certs/client.cert"
    cp "$DIR/tls/client.key" "$certs/client.key"
    run --separate-stderr hull push -q local:1 "$HOST/t/image:1" </dev/null
    exits 0
    run --separate-stderr hull pull -q "$HOST/t/image:1" </dev/null
    exits 0
}

@test "a short name that several registries may have: a person chooses, a script is told" {
    make_layout
    start_registry
    push_layout t/image:1
    push_layout other/image:1
    {
        printf 'unqualified-search-registries = ["%s/other", "%s/t"]\nshort-name-mode = "enforcing"\n' "$HOST" "$HOST"
        printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$HOST"
    } >"$CONTAINERS_REGISTRIES_CONF"
    run hull pull -q image:1 </dev/null
    exits 1
    says "write the whole name ($HOST/other/image)"
    run python3 "$TESTS/integration/terminal.py" run -i 3 -- "$HULL" pull -q image:1
    exits 1
    says "a number from 1 to 2"
    run python3 "$TESTS/integration/terminal.py" run -i 2 -- "$HULL" pull -q image:1
    exits 0
    says "2  $HOST/t/image:1"
    [ "$(hull images --format json | jq -r '.[].Names[]?' | sort)" = "$HOST/t/image:1" ]
    hull rmi "$HOST/t/image:1"
    sed -i s/enforcing/disabled/ "$CONTAINERS_REGISTRIES_CONF"
    run python3 "$TESTS/integration/terminal.py" run -- "$HULL" pull -q image:1
    exits 0
    hull images | grep -q "$HOST/other/image"
}

@test "an option of pull's that is none is an error" {
    run hull pull --tls-verify=maybe localhost:1/x </dev/null
    exits 1
    says '--tls-verify must be true or false, got "maybe"'
}
