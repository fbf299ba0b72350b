/* For the unit tests of base/path.c and base/procfs.c: behave as on a kernel without openat2. */
#pragma once

#include <stdbool.h>

void path_pretend_no_openat2(bool pretend);
void procfs_pretend_no_openat2(bool pretend);
