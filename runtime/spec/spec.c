/*
 * config.json as a whole: the top-level tables (runtime-spec config.md), and the ways in: read, parse,
 * decode, validate. Decoding and validation both run to their end and put what they find into one list; only
 * then is there an error.
 */
#include "runtime/spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "runtime/spec/decode.h"

static const struct field root_table_fields[] = {
    STRING("path", struct spec, root_path, .flags = REQUIRED),
    BOOL("readonly", struct spec, root_readonly),
};
TABLE(root_table);

/* runc takes relative destinations as below "/" and warns; engines of old rely on it. */
static void mount_done(struct decoder *d, const struct place *at, const struct json *json, void *object)
{
    (void)at, (void)json;
    struct spec_mount *m = object;
    if (!m->destination || m->destination[0] == '/')
        return;
    log_warning("mount destination %s is relative, which is deprecated: taken as relative to /",
                quoted(d->arena, m->destination));
    m->destination = arena_printf(d->arena, "/%s", m->destination);
}

static const struct field mount_table_fields[] = {
    STRING("destination", struct spec_mount, destination, .flags = REQUIRED),
    STRING("type", struct spec_mount, type),
    STRING("source", struct spec_mount, source),
    STRINGS("options", struct spec_mount, options),
    LIST("uidMappings", struct spec_mount, uid_mappings.v, uid_mappings.n, &spec_id_map_table,
         .max = ID_MAPS_MAX),
    LIST("gidMappings", struct spec_mount, gid_mappings.v, gid_mappings.n, &spec_id_map_table,
         .max = ID_MAPS_MAX),
};
TABLE(mount_table, ELEMENT(struct spec_mount), .done = mount_done);

static const struct field hook_table_fields[] = {
    STRING("path", struct spec_hook, path, .flags = REQUIRED | ABSOLUTE),
    STRINGS("args", struct spec_hook, args),
    STRINGS("env", struct spec_hook, env),
    I64("timeout", struct spec_hook, timeout, AUX(struct spec_hook, has_timeout), RANGE(1, INT32_MAX)),
};
TABLE(hook_table, ELEMENT(struct spec_hook));

#define HOOK(name, i) LIST(name, struct spec, hooks[i].v, hooks[i].n, &hook_table)
static const struct field hooks_table_fields[] = {
    HOOK("prestart", HOOK_PRESTART),
    HOOK("createRuntime", HOOK_CREATE_RUNTIME),
    HOOK("createContainer", HOOK_CREATE_CONTAINER),
    HOOK("startContainer", HOOK_START_CONTAINER),
    HOOK("poststart", HOOK_POSTSTART),
    HOOK("poststop", HOOK_POSTSTOP),
};
TABLE(hooks_table);

static const struct field annotation_table_fields[] = {
    STRING("value", struct spec_annotation, value, .flags = MAY_BE_EMPTY),
};
TABLE(annotation_table, KEYED(struct spec_annotation, key), .value_is_field = true);

static const struct field hypervisor_table_fields[] = {
    STRING("path", struct spec_vm, hypervisor_path, .flags = REQUIRED | ABSOLUTE),
};
TABLE(hypervisor_table);

static const struct field kernel_table_fields[] = {
    STRING("path", struct spec_vm, kernel_path, .flags = REQUIRED | ABSOLUTE),
    STRING("initrd", struct spec_vm, kernel_initrd, .flags = ABSOLUTE),
    STRINGS("parameters", struct spec_vm, kernel_parameters),
};
TABLE(kernel_table);

static const struct field image_table_fields[] = {
    STRING("path", struct spec_vm, image_path, .flags = REQUIRED | ABSOLUTE),
};
TABLE(image_table);

static void decode_passed(struct decoder *d, const struct place *at, const struct json *json, void *target)
{
    if (json->type != JSON_ARRAY)
        complain_at(d, at, "must be %s, got %s", json_type_name(JSON_ARRAY), json_type_name(json->type));
    else if (json->count)
        *(bool *)target = true;
}

static const struct field hw_config_table_fields[] = {
    STRING("deviceTree", struct spec_vm, device_tree),
    I64("vcpus", struct spec_vm, vcpus, AUX(struct spec_vm, has_vcpus)),
    I64("memory", struct spec_vm, memory, AUX(struct spec_vm, has_memory)),
    CUSTOM("dtdevs", struct spec_vm, passes_devices, decode_passed),
    CUSTOM("iomems", struct spec_vm, passes_devices, decode_passed),
    CUSTOM("irqs", struct spec_vm, passes_devices, decode_passed),
};
TABLE(hw_config_table);

