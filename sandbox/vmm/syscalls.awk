# The system calls that each kind of hull-vmm's threads may make, from the notes beside the code that makes them:
#
#     /* #syscalls(main vcpu): read ioctl=KVM_RUN */
#
# names the kinds and the calls. `CALL=VALUE` allows the call with this second argument only. A note without kinds is about
# the time before the threads are confined. Output: for each kind the rules of enum jail's table (jail.c), in C.
{
    while (match($0, /#syscalls\([a-z ]+\):[^*]*/)) {
        note = substr($0, RSTART, RLENGTH)
        $0 = substr($0, RSTART + RLENGTH)
        kinds = note
        sub(/^#syscalls\(/, "", kinds)
        sub(/\).*/, "", kinds)
        sub(/^[^:]*: */, "", note)
        n = split(kinds, kind, " ")
        calls = split(note, call, " ")
        for (i = 1; i <= n; i++) {
            if (!(kind[i] in order))
                kinds_in_order[++n_kinds] = kind[i]
            for (j = 1; j <= calls; j++)
                if (!((kind[i], call[j]) in seen)) {
                    seen[kind[i], call[j]] = 1
                    order[kind[i]] = order[kind[i]] " " call[j]
                }
        }
    }
}

END {
    print "/* Made by syscalls.awk from the notes in the sources. */"
    for (k = 1; k <= n_kinds; k++) {
        printf "static const struct jail_rule rules_%s[] = {\n", kinds_in_order[k]
        n = split(order[kinds_in_order[k]], call, " ")
        for (i = 1; i <= n; i++) {
            equals = index(call[i], "=")
            if (equals)
                printf "    {SYS_%s, true, %s},\n", substr(call[i], 1, equals - 1), substr(call[i], equals + 1)
            else
                printf "    {.number = SYS_%s},\n", call[i]
        }
        print "};"
    }
}
