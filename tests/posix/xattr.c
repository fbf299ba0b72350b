/* Extended attributes and POSIX ACLs. */
#include "posix.h"

#include <sys/xattr.h>

static void need_user_xattrs(void)
{
    put("f", "x");
    if (setxattr("f", "user.a", "1", 1, 0) < 0 && errno == EOPNOTSUPP)
        skipped("no user.* attributes here");
}

static void set_get_remove(void)
{
    char value[100];
    need_user_xattrs();
    MUST(getxattr("f", "user.a", value, sizeof(value)) == 1 && value[0] == '1');
    MUST(setxattr("f", "user.a", "another", 7, 0) == 0 && getxattr("f", "user.a", NULL, 0) == 7);
    FAILS(getxattr("f", "user.a", value, 3), ERANGE);
    MUST(removexattr("f", "user.a") == 0);
    FAILS(getxattr("f", "user.a", value, sizeof(value)), ENODATA);
    FAILS(removexattr("f", "user.a"), ENODATA);
}

static void create_and_replace(void)
{
    need_user_xattrs();
    FAILS(setxattr("f", "user.a", "2", 1, XATTR_CREATE), EEXIST);
    FAILS(setxattr("f", "user.b", "2", 1, XATTR_REPLACE), ENODATA);
    MUST(setxattr("f", "user.a", "2", 1, XATTR_REPLACE) == 0 &&
         setxattr("f", "user.b", "", 0, XATTR_CREATE) == 0);
    MUST(getxattr("f", "user.b", NULL, 0) == 0);
}

static bool listed(const char *list, ssize_t n, const char *name)
{
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
        if (strcmp(list + at, name) == 0)
            return true;
    return false;
}

static void lists(void)
{
    char list[1000];
    need_user_xattrs();
    MUST(setxattr("f", "user.second", "x", 1, 0) == 0);
    ssize_t n = listxattr("f", list, sizeof(list));
    MUST(n > 0 && listed(list, n, "user.a") && listed(list, n, "user.second"));
    MUST(listxattr("f", NULL, 0) == n);
    FAILS(listxattr("f", list, 5), ERANGE);
}

static void values_of_2000_bytes(void)
{
    char value[2000], back[2000];
    need_user_xattrs();
    memset(value, 'v', sizeof(value));
    MUST(setxattr("f", "user.big", value, sizeof(value), 0) == 0);
    MUST(getxattr("f", "user.big", back, sizeof(back)) == sizeof(back) &&
         memcmp(value, back, sizeof(back)) == 0);
}

static void by_descriptor_and_on_directories(void)
{
    char value[4];
    need_user_xattrs();
    MUST(mkdir("d", 0755) == 0 && setxattr("d", "user.d", "dir", 3, 0) == 0);
    int fd = open("d", O_RDONLY);
    MUST(fgetxattr(fd, "user.d", value, 4) == 3 && fsetxattr(fd, "user.e", "x", 1, 0) == 0);
    MUST(unlink("f") == 0);
    FAILS(getxattr("f", "user.a", value, 4), ENOENT);
}

static void not_on_symlinks(void)
{
    need_user_xattrs();
    MUST(symlink("f", "l") == 0);
    FAILS(lsetxattr("l", "user.a", "x", 1, 0), EPERM);
    MUST(setxattr("l", "user.through", "x", 1, 0) == 0 && getxattr("f", "user.through", NULL, 0) == 1);
}

static void permissions(void)
{
    need_user_xattrs();
    FAILS(setxattr("f", "nonsense", "x", 1, 0), EOPNOTSUPP);
    become(USER, GROUP);
    MUST(getxattr("f", "user.a", NULL, 0) == 1);
    FAILS(setxattr("f", "user.a", "x", 1, 0), EACCES);
}

/* struct posix_acl_xattr_header and entries, version 2: user::rw-, user:USER:rw-, group::---, mask::rw-, other::--- */
static const unsigned char acl[] = {2,    0, 0, 0,                                      /* version */
                                    1,    0, 6, 0, 0xff,        0xff,      0xff, 0xff,  /* owner */
                                    2,    0, 6, 0, USER & 0xff, USER >> 8, 0,    0,     /* USER */
                                    4,    0, 0, 0, 0xff,        0xff,      0xff, 0xff,  /* group */
                                    0x10, 0, 6, 0, 0xff,        0xff,      0xff, 0xff,  /* mask */
                                    0x20, 0, 0, 0, 0xff,        0xff,      0xff, 0xff}; /* others */

static void open_as_user(void)
{
    become(USER, GROUP);
    MUST(open("f", O_RDWR) >= 0);
}

static void acls_grant(void)
{
    put("f", "x");
    MUST(chmod("f", 0600) == 0);
    if (setxattr("f", "system.posix_acl_access", acl, sizeof(acl), 0) < 0 && errno == EOPNOTSUPP)
        skipped("no ACLs here");
    MUST((look("f").st_mode & 07777) == 0660);
    in_child(open_as_user);
    MUST(chmod("f", 0600) == 0); /* that is the mask's */
    become(USER, GROUP);
    FAILS(open("f", O_RDWR), EACCES);
}

static void default_acls_are_inherited(void)
{
    char value[100];
    MUST(mkdir("d", 0777) == 0);
    if (setxattr("d", "system.posix_acl_default", acl, sizeof(acl), 0) < 0 && errno == EOPNOTSUPP)
        skipped("no ACLs here");
    umask(0777);
    int fd = open("d/f", O_CREAT | O_WRONLY, 0666);
    MUST(fd >= 0 && (look("d/f").st_mode & 07777) == 0660); /* the ACL, not the umask */
    MUST(getxattr("d/f", "system.posix_acl_access", value, sizeof(value)) == sizeof(acl));
    MUST(mkdir("d/sub", 0777) == 0);
    MUST(getxattr("d/sub", "system.posix_acl_default", value, sizeof(value)) == sizeof(acl));
}

static const struct check checks[] = {
    {"attributes are set, read and removed", set_get_remove},
    {"XATTR_CREATE and XATTR_REPLACE", create_and_replace},
    {"attributes are listed", lists},
    {"attributes of 2000 bytes", values_of_2000_bytes},
    {"attributes by descriptor, and of directories", by_descriptor_and_on_directories},
    {"user attributes are not for symlinks", not_on_symlinks},
    {"attributes and permissions", permissions},
    {"an ACL grants access", acls_grant},
    {"a default ACL is inherited", default_acls_are_inherited},
};

const struct check_group xattr_group = {checks, COUNT(checks)};
