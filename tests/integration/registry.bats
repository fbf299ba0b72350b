#!/usr/bin/env bats
# The registry client against docker-registry (plain, TLS, passwords) and against a registry that lies; with the client's own tool.

load helpers

setup()
{
    PULL=${REGISTRY_PULL:-$(dirname "$HULL")/tests/tools/registry-pull}
    [ -x "$PULL" ] || {
        echo "no $PULL: make check first, or set REGISTRY_PULL" >&2
        return 1
    }
    DIR=$(mktemp -d /tmp/hull-test.XXXXXX)
    ID=t${DIR##*.}
    STATE=$DIR/state
    IMAGE=$DIR/image
    export HOME=$DIR/home XDG_RUNTIME_DIR=$DIR/run CONTAINERS_REGISTRIES_CONF=$DIR/registries.conf
    unset XDG_CONFIG_HOME DOCKER_CONFIG REGISTRY_AUTH_FILE http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY
    mkdir -p "$HOME" "$XDG_RUNTIME_DIR" "$DIR/out"
    make_image
}

# descriptor TYPE FILE: moves the file to its digest's name.
descriptor()
{
    local digest
    digest=$(sha256sum "$2" | cut -d' ' -f1)
    jq -cn --arg type "$1" --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$2")" \
        '{mediaType: $type, digest: $digest, size: $size}'
    mv "$2" "$IMAGE/$digest"
}

# An image as the tool keeps it: two layers, of 3 MB that do not compress and of nearly nothing.
make_image()
{
    local large small config
    mkdir -p "$IMAGE" "$DIR/tree"
    head -c 3000000 /dev/urandom >"$DIR/tree/large"
    echo small >"$DIR/tree/small"
    tar -C "$DIR/tree" -cf "$DIR/large.tar" large
    tar -C "$DIR/tree" -cf "$DIR/small.tar" small
    printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
        "$(sha256sum "$DIR/large.tar" | cut -d' ' -f1)" "$(sha256sum "$DIR/small.tar" | cut -d' ' -f1)" >"$DIR/config"
    gzip "$DIR/large.tar" "$DIR/small.tar"
    large=$(descriptor application/vnd.oci.image.layer.v1.tar+gzip "$DIR/large.tar.gz")
    small=$(descriptor application/vnd.oci.image.layer.v1.tar+gzip "$DIR/small.tar.gz")
    config=$(descriptor application/vnd.oci.image.config.v1+json "$DIR/config")
    LAYER=$(jq -r .digest <<<"$large")
    jq -cn --argjson config "$config" --argjson large "$large" --argjson small "$small" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [$large, $small]}' |
        tr -d '\n' >"$IMAGE/manifest"
    MANIFEST=sha256:$(sha256sum "$IMAGE/manifest" | cut -d' ' -f1)
}

# registry [TLS|AUTH lines of its configuration]: on a free port, $HOST.
registry()
{
    local try
    need_tool docker-registry
    for try in 1 2 3 4 5; do
        HOST=127.0.0.1:$((20000 + RANDOM % 20000))
        {
            printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n'
            printf 'storage: {filesystem: {rootdirectory: %s}}\nhttp:\n  addr: %s\n%s\n' "$DIR/registry" "$HOST" "$1"
        } >"$DIR/registry.yml"
        docker-registry serve "$DIR/registry.yml" >"$DIR/registry.log" 2>&1 3>&- 4>&- &
        REGISTRY=$!
        wait_for bash -c ": >/dev/tcp/${HOST%:*}/${HOST#*:}" && kill -0 $REGISTRY 2>/dev/null && return 0
        kill $REGISTRY 2>/dev/null || true
    done
    cat "$DIR/registry.log" >&2
    return 1
}

# hostile [PORT]: $HOST is the registry that lies, and may be spoken to without TLS.
hostile()
{
    need_tool python3
    python3 "$TESTS/integration/registry-hostile.py" "$IMAGE" "$DIR/requests" "$@" >"$DIR/ports" 2>"$DIR/hostile.err" 3>&- 4>&- &
    wait_for test -s "$DIR/ports"
    HOST=127.0.0.1:$(head -n 1 "$DIR/ports")
    insecure "$HOST"
}

insecure()
{
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$1" >>"$CONTAINERS_REGISTRIES_CONF"
}

secure()
{
    : >"$CONTAINERS_REGISTRIES_CONF"
}

# client ARGUMENTS: the tool; nothing here takes as long as it may.
client()
{
    run timeout 30 "$PULL" -r 20 "$@" </dev/null
}

