/* What the files of the unpacker share: see unpack.c. */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "images/skeleton.h"
#include "images/unpack.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

struct unpack_directory {
    char *path;
    struct timespec mtime;
    struct unpack_directory *next;
};

/* A directory that the archive had not described, made before the layers below were there: unpack_guess.c */
struct unpack_guess {
    const char *path; /* free of links */
    ino_t inode;
    bool described; /* since */
    struct unpack_guess *next;
};

struct unpack {
    const struct unpack_options *options;
    struct unpack_result *result;
    struct arena arena; /* for paths of directories */
    struct archive *archive;
    int tree;
    struct stack stack; /* this layer's tree, then those below, once they were asked for */
    /* The last parent directory: entries come in order of directories. */
    char parent_path[4096], parent_place[4096]; /* as entries say it; where it is in this tree */
    int parent;
    struct unpack_directory *directories, **end_of_directories; /* whose times are set in the end */
    uint64_t n_directories;
    struct unpack_guess *guesses, **end_of_guesses;
    size_t n_guesses;
    struct skeleton_writer *skeleton; /* NULL: not wanted */
    unsigned devices_left_out;
};

/* An entry, its name taken apart. */
struct unpack_entry {
    struct archive_entry *archive;
    const char *name; /* the path's last component */
    int parent;       /* descriptor of the directory it is in; the unpacker's */
    char path[4096];  /* clean: no leading, doubled or trailing "/", no "." */
};

/* unpack_path.c */
/** Take "./a//b/" apart and open its parent. 1: done; 0: a whiteout below what is not there; -1. "." has path "". */
int unpack_locate(struct unpack *u, struct unpack_entry *e, struct error *err);
/** Clean @path into @out. ".." is an error, as is what is longer than the kernel takes. */
int unpack_clean_path(const char *path, char out[4096], struct error *err);
/** The tree was changed in a way that the remembered parent may not be where it was. */
void unpack_forget_parent(struct unpack *u);
/** Have the stack below at hand, and remember that it counted. */
int unpack_need_below(struct unpack *u, struct error *err);
/** Every directory of @path, which is free of links, exists in this layer afterwards. The last one's descriptor, or -1. */
int unpack_make_path(struct unpack *u, const char *path, struct error *err);
/** Remove what is in the way of @e, unless it is a directory and @e one too. 1: such a directory is there. */
int unpack_make_room(struct unpack *u, const struct unpack_entry *e, bool directory, struct error *err);

/** What libarchive says. */
const char *unpack_archive_error(const struct unpack *u);
/** The directory @path (free of links) gets this time in the end, when nothing more is made in it. */
int unpack_remember_time(struct unpack *u, const char *path, struct timespec mtime, struct error *err);

/* unpack_guess.c */
/** May a directory be made without a look at the layers below? */
bool unpack_may_guess(const struct unpack *u);
/** @directory was just made at @path. Remembered if nobody has looked whether there is one below. */
int unpack_guess(struct unpack *u, const char *path, int directory, struct error *err);
/** The directory @st is described by the archive. */
void unpack_described(struct unpack *u, const struct stat *st);
/** The layers below are there now: make good what was guessed. */
int unpack_settle_guesses(struct unpack *u, struct error *err);

/* unpack_file.c */
int unpack_regular(struct unpack *u, const struct unpack_entry *e, struct error *err);
int unpack_hardlink(struct unpack *u, const struct unpack_entry *e, struct error *err);
/** Copy the file @from of a layer below to be @name in @parent: content and attributes. */
int unpack_copy_up(int from, const struct stat *st, int parent, const char *name, struct error *err);

/* unpack_attributes.c */
/** Owner, attributes, mode, time of what @fd is open on (@fd -1: of e->name in e->parent, not followed). */
int unpack_attributes(const struct unpack_entry *e, int fd, struct error *err);
/** All of one directory's or file's attributes to another. */
int unpack_copy_attributes(int from, const struct stat *st, int to, struct error *err);
int unpack_set_opaque(const struct unpack *u, int directory, struct error *err);
struct timespec unpack_mtime(const struct unpack_entry *e);
