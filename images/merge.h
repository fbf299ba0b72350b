/* Layers laid over each other as files of one tree, without mounting: for `unpack`, also without root. */
#pragma once

#include "images/stack.h"

/** Fill the empty directory @to with what @s shows, attributes included; hard links within a layer stay. @user_namespace:
 * devices, which cannot be made, are left out. */
int merge_layers(struct stack *s, int to, bool user_namespace, struct error *err);