# The image has come whole.
came()
{
    exits 0
    diff -r "$IMAGE" "$DIR/out"
}

# It has not, and nothing unverified is there.
came_not()
{
    exits 1
    [ ! -e "$DIR/out/${LAYER#sha256:}" ]
}

teardown_registry()
{
    local pid
    for pid in $(jobs -p); do
        kill "$pid" 2>/dev/null || true
    done
}

teardown()
{
    teardown_registry
    wait 2>/dev/null || true
    rm -rf "$DIR"
}

requests()
{
    grep -c -- "$1" "$DIR/requests" || true
}

@test "push, then pull by tag and by digest; what is there is not sent again, or mounted" {
    registry
    insecure "$HOST"
    client push "$HOST/o/n:1" "$IMAGE"
    exits 0
    [ "$(grep -c ' sent$' <<<"$output")" = 3 ]
    client push "$HOST/o/n:2" "$IMAGE"
    exits 0
    [ "$(grep -c ' there$' <<<"$output")" = 3 ]
    client -m o/n push "$HOST/o/other:1" "$IMAGE"
    exits 0
    [ "$(grep -c ' mounted$' <<<"$output")" = 3 ]
    client pull "$HOST/o/other:1" "$DIR/out"
    came
    says "$HOST/o/other:1 $MANIFEST"
    rm -rf "$DIR/out" && mkdir "$DIR/out"
    client pull "$HOST/o/n@$MANIFEST" "$DIR/out"
    came
    client pull "$HOST/o/n:3" "$DIR/out"
    exits 1
    says "$HOST: manifest of o/n:3: 404 not found (manifest unknown)"
    client pull "$HOST/o/n@${MANIFEST%?????}00000" "$DIR/out"
    exits 1
    says "404 not found"
}

@test "what is pushed is an image to skopeo, and what skopeo pushes is one to us" {
    need_tool skopeo
    registry
    insecure "$HOST"
    client push "$HOST/o/n:1" "$IMAGE"
    exits 0
    timeout 30 skopeo copy --src-tls-verify=false --dest-tls-verify=false "docker://$HOST/o/n:1" "docker://$HOST/by/skopeo:1"
    client pull "$HOST/by/skopeo:1" "$DIR/out"
    came
}

@test "plain HTTP only where registries.conf says insecure" {
    registry
    secure
    client pull "$HOST/o/n:1" "$DIR/out"
    exits 1
    says "insecure = true in registries.conf"
}

@test "a mirror is asked first; the registry itself where the mirror has nothing" {
    registry
    printf '[[registry]]\nprefix = "example.com/o"\nlocation = "%s/real"\ninsecure = true\n' "$HOST" >"$CONTAINERS_REGISTRIES_CONF"
    printf '[[registry.mirror]]\nlocation = "%s/mirror"\ninsecure = true\n' "$HOST" >>"$CONTAINERS_REGISTRIES_CONF"
    client push example.com/o/n:1 "$IMAGE"
    exits 0
    [ -d "$DIR/registry/docker/registry/v2/repositories/real/n" ]
    client pull example.com/o/n:1 "$DIR/out"
    came
    says "example.com/o/n:1"
    rm -rf "$DIR/registry/docker/registry/v2/repositories/mirror" "$DIR/out" && mkdir "$DIR/out"
    mv "$DIR/registry/docker/registry/v2/repositories/real" "$DIR/registry/docker/registry/v2/repositories/mirror"
    client pull example.com/o/n:1 "$DIR/out"
    came
}

@test "a mirror that is down or busy does not hold the pull up" {
    hostile
    local mirror
    for mirror in s-down s-busy-for-an-hour; do
        printf '[[registry]]\nprefix = "example.com/x"\nlocation = "%s/s-good"\ninsecure = true\n' "$HOST" >"$CONTAINERS_REGISTRIES_CONF"
        printf '[[registry.mirror]]\nlocation = "%s/%s"\ninsecure = true\n' "$HOST" "$mirror" >>"$CONTAINERS_REGISTRIES_CONF"
        client pull example.com/x:1 "$DIR/out"
        came
        rm -rf "$DIR/out" && mkdir "$DIR/out"
    done
    [ "$(requests s-down/manifests)" = 2 ]
    [ "$(requests s-busy-for-an-hour/manifests)" = 1 ]
}

