/* Owners, modes, times, and who may do what. */
#include "posix.h"

#include <grp.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

static mode_t mode(const char *name)
{
    return look(name).st_mode & 07777;
}

static void chmod_sets_all_bits(void)
{
    static const mode_t modes[] = {0, 0400, 0644, 0755, 01777, 02755, 04755, 06711, 07777};
    put("f", "x");
    for (size_t i = 0; i < COUNT(modes); i++)
        MUST(chmod("f", modes[i]) == 0 && mode("f") == modes[i]);
    int fd = open("f", O_RDONLY);
    MUST(fchmod(fd, 0600) == 0 && mode("f") == 0600);
}

static void chmod_follows_links(void)
{
    put("f", "x");
    MUST(symlink("f", "l") == 0 && chmod("l", 0611) == 0 && mode("f") == 0611);
}

static void chown_and_lchown(void)
{
    put("f", "x");
    MUST(symlink("f", "l") == 0 && chown("f", USER, GROUP) == 0);
    MUST(look("f").st_uid == USER && look("f").st_gid == GROUP);
    MUST(lchown("l", OTHER, OTHER) == 0 && look("l").st_uid == OTHER && look("f").st_uid == USER);
    MUST(chown("f", (uid_t)-1, OTHER) == 0 && look("f").st_uid == USER && look("f").st_gid == OTHER);
    int fd = open("f", O_RDONLY);
    MUST(fchown(fd, 0, (gid_t)-1) == 0 && look("f").st_uid == 0 && look("f").st_gid == OTHER);
}

static void chown_takes_set_id_bits(void)
{
    put("f", "x");
    MUST(chmod("f", 06755) == 0 && chown("f", USER, GROUP) == 0 && mode("f") == 0755);
    MUST(mkdir("d", 0755) == 0 && chmod("d", 02755) == 0 && chown("d", USER, GROUP) == 0 &&
         mode("d") == 02755);
}

static void files_belong_to_who_makes_them(void)
{
    become(USER, GROUP);
    put("f", "x");
    MUST(mkdir("d", 0755) == 0 && symlink("f", "l") == 0 && mkfifo("p", 0644) == 0);
    const char *names[] = {"f", "d", "l", "p"};
    for (size_t i = 0; i < COUNT(names); i++)
        MUST(look(names[i]).st_uid == USER && look(names[i]).st_gid == GROUP);
}

static void set_gid_directories_give_their_group(void)
{
    MUST(mkdir("d", 0777) == 0 && chown("d", 0, OTHER) == 0 && chmod("d", 02777) == 0);
    become(USER, GROUP);
    put("d/f", "x");
    MUST(mkdir("d/sub", 0755) == 0);
    MUST(look("d/f").st_gid == OTHER && look("d/f").st_uid == USER);
    MUST(look("d/sub").st_gid == OTHER && mode("d/sub") == 02755);
}

static void only_the_owner_changes_modes(void)
{
    put("f", "x");
    become(USER, GROUP);
    FAILS(chmod("f", 0777), EPERM);
    FAILS(chown("f", USER, (gid_t)-1), EPERM);
    put("mine", "x");
    MUST(chmod("mine", 0600) == 0);
    FAILS(chown("mine", OTHER, (gid_t)-1), EPERM);
    FAILS(chown("mine", (uid_t)-1, OTHER), EPERM);
}

static void set_gid_needs_the_group(void)
{
    put("f", "x");
    MUST(chown("f", USER, OTHER) == 0);
    become(USER, GROUP);
    MUST(chmod("f", 02755) == 0 && mode("f") == 0755);
}

static void permissions_are_enforced(void)
{
    put("f", "x");
    MUST(mkdir("d", 0755) == 0);
    put("d/f", "x");
    MUST(chmod("f", 0600) == 0 && chmod("d", 0700) == 0);
    become(USER, GROUP);
    FAILS(open("f", O_RDONLY), EACCES);
    FAILS(open("d/f", O_RDONLY), EACCES);
    FAILS(access("f", R_OK), EACCES);
    FAILS(unlink("d/f"), EACCES);
    FAILS(open("d/new", O_CREAT | O_WRONLY, 0600), EACCES);
    FAILS(truncate("f", 0), EACCES);
}

static void a_supplementary_group_is_enough(void)
{
    put("f", "x");
    MUST(mkdir("d", 0755) == 0 && chown("d", 0, OTHER) == 0 && chmod("d", 0770) == 0);
    MUST(chown("f", 0, OTHER) == 0 && chmod("f", 0660) == 0);
    MUST(setgroups(1, (gid_t[]){OTHER}) == 0 && setresgid(GROUP, GROUP, GROUP) == 0 &&
         setresuid(USER, USER, USER) == 0);
    put("d/made", "x");
    MUST(look("d/made").st_uid == USER && look("d/made").st_gid == GROUP);
    MUST(open("f", O_RDWR) >= 0);
}

static void sticky_directories(void)
{
    MUST(mkdir("d", 0777) == 0 && chmod("d", 01777) == 0);
    put("d/f", "x");
    become(USER, GROUP);
    FAILS(unlink("d/f"), EPERM);
    FAILS(rename("d/f", "d/g"), EPERM);
    put("d/mine", "x");
    MUST(unlink("d/mine") == 0);
}

static void write_a_byte(void)
{
    become(USER, GROUP);
    int fd = open("f", O_WRONLY);
    MUST(fd >= 0 && write(fd, "y", 1) == 1);
}

static void a_users_write_takes_set_id_bits(void)
{
    put("f", "x");
    MUST(chmod("f", 06777) == 0);
    in_child(write_a_byte);
    MUST(mode("f") == 0777);
    MUST(chmod("f", 02767) == 0); /* no execution by the group: no privilege */
    in_child(write_a_byte);
    MUST(mode("f") == 02767 || mode("f") == 0767);
}

