/*
 * Failure points for the tests (--enable-fault-injection, never in a released build): HULL_FAULT=NAME makes
 * the point of that name fail as if the kernel had said EIO, HULL_FAULT=NAME:kill ends the process there as
 * kill -9 would. `grep -rho 'FAULT_POINT("[^"]*"' runtime` lists them.
 */
#pragma once

#include "base/error.h"

#ifdef HULL_FAULT_INJECTION
int fault_point(const char *name, struct error *err);
#define FAULT_POINT(name, err) fault_point(name, err)
#else
#define FAULT_POINT(name, err) 0
#endif
