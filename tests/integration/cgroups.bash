# Where the kernel keeps what it knows of a container's resources, on v1, hybrid and v2.
#
#   cgroup_dir CONTROLLER [ID]           the directory that limits it: by v1's name of the controller ("blkio")
#   cgroup_value V1-CONTROLLER V1-FILE V2-FILE   the content of the one that is there

# True when the controller is of v2 here.
is_v2()
{
    ! cut -d: -f2 /proc/self/cgroup | tr , '\n' | grep -qx "$1"
}

cgroup_dir()
{
    local pid root=/sys/fs/cgroup
    pid=$(pid_of "${2:-$ID}")
    if is_v2 "$1"; then
        [ -e $root/cgroup.controllers ] || root=$root/unified
        echo "$root$(sed -n 's/^0:://p' "/proc/$pid/cgroup")"
    else
        awk -F: -v want="$1" '{
            split($2, names, ",")
            for (i in names) if (names[i] == want) { print "/sys/fs/cgroup/" $2 $3; exit }
        }' "/proc/$pid/cgroup"
    fi
}

cgroup_value()
{
    if is_v2 "$1"; then
        cat "$(cgroup_dir "$1")/$3"
    else
        cat "$(cgroup_dir "$1")/$2"
    fi
}
