/*
 * tmpcopyup: what the image has below a tmpfs's mount point is copied into it (runc's extension; podman uses
 * it). `from` was opened before the mount and still names the covered directory.
 * Owner and mode of the mount are those of the image's directory too, unless options name others (the mode is among
 * the mount's options either way).
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/copy_tree.h"
#include "namespaces/rootfs_private.h"

int tmpcopyup(int from, int to, const char *data, struct error *err)
{
    struct stat st, made;

    if (copy_tree(from, to, err) < 0)
        return error_wrap(err, "tmpcopyup");
    if (fstat(from, &st) < 0 || fstat(to, &made) < 0)
        return error_set(err, errno, "tmpcopyup: read the owner and mode");
    st.st_mode = made.st_mode;
    if (data && strstr(data, "uid="))
        st.st_uid = made.st_uid;
    if (data && strstr(data, "gid="))
        st.st_gid = made.st_gid;
    if (copy_metadata(to, &st) < 0)
        return error_set(err, errno, "tmpcopyup: copy the owner and mode");
    return 0;
}
