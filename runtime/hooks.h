/* config.json's hooks: one function runs all of a kind, in order. */
#pragma once

#include "base/error.h"
#include "runtime/spec/spec.h"

/**
 * Run @spec's hooks of @type one after the other, each with @state_json on stdin, in directory @cwd (NULL:
 * where the caller is). One without an environment of its own gets the container's when it runs in there,
 * else the caller's, as with runc. The first that fails (status, signal, timeout, cannot be run) stops the rest; the message
 * names it: "createRuntime hook 1 (/usr/bin/x): exit status 3, stderr: ...". @keep_going (poststop): log a
 * warning and go on.
 */
int hooks_run(const struct spec *spec, enum hook_type type, const char *state_json, const char *cwd,
              bool keep_going, struct error *err);
