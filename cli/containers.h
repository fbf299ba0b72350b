/* `list --all`. */
#pragma once

#include "cli/command.h"

/** Print the containers that were run from images of the store: what lives, and how the others ended. */
int list_all(const struct runtime *rt, enum format format, bool quiet, struct error *err);
