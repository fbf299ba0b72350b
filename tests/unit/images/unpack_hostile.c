/* Archives that mean harm, or are broken: each is refused by name, and nothing outside the tree is touched. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/images/archive.h"

TestSuite(unpack_hostile, .init = make_layers, .fini = remove_layers);

#define OUTSIDE "hull-unpack-outside" /* in /tmp: must_refuse() looks for it */

static struct tar t;

/* As empty as before. */
static void again(void)
{
    const int dirs[] = {layers[0], skeletons[0]};

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        DIR *dir = fdopendir(openat(dirs[i], ".", O_RDONLY | O_DIRECTORY));
        const struct dirent *d;
        cr_assert(dir);
        while ((d = readdir(dir)))
            if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
                cr_assert_eq(file_remove_tree(dirs[i], d->d_name, &err), 0, "%s", err.message);
        closedir(dir);
    }
}

Test(unpack_hostile, paths_that_lead_out)
{
    static const char *const names[] = {
        "../" OUTSIDE, "../../" OUTSIDE, "/../" OUTSIDE, "a/../../../" OUTSIDE, "a/..", "..", "./.."};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++, again()) {
        TAR(&t, .name = names[i], .content = "x");
        must_refuse(&t, "\"..\" in the path");
    }
}

/* What goes through a link stays in the tree, whatever the link says. */
Test(unpack_hostile, write_through_a_link)
{
    static const char *const targets[] = {"/tmp", "../..", "../../../../../../tmp", "/proc/self/root/tmp"};

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++, again()) {
        TAR(&t, .name = "l", .type = '2', .link = targets[i]);
        TAR(&t, .name = "l/" OUTSIDE, .content = "x");
        tar_end(&t);
        unpack_at(0, &t, 512); /* a link into a directory that is not there cannot be followed: an error */
        cr_expect_not(exists_at(AT_FDCWD, "/tmp/" OUTSIDE));
        free(t.data);
        t = (struct tar){0};
    }
}

Test(unpack_hostile, links_in_a_circle)
{
    TAR(&t, .name = "a", .type = '2', .link = "b");
    TAR(&t, .name = "b", .type = '2', .link = "a");
    TAR(&t, .name = "a/f");
    must_refuse(&t, "Too many levels of symbolic links");
}

Test(unpack_hostile, hard_links_to_outside)
{
    static const struct {
        const char *target, *text;
    } links[] = {{"../../etc/passwd", "\"..\" in the path"},
                 {"/etc/passwd", "No such file"},
                 {"out/etc/passwd", "No such file"},
                 {".", "the root"},
                 {"out", NULL},
                 {"nothing", "No such file"}};

    for (size_t i = 0; i < ARRAY_SIZE(links); i++, again()) {
        TAR(&t, .name = "out", .type = '2', .link = "../../..");
        TAR(&t, .name = "h", .type = '1', .link = links[i].target);
        if (links[i].text) {
            must_refuse(&t, links[i].text);
            continue;
        }
        must_unpack(&t); /* to the link itself */
        cr_expect(S_ISLNK(stat_at(layers[0], "h").st_mode));
    }
}

Test(unpack_hostile, hard_link_to_a_directory)
{
    TAR(&t, .name = "d/f");
    TAR(&t, .name = "h", .type = '1', .link = "d");
    must_refuse(&t, "a hard link to \"d\"");
}

Test(unpack_hostile, hard_link_to_a_whiteout)
{
    TAR(&t, .name = ".wh.f");
    TAR(&t, .name = "h", .type = '1', .link = "f");
    must_refuse(&t, "a hard link");
    cr_expect_not(exists_at(layers[0], "h"));
}

Test(unpack_hostile, overlayfs_names)
{
    static const char *const names[] = {"trusted.overlay.opaque", "user.overlay.redirect",
                                        "trusted.overlay.metacopy"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++, again()) {
        char key[64];
        snprintf(key, sizeof(key), "SCHILY.xattr.%s", names[i]);
        tar_record(&t, 'x', key, "y", 1);
        TAR(&t, .name = "d", .type = '5');
        must_refuse(&t, names[i]);
    }
    TAR(&t, .name = "d", .type = '3');
    must_refuse(&t, "0:0");
}

Test(unpack_hostile, whiteouts)
{
    static const char *const names[] = {".wh.", ".wh...", ".wh..", "d/.wh.."};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++, again()) {
        TAR(&t, .name = "d/f");
        TAR(&t, .name = names[i]);
        must_refuse(&t, "a whiteout of");
    }
    TAR(&t, .name = ".wh.d/f");
    must_refuse(&t, "below a whiteout");
}

Test(unpack_hostile, names_that_drive_a_terminal)
{
    TAR(&t,
        .name = "\033[2J\n\xc2\x9b"
                "31m",
        .type = '2', .link = "");
    must_refuse(&t, "?[2J??");
    cr_expect_null(strstr(err.message, "\xc2\x9b"));
}

