/*
 * process.env as the program gets it: of a name given twice the last counts (later layers of a configuration
 * append), and HOME is never missing or empty: it comes from the container's own /etc/passwd then, which
 * shells rely on and runc and crun do. Names are found again through a hash table, because the list may come
 * from an image and be as long as execve(2) allows.
 */
#include "runtime/env.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/passwd.h"

struct names {
    char **slots;
    size_t mask;
};

static size_t hash(const char *name, size_t length)
{
    size_t h = 5381;

    for (size_t i = 0; i < length; i++)
        h = h * 33 + (unsigned char)name[i];
    return h;
}

/* False when an entry of the same name is there already. */
static bool insert(struct names *names, char *entry)
{
    size_t length = strcspn(entry, "="), i = hash(entry, length) & names->mask;

    for (; names->slots[i]; i = (i + 1) & names->mask) {
        const char *other = names->slots[i];
        if (strncmp(other, entry, length) == 0 && (other[length] == '=' || other[length] == '\0'))
            return false;
    }
    names->slots[i] = entry;
    return true;
}

static const char *home_directory(struct arena *a, uint32_t uid)
{
    _cleanup_(fd_closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct passwd_entry entry;

    return root >= 0 && passwd_find(a, root, uid, &entry) == 0 && entry.home ? entry.home : "/";
}

const char *env_get(char *const *env, const char *name)
{
    size_t length = strlen(name);

    for (; env && *env; env++) {
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            return *env + length + 1;
    }
    return NULL;
}

char **env_make(struct arena *a, const struct spec_process *p, unsigned listen_fds)
{
    enum { OWN = 3 }; /* HOME, LISTEN_FDS, LISTEN_PID */
    size_t size = 16, first = p->env.n;
    char **env = arena_new_n(a, p->env.n + OWN + 1, char *);

    while (size < 2 * p->env.n)
        size *= 2;
    struct names names = {.slots = arena_new_n(a, size, char *), .mask = size - 1};

    for (size_t i = p->env.n; i > 0; i--) {
        if (insert(&names, p->env.v[i - 1]) && strcmp(p->env.v[i - 1], "HOME=") != 0)
            env[--first] = p->env.v[i - 1];
    }
    char **v = env + first;
    size_t n = p->env.n - first;

    if (!env_get(v, "HOME"))
        v[n++] = arena_printf(a, "HOME=%s", home_directory(a, p->user.uid));
    if (listen_fds > 0) {
        v[n++] = arena_printf(a, "LISTEN_FDS=%u", listen_fds);
        v[n++] = arena_strdup(a, "LISTEN_PID=1");
    }
    return v;
}
