/* See users.h. The two files are read once each, and taken apart in memory. */
#include "images/users.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"

enum { FILE_MAX = 1 << 20, FIELDS_MAX = 7, GROUPS_MAX = 1024, NOBODY = 65534 };
enum { USER_NAME, USER_PASSWORD, USER_UID, USER_GID, USER_GECOS, USER_HOME };
enum { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS };

/* "" when it is not there or no regular file. */
static char *read_table(struct arena *a, const struct stack *root, const char *path)
{
    struct stack_entry e;
    struct error ignored;
    char *text;

    if (root->n == 0 || stack_lookup(root, path, true, &e, &ignored) < 0 || !S_ISREG(e.st.st_mode))
        return arena_strdup(a, "");
    _cleanup_(fd_closep) int fd = stack_open(root, &e, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    return fd < 0 || fd_read_all(fd, FILE_MAX, a, &text, NULL) < 0 ? arena_strdup(a, "") : text;
}

/* The next line of @text with at least @n fields, taken apart. */
static bool next_line(char **text, size_t n, char *fields[FIELDS_MAX])
{
    char *line;

    while ((line = strsep(text, "\n"))) {
        size_t found = 0;

        while (line && found < FIELDS_MAX)
            fields[found++] = strsep(&line, ":");
        if (found >= n)
            return true;
    }
    return false;
}

static bool parse_id(const char *text, uint32_t *id)
{
    uint64_t number;

    if (number_parse_u64(text, "id", 0, UINT32_MAX - 1, &number, NULL) < 0)
        return false;
    *id = (uint32_t)number;
    return true;
}

static bool has_member(char *members, const char *name)
{
    char *member;

    while ((member = strsep(&members, ",")))
        if (strcmp(member, name) == 0)
            return true;
    return false;
}

static void find_supplementary(struct arena *a, char *text, const char *name, struct image_user *out)
{
    char *fields[FIELDS_MAX];
    uint32_t gid;

    out->groups = arena_new_n(a, GROUPS_MAX, uint32_t);
    while (out->n_groups < GROUPS_MAX && next_line(&text, GROUP_MEMBERS + 1, fields))
        if (parse_id(fields[GROUP_GID], &gid) && gid != out->gid && has_member(fields[GROUP_MEMBERS], name))
            out->groups[out->n_groups++] = gid;
}

int image_group_find(struct arena *a, const struct stack *root, const char *text, uint32_t *gid,
                     struct error *err)
{
    char *table = read_table(a, root, "etc/group"), *fields[FIELDS_MAX];

    while (next_line(&table, GROUP_GID + 1, fields))
        if (strcmp(fields[GROUP_NAME], text) == 0 && parse_id(fields[GROUP_GID], gid))
            return 0;
    return parse_id(text, gid) ? 0
                               : error_set(err, 0,
                                           "group \"%.64s\": no such name in the image's /etc/group, and no "
                                           "number from 0 to 4294967294",
                                           text);
}

static int find_user(struct arena *a, const struct stack *root, const char *name, struct image_user *out,
                     const char **found_name, struct error *err)
{
    char *table = read_table(a, root, "etc/passwd"), *fields[FIELDS_MAX];
    uint32_t wanted = 0, uid, gid;
    bool number = parse_id(name, &wanted);

    while (next_line(&table, USER_HOME + 1, fields)) {
        if (!parse_id(fields[USER_UID], &uid) || !parse_id(fields[USER_GID], &gid) ||
            (strcmp(fields[USER_NAME], name) != 0 && !(number && uid == wanted)))
            continue;
        *out = (struct image_user){.uid = uid, .gid = gid, .home = fields[USER_HOME]};
        *found_name = fields[USER_NAME];
        break;
    }
    if (!*found_name && !number)
        return error_set(err, 0,
                         "user \"%.64s\": no such name in the image's /etc/passwd, and no number from 0 to "
                         "4294967294",
                         name);
    if (!*found_name)
        *out = (struct image_user){.uid = wanted};
    if (!out->home || out->home[0] != '/')
        out->home = "/";
    return 0;
}

int image_user_find(struct arena *a, const struct stack *root, const char *text, struct image_user *out,
                    struct error *err)
{
    char *name = arena_strdup(a, text && *text ? text : "0"), *group = strchr(name, ':');
    const char *found = NULL;

    *out = (struct image_user){0};
    if (group)
        *group++ = '\0';
    if (find_user(a, root, *name ? name : "0", out, &found, err) < 0)
        return -1;
    if (group && *group)
        return image_group_find(a, root, group, &out->gid, err);
    if (found)
        find_supplementary(a, read_table(a, root, "etc/group"), found, out);
    return 0;
}

uint32_t image_highest_id(struct arena *a, const struct stack *root)
{
    static const struct {
        const char *path;
        size_t field;
    } tables[] = {{"etc/passwd", USER_UID}, {"etc/group", GROUP_GID}};
    uint32_t highest = 0, id;

    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        char *table = read_table(a, root, tables[i].path), *fields[FIELDS_MAX];

        while (next_line(&table, tables[i].field + 1, fields))
            if (parse_id(fields[tables[i].field], &id) && id < NOBODY && id > highest)
                highest = id;
    }
    return highest;
}