Test(unpack_hostile, numbers)
{
    static const struct {
        size_t offset;
        unsigned char bytes[12];
        const char *text;
    } fields[] = {
        {108, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "the owner -1:0"},
        {108, {0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, "the owner 4294967295:0"},
        {108, {0x80, 0, 0, 1, 0, 0, 0, 0}, "the owner 4294967296:0"},
        {124, {0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ""},
        {124, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ""},
        {124, "77777777777", "its content cannot be read"},
        {148, "123456", ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++, again()) {
        bool sum = fields[i].offset != 148;
        size_t length = sum && fields[i].offset == 108 ? 8 : 12;
        TAR(&t, .name = "good");
        size_t at = t.length;
        TAR(&t, .name = "f", .content = "x");
        memcpy(t.data + at + fields[i].offset, fields[i].bytes, sum ? length : 7);
        if (sum)
            tar_checksum(&t, at);
        must_refuse(&t, fields[i].text);
    }
}

Test(unpack_hostile, depth)
{
    enum { LEVELS = 100000 };
    char *path = malloc(2 * LEVELS + 1);

    for (size_t i = 0; i < LEVELS; i++)
        memcpy(path + 2 * i, "d/", 3);
    tar_record(&t, 'x', "path", path, 0);
    TAR(&t, .name = "x", .type = '5');
    must_refuse(&t, "more than 256 directories");
    again();
    memset(path, 'n', 300);
    path[300] = '\0';
    tar_record(&t, 'x', "path", path, 0);
    TAR(&t, .name = "x");
    must_refuse(&t, "a name of 300 bytes");
    free(path);
}

/* Each turn goes deeper than a path can say, by way of a link. */
Test(unpack_hostile, depth_by_links)
{
    char path[501], link[8] = "l0";

    for (size_t i = 0; i < 250; i++)
        memcpy(path + 2 * i, "d/", 3);
    for (char turn = 0; turn < 5; turn++) {
        char *full;
        cr_assert_gt(asprintf(&full, "%s%s%s", turn ? link : "", turn ? "/" : "", path), 0);
        tar_record(&t, 'x', "path", full, 0);
        TAR(&t, .name = "x", .type = '5');
        link[1] = (char)('1' + turn);
        tar_record(&t, 'x', "linkpath", full, 0);
        TAR(&t, .name = link, .type = '2', .link = "x");
        free(full);
    }
    must_refuse(&t, "more than 256 directories");
}

Test(unpack_hostile, giant_headers)
{
    size_t size = 8 << 20;
    char *value = malloc(size);

    memset(value, 'v', size);
    tar_record(&t, 'x', "path", value, size);
    TAR(&t, .name = "x");
    must_refuse(&t, "the archive cannot be read");
    again();
    tar_record(&t, 'x', "SCHILY.xattr.user.big", value, 100 << 10);
    TAR(&t, .name = "x");
    must_refuse(&t, "set the attribute user.big");
    free(value);
}

Test(unpack_hostile, limits)
{
    options = (struct unpack_options){.max_entries = 3};
    for (int i = 0; i < 4; i++)
        TAR(&t, .name = "f");
    must_refuse(&t, "more than 3 entries");
    again();
    options = (struct unpack_options){.max_directories = 2};
    for (int i = 0; i < 3; i++)
        TAR(&t, .name = "d", .type = '5');
    must_refuse(&t, "more than 2 directories");
}

Test(unpack_hostile, root_that_is_none)
{
    TAR(&t, .name = ".", .content = "x");
    must_refuse(&t, "the root is not a directory");
    again();
    TAR(&t, .name = "f");
    TAR(&t, .name = "f/below");
    must_refuse(&t, "Not a directory");
}

Test(unpack_hostile, no_archive)
{
    static const char text[2048] = "{\"this\": \"is no archive\"}";

    tar_bytes(&t, text, sizeof(text));
    cr_expect_lt(unpack_at(0, &t, 512), 0);
    free(t.data);
}

/* Cut off anywhere: an error, or (between entries) as if that were the end; never a file that is not whole. */
Test(unpack_hostile, cut_off_anywhere)
{
    tar_record(&t, 'x', "mtime", "5.5", 0);
    TAR(&t, .name = "d", .type = '5');
    TAR(&t, .name = "d/f", .content = "some content");
    TAR(&t, .name = "h", .type = '1', .link = "d/f");
    const size_t whole = t.length;
    for (size_t length = 0; length < whole; length++) {
        t.length = length;
        int rc = unpack_at(0, &t, 512);
        cr_expect(rc == 0 || err.message[0]);
        if (rc == 0 && exists_at(layers[0], "d/f"))
            cr_expect_str_eq(content_at(layers[0], "d/f"), "some content", "%zu", length);
        again();
    }
    free(t.data);
}

/* Each byte of a small archive changed: nothing but an answer is asked for. */
Test(unpack_hostile, any_byte_changed)
{
    tar_record(&t, 'x', "SCHILY.xattr.user.a", "b", 0);
    TAR(&t, .name = "f", .content = "some content");
    TAR(&t, .name = ".wh.g");
    tar_end(&t);
    for (size_t i = 0; i < t.length; i += 3, again()) {
        char old = t.data[i];
        t.data[i] = (char)(old ^ (1 << i % 8));
        for (size_t header = 0; header < 2560; header += 512)
            if (header != 512 && header != 1536 && i >= header && i < header + 512)
                tar_checksum(&t, header);
        unpack_at(0, &t, 512);
        cr_expect_not(exists_at(AT_FDCWD, "/tmp/" OUTSIDE));
        t.data[i] = old;
        for (size_t header = 0; header < 2560; header += 512)
            if (header != 512 && header != 1536)
                tar_checksum(&t, header);
    }
    free(t.data);
}
