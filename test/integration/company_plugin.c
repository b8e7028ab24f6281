/*
 * company_plugin.c - a library that company_test.c loads with RTLD_DEEPBIND, and that audits the
 * same program through LD_AUDIT.
 *
 * With RTLD_DEEPBIND its malloc is the C library's, whoever stands in front of that.  As an auditor
 * it is in a name space of its own, with a C library of its own, and allocates before the program
 * has anything; what it reports is wanted by the loader, so that this does its work too.
 */
#define _GNU_SOURCE
#include <link.h>
#include <stdlib.h>
#include <string.h>

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

void *company_take(size_t size);
void company_give(void *block);

void *
company_take(size_t size)
{
    void *block = call_malloc(size);

    if (block != NULL)
        memset(block, 0x6b, size);
    return block;
}

void
company_give(void *block)
{
    call_free(block);
}

unsigned
la_version(unsigned version)
{
    for (size_t size = 1; size < 100000; size *= 3)
        company_give(company_take(size));
    return version;
}

unsigned
la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie)
{
    (void)map;
    (void)space;
    (void)cookie;
    company_give(company_take(1000));
    /* Symbols are bound by way of the auditor from here on. */
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