@test "a blocked registry is not spoken to" {
    hostile
    printf '[[registry]]\nprefix = "%s/s-good"\nblocked = true\n' "$HOST" >>"$CONTAINERS_REGISTRIES_CONF"
    client pull "$HOST/s-good:1" "$DIR/out"
    exits 1
    says "blocked by $CONTAINERS_REGISTRIES_CONF"
    [ ! -s "$DIR/requests" ]
}

@test "TLS: an authority of certs.d is trusted, another is not, insecure does without" {
    need_tool openssl
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout "$DIR/ca.key" -out "$DIR/ca.crt" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=registry -keyout "$DIR/tls.key" -out "$DIR/tls.csr" 2>/dev/null
    openssl x509 -req -days 2 -in "$DIR/tls.csr" -CA "$DIR/ca.crt" -CAkey "$DIR/ca.key" -CAcreateserial \
        -extfile <(echo subjectAltName=IP:127.0.0.1) -out "$DIR/tls.crt" 2>/dev/null
    registry "  tls: {certificate: $DIR/tls.crt, key: $DIR/tls.key}"
    secure
    client push "$HOST/o/n:1" "$IMAGE"
    exits 1
    says "certs.d"
    mkdir -p "$HOME/.config/containers/certs.d/$HOST"
    cp "$DIR/ca.crt" "$HOME/.config/containers/certs.d/$HOST/"
    client push "$HOST/o/n:1" "$IMAGE"
    exits 0
    client pull "$HOST/o/n:1" "$DIR/out"
    came
    mv "$HOME/.config/containers/certs.d/$HOST" "$DIR/certs"
    client pull "$HOST/o/n:1" "$DIR/out"
    exits 1
    client -c "$DIR/certs" pull "$HOST/o/n:1" "$DIR/out"
    came
    cp "$DIR/tls.crt" "$DIR/certs/me.cert"
    client -c "$DIR/certs" pull "$HOST/o/n:1" "$DIR/out"
    exits 1
    says "me.cert needs $DIR/certs/me.key"
    insecure "$HOST"
    rm -rf "$DIR/out" && mkdir "$DIR/out"
    client pull "$HOST/o/n:1" "$DIR/out"
    came
}

@test "a password: login is checked, kept in auth.json, used, forgotten by logout" {
    # bcrypt of "secret", for user
    # shellcheck disable=SC2016
    echo 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a' >"$DIR/htpasswd"
    registry "auth: {htpasswd: {realm: r, path: $DIR/htpasswd}}"
    insecure "$HOST"
    client pull "$HOST/o/n:1" "$DIR/out"
    exits 1
    says "see hull login"
    run timeout 30 "$PULL" login "$HOST" user <<<wrong
    exits 1
    says_not wrong
    [ ! -e "$XDG_RUNTIME_DIR/containers/auth.json" ]
    run timeout 30 "$PULL" login "$HOST" user <<<secret
    exits 0
    [ "$(stat -c %a "$XDG_RUNTIME_DIR/containers/auth.json")" = 600 ]
    client push "$HOST/o/n:1" "$IMAGE"
    exits 0
    client pull "$HOST/o/n:1" "$DIR/out"
    came
    client logout "$HOST"
    output_is removed
    client logout "$HOST"
    output_is "not there"
    client pull "$HOST/o/n:1" "$DIR/out"
    exits 1
}

@test "what podman's login keeps is found" {
    need_tool skopeo
    # shellcheck disable=SC2016
    echo 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a' >"$DIR/htpasswd"
    registry "auth: {htpasswd: {realm: r, path: $DIR/htpasswd}}"
    insecure "$HOST"
    timeout 30 skopeo login --tls-verify=false -u user -p secret "$HOST"
    client push "$HOST/o/n:1" "$IMAGE"
    exits 0
    timeout 30 skopeo inspect --tls-verify=false "docker://$HOST/o/n:1" >/dev/null
}

@test "a connection that breaks off twice: what follows is asked for by Range" {
    hostile
    client pull "$HOST/s-cut:1" "$DIR/out"
    came
    [ "$(requests "blobs/$LAYER auth= range=bytes=[1-9][0-9]*-")" = 2 ]
}

@test "a registry that dies half-way and comes back" {
    hostile
    timeout 30 "$PULL" -r 200 pull "$HOST/s-dies:1" "$DIR/out" </dev/null >"$DIR/client" 2>&1 3>&- 4>&- &
    local client=$!
    wait_for grep -q "blobs/$LAYER" "$DIR/requests"
    wait_for bash -c "! : >/dev/tcp/${HOST%:*}/${HOST#*:}"
    : >"$DIR/ports"
    hostile "${HOST#*:}"
    wait "$client" || {
        cat "$DIR/client" >&2
        return 1
    }
    diff -r "$IMAGE" "$DIR/out"
    [ "$(requests "blobs/$LAYER auth= range=bytes=[1-9][0-9]*-")" = 1 ]
}

