/*
 * Hull's helpers: programs of libexec/hull that link what hull itself, being static, may not pay for. hull runs them
 * only when they are needed.
 */
#pragma once

#include "base/arena.h"

/** Where the helper @name is: installed; or, when this program runs from a build tree (which config.status marks),
 * beside it. */
const char *helper_path(struct arena *a, const char *name);
