/*
 * The commands of hull-images: X(name, summary). hull knows them by this list, and hands them over (cli/images.c);
 * hull-images itself has a row `NAME_command` for each (command.h).
 */
#pragma once

/* clang-format off */
#define IMAGE_COMMANDS(X)                                                 \
    X(diff,    "show what a container wrote, or make an image of it")     \
    X(history, "show how an image came about")                            \
    X(images,  "list the images of the store")                            \
    X(import,  "make an image of a tar archive of a root directory")      \
    X(inspect, "show what is known of an image")                          \
    X(load,    "take images from an archive or a directory")              \
    X(login,   "keep credentials for a registry")                         \
    X(logout,  "forget credentials for a registry")                       \
    X(mount,   "mount images read-only, print where")                     \
    X(prune,   "remove images and layers that nothing uses")              \
    X(pull,    "fetch images from registries")                            \
    X(push,    "send an image to a registry")                             \
    X(rmi,     "remove images")                                           \
    X(save,    "write images to an archive or a directory")               \
    X(tag,     "give an image one more name")                                \
    X(umount,  "unmount images")                                          \
    X(unpack,  "make a bundle for any runtime: rootfs and config.json")
/* clang-format on */
