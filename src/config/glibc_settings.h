/*
 * glibc_settings.h - the settings of glibc's allocator that mean something here.
 *
 * Operators have them in their service files: MALLOC_ARENA_MAX and the others of
 * mallopt(3), and the same as glibc.malloc.* in GLIBC_TUNABLES.
 */
#ifndef XA_CONFIG_GLIBC_SETTINGS_H
#define XA_CONFIG_GLIBC_SETTINGS_H

#include "config/options.h"

/* The value of an environment variable, or NULL. */
typedef const char *xa_glibc_settings_lookup(const char *name);

/*
 * Take over what is set: the number of arenas as a cap, the trim threshold as the bound
 * on dirty memory, the fill pattern as junk.  The others have no counterpart and are
 * passed over in silence.  False, after a report, if a value cannot be understood.
 */
bool xa_glibc_settings_apply(struct xa_options *options, xa_glibc_settings_lookup *lookup,
    xa_options_report *report, void *context);

#endif
