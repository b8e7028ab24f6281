/*
 * jemalloc_settings.h - settings that were written for jemalloc, as far as they mean something here.
 */
#ifndef XA_CONFIG_JEMALLOC_SETTINGS_H
#define XA_CONFIG_JEMALLOC_SETTINGS_H

#include "config/options.h"

/*
 * Take over what a text such as the value of MALLOC_CONF sets, of the options that both
 * have; a number that is too large or too small becomes the nearest possible one.  Nothing
 * is ever reported, since what is unknown here may well be right for jemalloc.
 * NULL is no text.
 */
void xa_jemalloc_settings_apply(struct xa_options *options, const char *text);

#endif