@test "without Range the beginning is read again" {
    hostile
    client pull "$HOST/s-cut-no-range:1" "$DIR/out"
    came
    [ "$(requests "blobs/$LAYER ")" = 2 ]
}

@test "another part than was asked for is refused; a blob that always breaks off is given up" {
    hostile
    client pull "$HOST/s-cut-wrong-range:1" "$DIR/out"
    came_not
    says "another part"
    client pull "$HOST/s-cut-always:1" "$DIR/out"
    came_not
    says "tried 6 times"
    says "broken off after 6000 of"
}

@test "what was not promised: other bytes, more, fewer, a document without end" {
    hostile
    client pull "$HOST/s-wrong-digest:1" "$DIR/out"
    came_not
    says "blob $LAYER came with the digest"
    client pull "$HOST/s-wrong-config:1" "$DIR/out"
    came_not
    says "it is damaged, or not what was asked for"
    client pull "$HOST/s-good@${MANIFEST%?????}00000" "$DIR/out"
    came_not
    says "it is damaged, or not what was asked for"
    client pull "$HOST/s-endless:1" "$DIR/out"
    came_not
    says "more bytes than the"
    client pull "$HOST/s-short:1" "$DIR/out"
    came_not
    says "and the manifest says"
    client pull "$HOST/s-endless-manifest:1" "$DIR/out"
    came_not
    says "larger than any honest one"
}

@test "busy: Retry-After is kept to, unless it is too long; down: tried again, then told" {
    hostile
    local began=$EPOCHREALTIME
    client pull "$HOST/s-busy:1" "$DIR/out"
    came
    [ "$(requests s-busy/manifests)" = 2 ]
    awk "BEGIN { exit !($EPOCHREALTIME - $began >= 1) }"
    rm -rf "$DIR/out" && mkdir "$DIR/out"
    client pull "$HOST/s-busy-for-an-hour:1" "$DIR/out"
    came_not
    says "not before 3600 seconds"
    says "pull rate limit"
    client pull "$HOST/s-down:1" "$DIR/out"
    came_not
    says "503 unavailable"
    [ "$(requests s-down/manifests)" = 6 ]
}

@test "a registry that falls asleep, or sends a byte now and then, is asked again" {
    hostile
    client -t 1 pull "$HOST/s-sleeps:1" "$DIR/out"
    came
    [ "$(requests s-sleeps/manifests)" = 2 ]
    [ "$(requests "blobs/$LAYER ")" = 2 ]
}

@test "a proxy of the environment is used" {
    hostile
    insecure registry.invalid
    client pull registry.invalid/s-good:1 "$DIR/out"
    exits 1
    http_proxy=http://127.0.0.1:1 client pull registry.invalid/s-good:1 "$DIR/out"
    exits 1
    says "the environment names a proxy"
    http_proxy=http://$HOST client pull registry.invalid/s-good:1 "$DIR/out"
    came
    [ "$(requests 'GET http://registry.invalid/v2/s-good/')" = 4 ]
}

@test "credentials do not go along to another host" {
    hostile
    echo "{\"auths\":{\"$HOST\":{\"auth\":\"$(printf user:secret | base64)\"}}}" >"$DIR/auth.json"
    client -a "$DIR/auth.json" pull "$HOST/s-sends-elsewhere:1" "$DIR/out"
    came
    [ "$(requests '/elsewhere/')" = 3 ]
    [ "$(requests '/elsewhere/[0-9a-f]* auth= range')" = 3 ]
    [ "$(requests 'auth=Basic ')" = 4 ]
    says_not secret
}

@test "an upload that breaks off begins again; one that is refused is told why" {
    hostile
    client push "$HOST/s-push-breaks:1" "$IMAGE"
    exits 0
    [ "$(requests ' PUT ')" = 5 ] # three blobs, one of them twice, and the manifest
    client push "$HOST/s-push-refuses:1" "$IMAGE"
    exits 1
    says "413 too large for it (quota is used up)"
}

@test "an upload that breaks off goes on where it was, where the registry knows" {
    hostile
    client push "$HOST/s-push-resumes:1" "$IMAGE"
    exits 0
    [ "$(requests ' POST ')" = 3 ]                     # no blob began anew
    [ "$(requests ' GET /v2/s-push-resumes/kept')" = 2 ] # it broke off twice
    [ "$(requests '^PATCH [1-9][0-9]*-')" = 2 ]
    [ "$(requests '^PUT .* of 0 at ')" = 1 ]
}

