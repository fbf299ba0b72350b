#!/usr/bin/env bats
# What `process` of the specification asks for, as the process itself sees it; for run and for exec.

load helpers

CAPS_NONE=0000000000000000

# In run and in exec alike: the same question has the same answer.
both()
{
    run_container
    exits 0
    output_is "$1"
    local question
    question=$(jq -c .process.args "$BUNDLE/config.json")
    cargo sleep 1000
    start_detached
    jq --argjson args "$question" '.process | .args = $args' "$BUNDLE/config.json" >"$DIR/process.json"
    run hull exec --process "$DIR/process.json" "$ID" </dev/null
    exits 0
    output_is "$1"
    hull delete --force "$ID"
}

@test "env is what the configuration says and nothing of the host's" {
    export OF_THE_HOST=1
    config '.process.env = ["PATH=/bin", "A=b c", "EMPTY="]'
    script 'env | grep -vE "^(PWD|SHLVL|HOME|_)=" | sort'
    both $'A=b c\nEMPTY=\nPATH=/bin'
}

@test "exec --env adds to and overrides the container's" {
    cargo sleep 1000
    config '.process.env += ["A=1", "B=2"]'
    start_detached
    run hull exec --env A=3 --env C=4 "$ID" sh -c 'echo $A $B $C' </dev/null
    output_is "3 2 4"
}

@test "HOME comes from the container's passwd when env has none" {
    config '.process.user = {uid: 0, gid: 0}'
    script 'echo $HOME'
    both /root
}

@test "cwd is made when missing, and entered" {
    config '.process.cwd = "/srv/deep/er"'
    cargo pwd
    run_container
    exits 0
    output_is /srv/deep/er
    [ -d "$BUNDLE/rootfs/srv/deep/er" ]
    cargo sleep 1000
    start_detached
    run hull exec --cwd /tmp "$ID" pwd </dev/null
    output_is /tmp
}

@test "user, groups and umask" {
    config '.process.user = {uid: 1000, gid: 1001, additionalGids: [7, 9], umask: 63}'
    script 'id -u; id -g; id -G; umask'
    both $'1000\n1001\n1001 7 9\n0077'
}

@test "exec --user, --additional-gids" {
    cargo sleep 1000
    start_detached
    run hull exec --user 1000:1001 --additional-gids 7 --additional-gids 9 "$ID" sh -c 'id -u; id -G' </dev/null
    exits 0
    output_is $'1000\n1001 7 9'
}

@test "capabilities: exactly those that were asked for, in all five sets" {
    config '.process.capabilities = {bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_KILL"],
        permitted: ["CAP_KILL", "CAP_CHOWN"], inheritable: [], ambient: []}'
    script 'grep ^Cap /proc/self/status | tr -d "\t"'
    both "CapInh:$CAPS_NONE
CapPrm:0000000000000021
CapEff:0000000000000021
CapBnd:0000000000000021
CapAmb:$CAPS_NONE"
}

@test "nothing is inheritable unless asked for (CVE-2022-29162)" {
    script 'grep -E "^Cap(Inh|Amb)" /proc/self/status | tr -d "\t"'
    both "CapInh:$CAPS_NONE
CapAmb:$CAPS_NONE"
}

@test "ambient capabilities reach an ordinary user" {
    config '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {bounding: ["CAP_NET_BIND_SERVICE"],
        effective: ["CAP_NET_BIND_SERVICE"], permitted: ["CAP_NET_BIND_SERVICE"],
        inheritable: ["CAP_NET_BIND_SERVICE"], ambient: ["CAP_NET_BIND_SERVICE"]}'
    script 'grep -E "^Cap(Eff|Amb)" /proc/self/status | tr -d "\t"'
    both $'CapEff:0000000000000400\nCapAmb:0000000000000400'
}

@test "a user other than root has no capabilities without ambient ones" {
    config '.process.user = {uid: 1000, gid: 1000}'
    script 'grep -E "^Cap(Prm|Eff)" /proc/self/status | tr -d "\t"'
    both "CapPrm:$CAPS_NONE
CapEff:$CAPS_NONE"
}

@test "exec --cap adds one" {
    config '.process.capabilities = {bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"]}'
    cargo sleep 1000
    start_detached
    run hull exec --cap CAP_CHOWN "$ID" sh -c 'grep -E "^CapEff" /proc/self/status | tr -d "\t"' </dev/null
    exits 0
    output_is CapEff:0000000000000021
}

@test "an unknown capability is warned of, and the container runs" {
    config '.process.capabilities.bounding += ["CAP_NO_SUCH_THING"]'
    cargo echo lives
    run_container
    exits 0
    says lives
    says CAP_NO_SUCH_THING
}

@test "rlimits" {
    config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 123, hard: 456}, {type: "RLIMIT_CORE", soft: 0, hard: 0}]'
    script 'ulimit -Sn; ulimit -Hn; ulimit -Hc'
    both $'123\n456\n0'
}

@test "noNewPrivileges, on and off" {
    config '.process.noNewPrivileges = true'
    script 'grep ^NoNewPrivs /proc/self/status | tr -d "\t"'
    both NoNewPrivs:1
    config '.process.noNewPrivileges = false | del(.linux.seccomp)'
    script 'grep ^NoNewPrivs /proc/self/status | tr -d "\t"'
    both NoNewPrivs:0
}

@test "oomScoreAdj" {
    config '.process.oomScoreAdj = 321'
    cargo cat /proc/self/oom_score_adj
    both 321
}

@test "scheduler, nice and io priority" {
    config '.process.scheduler = {policy: "SCHED_BATCH", nice: 5} | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}'
    script 'cut -d" " -f19,41 /proc/self/stat; ionice -p $$'
    both $'5 3\nbest-effort: prio 6'
}

@test "the process is PID 1 of a session of its own, signals unblocked and default" {
    script 'echo $$; cut -d" " -f6 /proc/$$/stat; grep -E "^Sig(Blk|Ign)" /proc/self/status | tr -d "\t"'
    trap '' PIPE # as services of systemd have it
    run_container
    trap - PIPE
    exits 0
    output_is $'1\n1\nSigBlk:0000000000000000\nSigIgn:0000000000000000'
}

@test "hostname and domainname" {
    config '.hostname = "cargo" | .domainname = "example.org"'
    script 'hostname; cat /proc/sys/kernel/domainname'
    both $'cargo\nexample.org'
}

@test "sysctl: namespaced ones are set, others refused before anything runs" {
    config '.linux.sysctl = {"kernel.msgmax": "4321", "net.ipv4.ip_forward": "1"}'
    script 'cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward'
    both $'4321\n1'
    config '.linux.sysctl = {"vm.swappiness": "11"}'
    cargo echo ran
    run_container
    exits 1
    says vm.swappiness
    says_not ran
}

@test "personality" {
    [ "$(uname -m)" = x86_64 ] || skip "needs x86-64"
    config '.linux.personality = {domain: "LINUX32"}'
    cargo uname -m
    both i686
}

@test "no controlling terminal and no keyring of the host's" {
    script 'tty || true; [ -e /proc/keys ] && grep -c . /proc/keys >/dev/null; echo done'
    run_container </dev/null
    exits 0
    says "not a tty"
}
