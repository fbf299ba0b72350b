/*
 * --security-opt label=...: SELinux labels of a container from an image, in podman's words. A label has four parts,
 * "user:role:type:level" (the level may have colons of its own). The process has one, and the mounts that are made for it have
 * one with the same user and level, which says what such a process may write. As with podman, where SELinux is not in force
 * they mean nothing.
 */
#include <string.h>
#include <unistd.h>

#include "cli/run_image.h"

static const struct {
    const char *key;
    size_t offset;
} parts[] = {{"user:", offsetof(struct image_label, user)},
             {"role:", offsetof(struct image_label, role)},
             {"type:", offsetof(struct image_label, type)},
             {"level:", offsetof(struct image_label, level)},
             {"filetype:", offsetof(struct image_label, file_type)}};

int image_label_add(struct arena *a, struct image_label *l, const char *text, struct error *err)
{
    if (strcmp(text, "disable") == 0) {
        *l = (struct image_label){0};
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        size_t n = strlen(parts[i].key);

        if (strncmp(text, parts[i].key, n) != 0 || !text[n])
            continue;
        *(const char **)((char *)l + parts[i].offset) = text + n;
        l->given = true;
        return 0;
    }
    char *rest = arena_strdup(a, text), *user = strsep(&rest, ":"), *role = strsep(&rest, ":"),
         *type = strsep(&rest, ":");
    if (!rest || !*rest || !*user || !*role || !*type)
        return error_set(
            err, 0,
            "--security-opt label=%s: there are disable, user:USER, role:ROLE, type:TYPE, level:LEVEL, "
            "filetype:TYPE, and a whole label (user:role:type:level)",
            text);
    *l = (struct image_label){
        .given = true, .user = user, .role = role, .type = type, .level = rest, .file_type = l->file_type};
    return 0;
}

static const char *or_else(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

void image_label_complete(const struct image_label *l, struct bundle *b)
{
    const char *user = or_else(l->user, "system_u"), *level = or_else(l->level, "s0");

    if (!l->given || access("/sys/fs/selinux/enforce", F_OK) < 0)
        return;
    b->selinux = arena_printf(b->arena, "%s:%s:%s:%s", user, or_else(l->role, "system_r"),
                              or_else(l->type, "container_t"), level);
    b->selinux_mount =
        arena_printf(b->arena, "%s:object_r:%s:%s", user, or_else(l->file_type, "container_file_t"), level);
}