@test "what is too large for one request goes in pieces" {
    hostile
    head -c 20000000 /dev/urandom >"$DIR/big"
    local digest image=$DIR/big-image
    digest=$(sha256sum "$DIR/big" | cut -d' ' -f1)
    cp -r "$IMAGE" "$image"
    mv "$DIR/big" "$image/$digest"
    jq -c --arg d "sha256:$digest" '.layers[0].digest = $d | .layers[0].size = 20000000' "$IMAGE/manifest" >"$image/manifest"
    client push "$HOST/s-push-in-pieces:1" "$image"
    exits 0
    [ "$(requests '^PATCH 0-16777215 of 16777216 at 0$')" = 1 ]
    [ "$(requests '^PATCH 16777216-19999999 of 3222784 at 16777216$')" = 1 ]
}

@test "an upload goes where the registry says, without credentials to another host, and not to what is no place" {
    hostile
    echo "{\"auths\":{\"$HOST\":{\"auth\":\"$(printf user:secret | base64)\"}}}" >"$DIR/auth.json"
    client -a "$DIR/auth.json" push "$HOST/s-push-elsewhere:1" "$IMAGE"
    exits 0
    [ "$(requests 'PUT /v2/s-push-elsewhere/place?digest=sha256%3[aA][0-9a-f]* auth= ')" = 3 ]
    [ "$(requests 'PUT /v2/s-push-elsewhere/manifests/1 auth=Basic ')" = 1 ]
    client push "$HOST/s-push-nowhere:1" "$IMAGE"
    exits 1
    says "which is no place for it"
    client push "$HOST/s-push-to-a-file:1" "$IMAGE"
    exits 1
    says "which is no place for it"
}

@test "sent around, to a file, nowhere" {
    hostile
    client pull "$HOST/s-sends-around:1" "$DIR/out"
    came_not
    says "sent on more than 10 times"
    client pull "$HOST/s-sends-to-a-file:1" "$DIR/out"
    came_not
    says "sent on"
    client pull "$HOST/s-sends-nowhere:1" "$DIR/out"
    came_not
    says "no URL"
    client pull "$HOST/s-long-location:1" "$DIR/out"
    came_not
    says "larger than any honest one"
}

@test "answers that are none: headers without end, garbage, a web page, words that would break a terminal" {
    hostile
    client pull "$HOST/s-headers:1" "$DIR/out"
    came_not
    says "larger than any honest one"
    client pull "$HOST/s-garbage:1" "$DIR/out"
    came_not
    says manifest
    client pull "$HOST/s-web-page:1" "$DIR/out"
    came_not
    says manifest
    client pull "$HOST/s-words:1" "$DIR/out"
    came_not
    says "400 bad request ( [31mred"
    [[ $output != *$'\e'* && $output != *$'\a'* && ${#output} -lt 600 ]]
    client pull "$HOST/s-unknown-scheme:1" "$DIR/out"
    came_not
    says "WWW-Authenticate"
}

@test "a token is fetched once for all, and anew when it is refused; what is no token is none" {
    hostile
    client pull "$HOST/s-token:1" "$DIR/out"
    came
    # Four requests (manifest, configuration, two layers) at two a token.
    [ "$(requests ' /token?')" = 2 ]
    [ "$(requests ' /token?service=s&scope=repository%3Ax%3Apull auth= ')" = 2 ]
    rm -rf "$DIR/out" && mkdir "$DIR/out"
    client pull "$HOST/s-token-bad:1" "$DIR/out"
    came_not
    says "no usable token"
    client pull "$HOST/s-token-none:1" "$DIR/out"
    came_not
    says "no usable token"
    client pull "$HOST/s-token-refused:1" "$DIR/out"
    came_not
    says "incorrect username or password"
    client pull "$HOST/s-token-never-enough:1" "$DIR/out"
    came_not
    says "401 credentials are wanted"
    says "hull login"
}

@test "nobody there, no such host, a name that is none" {
    secure
    client pull 127.0.0.1:1/o/n:1 "$DIR/out"
    exits 1
    says "127.0.0.1:1: manifest of o/n:1: "
    says "connect"
    client pull registry.invalid/o/n:1 "$DIR/out"
    exits 1
    says registry.invalid
    client pull "http://$DIR" "$DIR/out"
    exits 1
    says "image reference"
}
