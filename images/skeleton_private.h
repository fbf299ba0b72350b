/* The records of a skeleton: see skeleton.h. */
#pragma once

#include "images/skeleton.h"

#define SKELETON_NAME "skeleton"

enum {
    SKELETON_LITERAL = 'L',
    SKELETON_FILE = 'F',
    SKELETON_CONTENT = 'C',
    SKELETON_NUMBER_MAX = 10, /* bytes of a LEB128 number */
};
