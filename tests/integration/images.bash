# shellcheck disable=SC2034 # what helpers.bash looks at
# Helpers for tests with images: an image made in place, a registry on loopback, a store.

export HULL_STORE # hull runs in other shells as well

# What hull and others may find of the user's is left out of it.
images_setup()
{
    DIR=$(mktemp -d /tmp/hull-test.XXXXXX)
    chmod 711 "$DIR"
    ID=t${DIR##*.}
    STATE=$DIR/state
    HULL_STORE=$DIR/store
    export HOME=$DIR/home XDG_RUNTIME_DIR=$DIR/run CONTAINERS_REGISTRIES_CONF=$DIR/registries.conf
    unset XDG_CONFIG_HOME XDG_DATA_HOME DOCKER_CONFIG REGISTRY_AUTH_FILE http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY
    mkdir -p "$HOME" "$XDG_RUNTIME_DIR"
    : >"$CONTAINERS_REGISTRIES_CONF"
    REGISTRY=
    need_root
    need_tool umoci
    need_tool skopeo
}

# The trees of three layers: files of all kinds, then removals and a directory anew, then many hard links.
layer_trees()
{
    local base=$1 name i
    mkdir -p "$base"/1/{bin,etc,usr/lib/deep/er,dev,tmp,opt/gone,opt/opaque} "$base/2/opt/opaque" "$base/2/usr/lib" "$base/3/srv"
    cp /bin/busybox "$base/1/bin/"
    for name in sh ls cat true sleep; do ln "$base/1/bin/busybox" "$base/1/bin/$name"; done
    echo root:x:0:0:root:/root:/bin/sh >"$base/1/etc/passwd"
    python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"kept")' "$base/1/etc/passwd"
    cp /bin/busybox "$base/1/bin/ping"
    setcap cap_net_raw+ep "$base/1/bin/ping"
    chmod 4755 "$base/1/bin/busybox"
    chmod 1777 "$base/1/tmp"
    mknod "$base/1/dev/null" c 1 3
    mkfifo "$base/1/tmp/fifo"
    ln -s ../etc/passwd "$base/1/usr/link"
    echo a >"$base/1/opt/gone/a"
    echo b >"$base/1/opt/opaque/b"
    echo c >"$base/1/opt/removed"
    chown 7:8 "$base/1/opt"
    truncate -s 1M "$base/1/usr/lib/hole"
    echo end >>"$base/1/usr/lib/hole"
    touch "$base/2/opt/.wh.gone" "$base/2/opt/.wh.removed" "$base/2/opt/opaque/.wh..wh..opq"
    echo new >"$base/2/opt/opaque/new"
    head -c 2000000 /dev/urandom >"$base/2/usr/lib/random"
    touch -d '2001-02-03 04:05:06.789' "$base/2/usr/lib/random"
    chown 5:6 "$base/3/srv"
    for ((i = 0; i < 200; i++)); do
        echo "$i" >"$base/3/srv/file$i"
        ln "$base/3/srv/file$i" "$base/3/srv/link$i"
    done
}

# An OCI layout, $LAYOUT with the image `latest`; made once a run.
make_layout()
{
    local made=$BATS_RUN_TMPDIR/layout work i
    LAYOUT=$made
    [ ! -d "$made" ] || return 0
    work=$(mktemp -d "$BATS_RUN_TMPDIR/work.XXXXXX")
    layer_trees "$work"
    umoci init --layout "$work/layout"
    umoci new --image "$work/layout:latest"
    for i in 1 2 3; do
        tar --xattrs --xattrs-include='*' --format=pax --numeric-owner -C "$work/$i" -cf "$work/$i.tar" .
        umoci raw add-layer --image "$work/layout:latest" "$work/$i.tar"
    done
    umoci config --image "$work/layout:latest" --config.cmd /bin/sh --config.env PATH=/bin --config.workingdir /srv
    mv -T "$work/layout" "$made" 2>/dev/null || true
    rm -rf "$work"
}

# start_registry [MORE LINES]: docker-registry on a free port: $HOST, $REGISTRY (its pid).
start_registry()
{
    need_tool docker-registry
    for _ in 1 2 3 4 5; do
        HOST=127.0.0.1:$((20000 + RANDOM % 20000))
        printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp:\n  addr: %s\n%s\n' \
            "$DIR/registry" "$HOST" "${1-}" >"$DIR/registry.yml"
        docker-registry serve "$DIR/registry.yml" >"$DIR/registry.log" 2>&1 3>&- 4>&- &
        REGISTRY=$!
        wait_for bash -c ": >/dev/tcp/${HOST%:*}/${HOST#*:}" && kill -0 "$REGISTRY" 2>/dev/null && break
    done
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$HOST" >"$CONTAINERS_REGISTRIES_CONF"
}

stop_registry()
{
    [ -n "${REGISTRY-}" ] || return 0
    kill "$REGISTRY" 2>/dev/null || true
    wait "$REGISTRY" 2>/dev/null || true
    REGISTRY=
}

images_teardown()
{
    stop_registry
    umount "$DIR/root" "$DIR/store" 2>/dev/null || true
}

# Fill it with the layout's image.
push_layout()
{
    skopeo copy -q --dest-tls-verify=false "oci:$LAYOUT:latest" "docker://$HOST/$1" 3>&- 4>&-
}

# overlay IMAGE DIRECTORY: the image's root as overlayfs shows it.
overlay()
{
    local lower
    lower=$(hull inspect "$1" | jq -r '.[0].Directories | reverse | join(":")')
    mkdir -p "$2" "$DIR/empty"
    mount -t overlay -o "ro,lowerdir=$lower:$DIR/empty" none "$2"
}

listing()
{
    python3 "$TESTS/integration/listing.py" "$1"
}

# Of the store nothing but its empty directories is left.
store_is_empty()
{
    local left
    left=$(cd "$HULL_STORE" && find . -mindepth 2 -not -path ./blobs/sha256)
    [ -z "$left" ] || {
        printf 'left in the store:\n%s\n' "$left" >&2
        return 1
    }
}
