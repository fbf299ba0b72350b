/* passwd(5), one line a user: name:password:uid:gid:gecos:home:shell. At most 1 MiB is read; lines that are
 * not like that are skipped. */
#include "base/passwd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/number.h"
#include "base/path.h"

enum { NAME, PASSWORD, UID, GID, GECOS, HOME, FIELDS, MAX_SIZE = 1 << 20 };

static bool parse_line(char *line, uint32_t uid, struct passwd_entry *out)
{
    char *fields[FIELDS] = {0};
    uint64_t id;
    size_t n;

    for (n = 0; line && n < FIELDS; n++)
        fields[n] = strsep(&line, ":");
    if (n < FIELDS || number_parse_u64(fields[UID], "uid", 0, UINT32_MAX, &id, NULL) < 0 || id != uid)
        return false;
    *out = (struct passwd_entry){.name = fields[NAME], .home = fields[HOME][0] ? fields[HOME] : NULL};
    return true;
}

int passwd_find(struct arena *a, int root, uint32_t uid, struct passwd_entry *out)
{
    _cleanup_(fd_closep) int fd = path_open(root, "etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;
    char *text, *line, *rest;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fd_read_all(fd, MAX_SIZE, a, &text, NULL) < 0)
        return -1;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (parse_line(line, uid, out))
            return 0;
    }
    return -1;
}