static void a_roots_write_leaves_set_id_bits(void)
{
    put("f", "x");
    MUST(chmod("f", 06777) == 0);
    int fd = open("f", O_WRONLY);
    MUST(write(fd, "y", 1) == 1 && mode("f") == 06777);
}

static void truncate_to_nothing(void)
{
    become(USER, GROUP);
    MUST(truncate("f", 0) == 0);
}

static void open_truncating(void)
{
    become(USER, GROUP);
    MUST(open("f", O_WRONLY | O_TRUNC) >= 0);
}

static void a_users_truncation_takes_set_id_bits(void)
{
    put("f", "x");
    MUST(chmod("f", 06777) == 0);
    in_child(truncate_to_nothing);
    MUST(mode("f") == 0777 && chmod("f", 06777) == 0);
    put("f", "more");
    MUST(chmod("f", 06777) == 0);
    in_child(open_truncating);
    MUST(mode("f") == 0777);
}

static void times_are_set_to_the_nanosecond(void)
{
    struct timespec t[2] = {{1000000000, 123456789}, {2000000000, 987654321}};
    put("f", "x");
    MUST(utimensat(AT_FDCWD, "f", t, 0) == 0);
    struct stat st = look("f");
    MUST(st.st_atim.tv_sec == t[0].tv_sec && st.st_atim.tv_nsec == t[0].tv_nsec);
    MUST(st.st_mtim.tv_sec == t[1].tv_sec && st.st_mtim.tv_nsec == t[1].tv_nsec);
    t[0].tv_nsec = UTIME_OMIT;
    t[1].tv_nsec = UTIME_NOW;
    int fd = open("f", O_RDONLY);
    MUST(futimens(fd, t) == 0);
    st = look("f");
    MUST(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec != 2000000000);
}

static void times_of_a_symlink(void)
{
    struct timespec t[2] = {{1000000000, 1}, {1100000000, 2}};
    MUST(symlink("nowhere", "l") == 0 && utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW) == 0);
    MUST(look("l").st_mtim.tv_sec == 1100000000);
}

static void times_are_the_owners_to_set(void)
{
    put("f", "x");
    MUST(chmod("f", 0666) == 0);
    become(USER, GROUP);
    FAILS(utimensat(AT_FDCWD, "f", ((struct timespec[2]){{1, 0}, {1, 0}}), 0), EPERM);
    MUST(utimensat(AT_FDCWD, "f", NULL, 0) == 0);
}

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static void writing_changes_times(void)
{
    put("f", "x");
    struct stat before = look("f");
    usleep(20000);
    put("f", "y");
    struct stat after = look("f");
    MUST(later(&after.st_mtim, &before.st_mtim) && later(&after.st_ctim, &before.st_ctim));
    usleep(20000);
    MUST(chmod("f", 0600) == 0);
    before = after;
    after = look("f");
    MUST(later(&after.st_ctim, &before.st_ctim) && after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
}

static void fstat_and_stat_agree(void)
{
    struct stat a, b;
    put("f", "12345");
    int fd = open("f", O_RDWR);
    MUST(write(fd, "1234567", 7) == 7 && fstat(fd, &a) == 0 && stat("f", &b) == 0);
    MUST(a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_size == 7 && b.st_size == 7);
    MUST(a.st_mtim.tv_nsec == b.st_mtim.tv_nsec && a.st_mode == b.st_mode);
}

static void statx_tells_the_basics(void)
{
    struct statx x;
    put("f", "123");
    MUST(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x) == 0);
    MUST((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS && x.stx_size == 3 && x.stx_nlink == 1);
}

static void statfs_makes_sense(void)
{
    struct statvfs v;
    MUST(statvfs(".", &v) == 0 && v.f_bsize > 0 && v.f_blocks >= v.f_bfree && v.f_namemax == 255);
}

static void devices_are_refused_or_made(void)
{
    if (mknod("null", S_IFCHR | 0666, 0x103) < 0)
        MUST(errno == EPERM);
    else
        MUST(look("null").st_rdev == 0x103);
}

static const struct check checks[] = {
    {"chmod sets all bits", chmod_sets_all_bits},
    {"chmod follows symlinks", chmod_follows_links},
    {"chown, lchown and fchown", chown_and_lchown},
    {"chown takes set-id bits away", chown_takes_set_id_bits},
    {"files belong to who makes them", files_belong_to_who_makes_them},
    {"set-gid directories give their group", set_gid_directories_give_their_group},
    {"only the owner changes a mode, only root an owner", only_the_owner_changes_modes},
    {"who is not in the group cannot set set-gid", set_gid_needs_the_group},
    {"permissions are enforced", permissions_are_enforced},
    {"a supplementary group is enough", a_supplementary_group_is_enough},
    {"sticky directories", sticky_directories},
    {"a user's write takes set-id bits away", a_users_write_takes_set_id_bits},
    {"root's write leaves them", a_roots_write_leaves_set_id_bits},
    {"a user's truncation takes set-id bits away", a_users_truncation_takes_set_id_bits},
    {"times are set to the nanosecond", times_are_set_to_the_nanosecond},
    {"the times of a symlink", times_of_a_symlink},
    {"times are the owner's to set", times_are_the_owners_to_set},
    {"writing and chmod change the right times", writing_changes_times},
    {"fstat and stat agree while a file is written", fstat_and_stat_agree},
    {"statx", statx_tells_the_basics},
    {"statvfs", statfs_makes_sense},
    {"device nodes are made or refused", devices_are_refused_or_made},
};

const struct check_group attributes_group = {checks, COUNT(checks)};
