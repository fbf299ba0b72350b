/* The modules that a guest's kernel has to load, from what depmod(8) wrote beside them. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "runtime/spec/spec.h"

/**
 * For the kernel whose modules are in @directory: the files to load (below it), in order, in @out. What is built in needs none. An
 * error names what is neither.
 */
int modules_for_guest(struct arena *a, const char *directory, struct string_list *out, struct error *err);
