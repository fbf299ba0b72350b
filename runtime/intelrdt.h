/* The comparison of intelrdt.c that needs no CPU with RDT, for its test. */
#pragma once

#include <stdbool.h>

/** True when each "RES:domain=value;..." of @wanted is in @schemata, a resctrl group's file, whatever padding
 * and order. */
bool intel_rdt_schemata_match(const char *schemata, const char *wanted);
