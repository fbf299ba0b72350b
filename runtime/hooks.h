/* config.json's hooks: one function runs all of a kind, in order. */
#pragma once

#include "base/error.h"
#include "runtime/spec/spec.h"

/**
 * Run @spec's hooks of @type one after the other, each with @state_json on stdin and only its own
 * environment. The first that fails (status, signal, timeout, cannot be run) stops the rest; the message
 * names it: "createRuntime hook 1 (/usr/bin/x): exit status 3, stderr: ...". @keep_going (poststop): log a
 * warning and go on.
 */
int hooks_run(const struct spec *spec, enum hook_type type, const char *state_json, bool keep_going,
              struct error *err);
