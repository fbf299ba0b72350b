/*
 * A tar archive onto a directory that is in use: what `hull cp` unpacks. Unlike unpack.h there is something already, names mean
 * nothing but themselves, and somebody hostile may change the tree meanwhile: each step goes from a directory's descriptor to a
 * name in it that is no link, so that nothing outside of the tree is reached.
 */
#pragma once

#include "images/source.h"
#include "runtime/spec/spec.h"

struct extract_options {
    bool overwrite;                    /* directories by files, and the other way round */
    bool keep_owners;                  /* else all is `uid`'s and `gid`'s */
    uint32_t uid, gid;                 /* in the ids that follow */
    const struct id_maps *uids, *gids; /* owners are those of this user namespace; none: as they are */
    bool
        defused; /* without what could give rights on the host: devices, set-id bits and capabilities of others' files */
};

/* Where it goes. */
struct extract_place {
    int dir;          /* O_PATH */
    const char *name; /* what the archive calls `from` goes here in dir; "": into dir itself */
    const char *from; /* "": all of the archive goes below that */
};

/** What the archive begins with. */
enum extract_kind { EXTRACT_NOTHING, EXTRACT_DIRECTORY, EXTRACT_OTHER };
struct extractor;
int extract_begin(struct source *from, struct extractor **out, enum extract_kind *kind, struct error *err);

int extract_to(struct extractor *x, const struct extract_place *place, const struct extract_options *o,
               struct error *err);

/** It failed because the archive is damaged, or ends in the middle. */
bool extract_is_cut_off(const struct extractor *x);

void extract_end(struct extractor *x);
