/*
 * login, logout: credentials for registries. A password is read from the terminal, without echo, or from standard input;
 * never from an argument, which any user of the machine can see. It is kept once the registry has accepted it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/images/remote.h"
#include "images/auth.h"

enum { SECRET_MAX = 64 << 10 };

struct login_options {
    struct remote_options remote;
    const char *user;
    bool password_stdin, all;
};

static const char *const verify_names[] = {"", "true", "false"};

int remote_settings(const struct remote_options *o, struct registry_settings *out, struct error *err)
{
    *out = (struct registry_settings){.authfile = o->authfile, .cert_dir = o->cert_dir};
    if (!o->tls_verify)
        return 0;
    for (size_t i = TLS_VERIFY; i < ARRAY_SIZE(verify_names); i++)
        if (strcmp(o->tls_verify, verify_names[i]) == 0) {
            out->tls_verify = (enum tls_verify)i;
            return 0;
        }
    return error_set(err, 0, "--tls-verify must be true or false, got \"%s\"", o->tls_verify);
}

/* --- what the user knows ------------------------------------------------------------------------------------------- */

/* One line from the terminal; the echo comes back whatever happens but a kill. */
static int ask(const char *prompt, bool secret, struct arena *a, char **answer, struct error *err)
{
    _cleanup_(fclosep) FILE *terminal = fopen("/dev/tty", "r+e");
    struct termios saved, silent;
    char line[1024];
    bool quiet;

    if (!terminal)
        return error_set(err, errno, "there is no terminal to ask on: use --username and --password-stdin");
    quiet = secret && tcgetattr(fileno(terminal), &saved) == 0;
    if (quiet) {
        silent = saved;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
    }
    fprintf(terminal, "%s: ", prompt);
    fflush(terminal);
    bool read = fgets(line, sizeof(line), terminal) != NULL;
    if (quiet) {
        tcsetattr(fileno(terminal), TCSAFLUSH, &saved);
        fputs("\n", terminal);
    }
    if (read)
        *answer = arena_strndup(a, line, strcspn(line, "\r\n"));
    explicit_bzero(line, sizeof(line));
    return read && **answer ? 0 : error_set(err, 0, "no %s was given", prompt);
}

static int read_password(struct arena *a, char **password, struct error *err)
{
    if (fd_read_all(STDIN_FILENO, SECRET_MAX, a, password, NULL) < 0)
        return error_set(err, errno, "read the password from standard input");
    (*password)[strcspn(*password, "\r\n")] = '\0';
    return **password ? 0 : error_set(err, 0, "standard input has no password");
}

static int find_credentials(const struct login_options *o, struct arena *a, struct credentials *c,
                            struct error *err)
{
    char *user, *password;

    c->user = o->user;
    if (!c->user && o->password_stdin)
        return error_set(err, 0, "--password-stdin needs --username");
    if (!c->user) {
        if (ask("Username", false, a, &user, err) < 0)
            return -1;
        c->user = user;
    }
    if ((o->password_stdin ? read_password(a, &password, err) : ask("Password", true, a, &password, err)) < 0)
        return -1;
    c->password = password;
    return 0;
}

/* --- login --------------------------------------------------------------------------------------------------------- */

static const struct option_row login_rows[] = {
    REMOTE_OPTIONS(struct login_options),
    OPTION(struct login_options, "password-stdin", 0, NULL, password_stdin, option_flag,
           "read the password from standard input"),
    OPTION(struct login_options, "username", 'u', "USER", user, option_string,
           "user name (default: asked for)"),
    {0},
};

/* "https://ghcr.io/": people write it so. */
static const char *host_of(struct arena *a, const struct string_list *arguments)
{
    const char *text = arguments->n ? arguments->v[0] : "docker.io", *scheme = strstr(text, "://");

    text = scheme ? scheme + 3 : text;
    return arena_strndup(a, text, strcspn(text, "/"));
}

static int check(const struct login_options *o, struct arena *a, const char *host,
                 const struct credentials *c, struct error *err)
{
    struct registry_settings settings;
    struct remote remote;
    int rc;

    if (remote_settings(&o->remote, &settings, err) < 0)
        return -1;
    settings.credentials = c;
    rc = remote_start(&remote, a, &settings, err);
    if (rc == 0)
        rc = remote_check_login(&remote, host, err);
    remote_stop(&remote);
    return rc;
}

static int login(const struct runtime *rt, void *options, const struct string_list *arguments,
                 struct error *err)
{
    const struct login_options *o = options;
    struct arena *a = rt->arena;
    const char *host = host_of(a, arguments);
    struct credentials c = {0};
    struct registries *registries;

    if (find_credentials(o, a, &c, err) < 0 || check(o, a, host, &c, err) < 0 ||
        registries_load(a, &registries, err) < 0 ||
        auth_store_in_order(a, registries_credential_helpers(registries), o->remote.authfile, host, &c, err) <
            0)
        return -1;
    const char *text = arena_printf(a, "Login to %s succeeded\n", host);
    return print_text(text, strlen(text), err);
}

const struct command login_command = {
    .name = "login",
    .arguments = "[REGISTRY]",
    .summary = "keep credentials for a registry",
    .details = "   They are checked, and kept where podman, skopeo and buildah find them too.\n",
    .options = login_rows,
    .options_size = sizeof(struct login_options),
    .max_arguments = 1,
    .run = login,
};

/* --- logout -------------------------------------------------------------------------------------------------------- */

static const struct option_row logout_rows[] = {
    OPTION(struct login_options, "all", 'a', NULL, all, option_flag, "all registries that the file knows"),
    OPTION(struct login_options, "authfile", 0, "FILE", remote.authfile, option_string,
           "the file that holds the credentials"),
    {0},
};

static int logout(const struct runtime *rt, void *options, const struct string_list *arguments,
                  struct error *err)
{
    const struct login_options *o = options;
    struct arena *a = rt->arena;
    const char *host = host_of(a, arguments), *text;
    struct registries *registries;
    int n;

    if (registries_load(a, &registries, err) < 0)
        return -1;
    n = o->all ? auth_erase_all(a, o->remote.authfile, err)
               : auth_erase_in_order(a, registries_credential_helpers(registries), o->remote.authfile, host,
                                     err);
    if (n < 0)
        return -1;
    if (n == 0 && !o->all)
        return error_set(err, 0, "there are no credentials for %s", host);
    text = o->all ? arena_printf(a, "Removed credentials for %d registries\n", n)
                  : arena_printf(a, "Removed credentials for %s\n", host);
    return print_text(text, strlen(text), err);
}

const struct command logout_command = {
    .name = "logout",
    .arguments = "[REGISTRY]",
    .summary = "forget credentials for a registry",
    .options = logout_rows,
    .options_size = sizeof(struct login_options),
    .max_arguments = 1,
    .run = logout,
};
