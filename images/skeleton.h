/*
 * What a layer's tar stream has besides its files' content: headers, padding, whatever follows the end. With it and the
 * unpacked tree the stream can be made again bit by bit, so that what was pulled keeps its diff_id when it is pushed or saved.
 *
 * The file `skeleton` in a directory of its own is one zstd frame of records:
 *
 *     'L' length bytes          these bytes
 *     'F' length path           from here on content is of this file of the tree
 *     'C' offset length         content of that file
 *
 * Numbers are LEB128. A file that a later entry of the same archive replaced is kept beside it, by the number of its 'F'
 * record (a hard link: it costs nothing more). Where that is not possible there is no skeleton; nor does one help when the
 * tree was altered: whoever makes the stream again compares its digest, and packs the tree anew (pack.h) if it differs.
 */
#pragma once

#include <sys/stat.h>

#include "images/source.h"

/* --- while unpacking ----------------------------------------------------------------------------------------------- */

struct skeleton_writer;

/** @dir: an empty directory on the tree's file system; stays the caller's. */
int skeleton_begin(int dir, struct skeleton_writer **w, struct error *err);

/** The last block is about to go: what of it was not called content is none. */
int skeleton_settle(struct skeleton_writer *w, struct error *err);

/** The next bytes of the stream, there until skeleton_settle(). */
void skeleton_block(struct skeleton_writer *w, const void *data, size_t length);

/** Content to come is that of @fd, which is @name in the tree's directory @parent. */
int skeleton_file(struct skeleton_writer *w, int fd, const char *parent, const char *name, struct error *err);

/** @length bytes of the stream from @position on, in the last block, are the file's at @offset. */
int skeleton_content(struct skeleton_writer *w, uint64_t position, size_t length, uint64_t offset,
                     struct error *err);

/** @name in @parent is about to be removed. */
void skeleton_replaced(struct skeleton_writer *w, int parent, const char *name, const struct stat *st);

/** The stream's end: the skeleton is whole (or, see above, there is none). Frees *w. */
int skeleton_end(struct skeleton_writer **w, struct error *err);
void skeleton_abandon(struct skeleton_writer *w);

/* --- the stream again ---------------------------------------------------------------------------------------------- */

struct skeleton_source {
    struct source source;
    struct skeleton_reader *state;
};
/** ENOENT in err->code: there is no skeleton. The descriptors stay the caller's. */
int skeleton_source_init(struct skeleton_source *s, int skeleton, int tree, struct error *err);
void skeleton_source_destroy(struct skeleton_source *s);