static const struct field vm_table_fields[] = {
    INLINE("hypervisor", &hypervisor_table),
    INLINE("kernel", &kernel_table),
    INLINE("image", &image_table),
    INLINE("hwConfig", &hw_config_table),
};
TABLE(vm_table);

static void decode_vm(struct decoder *d, const struct place *at, const struct json *json, void *target)
{
    ((struct spec_vm *)target)->json = json;
    decode_object(d, at, json, &vm_table, target);
}

static const struct field spec_table_fields[] = {
    STRING("ociVersion", struct spec, oci_version, .flags = REQUIRED),
    STRING("hostname", struct spec, hostname),
    STRING("domainname", struct spec, domainname),
    INLINE("root", &root_table, .flags = REQUIRED),
    OBJECT("process", struct spec, process, &spec_process_table, AUX(struct spec, process.present)),
    LIST("mounts", struct spec, mounts, n_mounts, &mount_table),
    INLINE("hooks", &hooks_table),
    MAP("annotations", struct spec, annotations, n_annotations, &annotation_table),
    OBJECT("linux", struct spec, linux_, &spec_linux_table),
    CUSTOM("vm", struct spec, vm, decode_vm),
};
TABLE(spec_table);

int spec_parse(struct arena *a, const char *text, size_t length, const char *name, struct spec **out,
               struct error *err)
{
    struct json *json;
    struct spec_complaints complaints = {.arena = a};
    struct decoder decoder = {.arena = a, .text = text, .complaints = &complaints};
    struct spec *spec = arena_new(a, struct spec);

    if (json_parse(a, text, length, name, &json, err) < 0)
        return -1;
    spec->text = text;
    spec->length = length;
    decode_object(&decoder, NULL, json, &spec_table, spec);
    validate_spec(&complaints, spec);
    if (complaints_to_error(&complaints, name, err) < 0)
        return -1;
    *out = spec;
    return 0;
}

int spec_load(struct arena *a, int dirfd, const char *name, struct spec **out, struct error *err)
{
    char *text;
    size_t length;
    struct error local;
    if (!err)
        err = &local;
    if (file_read(dirfd, name, JSON_MAX_SIZE, a, &text, &length, err) < 0)
        return err->code == ENOENT ? error_set(err, 0, "JSON specification file %s not found", name) : -1;
    return spec_parse(a, text, length, name, out, err);
}

static int read_json(struct arena *a, int fd, const char *name, struct json **json, struct error *err)
{
    char *text;
    size_t length;

    if (fd < 0)
        return error_set(err, errno, "open %s", name);
    if (fd_read_all(fd, JSON_MAX_SIZE, a, &text, &length) < 0)
        return error_set(err, errno, "read %s", name);
    return json_parse(a, text, length, name, json, err);
}

/* The caller's own words, so that a pipe will do: --process <(...) of a shell. */
static int open_any(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

int spec_load_process(struct arena *a, const char *path, struct spec_process *out, struct error *err)
{
    struct json *json;
    struct spec_complaints complaints = {.arena = a};
    struct decoder decoder = {.arena = a, .complaints = &complaints};

    _cleanup_(fd_closep) int fd = open_any(path);

    if (read_json(a, fd, path, &json, err) < 0)
        return -1;
    *out = (struct spec_process){.present = true};
    decode_object(&decoder, NULL, json, &spec_process_table, out);
    validate_process(&complaints, out, "");
    return complaints_to_error(&complaints, path, err);
}

int spec_load_resources(struct arena *a, const char *path, struct spec_resources *out, struct error *err)
{
    struct json *json;
    struct spec_complaints complaints = {.arena = a};
    struct decoder decoder = {.arena = a, .complaints = &complaints};

    bool from_stdin = !strcmp(path, "-");
    const char *name = from_stdin ? "standard input" : path;
    _cleanup_(fd_closep) int fd = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open_any(path);

    if (read_json(a, fd, name, &json, err) < 0)
        return -1;
    *out = (struct spec_resources){.present = true};
    decode_object(&decoder, NULL, json, &spec_resources_table, out);
    validate_resources(&complaints, out, "");
    return complaints_to_error(&complaints, name, err);
}

int spec_check_resources(struct arena *a, const struct spec_resources *r, const char *name, struct error *err)
{
    struct spec_complaints complaints = {.arena = a};

    validate_resources(&complaints, r, "");
    return complaints_to_error(&complaints, name, err);
}
