/*
 * chain.c - see chain.h.
 */
#include "chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

enum { UNTOUCHED = 4711, ROOM_BYTES = 48 << 20 };

static void *(*volatile call_malloc)(size_t) = malloc;
static void (*volatile call_free)(void *) = free;

/* The last byte; NULL where there is no more than what links the chain. */
static unsigned char *
end_of(struct xa_chain_block *block)
{
    return block->size > sizeof(*block) ? (unsigned char *)block + block->size - 1 : NULL;
}

static unsigned char
mark_of(const struct xa_chain_block *block)
{
    return (unsigned char)(block->size * 31);
}

size_t
xa_chain_take(struct xa_chain_block **chain, size_t size, size_t bytes_max, enum xa_chain_use use)
{
    size_t taken = 0;

    while (taken < bytes_max) {
        struct xa_chain_block *block;

        errno = UNTOUCHED;
        block = call_malloc(size);
        if (block == NULL) {
            XA_CHILD_CHECK(errno == ENOMEM);
            break;
        }
        XA_CHILD_CHECK(errno == UNTOUCHED);
        if (use == XA_CHAIN_WRITE_ALL)
            memset(block, 1, size);
        *block = (struct xa_chain_block){*chain, size};
        if (end_of(block) != NULL)
            *end_of(block) = mark_of(block);
        *chain = block;
        taken += size;
    }
    return taken;
}

void
xa_chain_free(struct xa_chain_block **chain)
{
    while (*chain != NULL) {
        struct xa_chain_block *block = *chain;

        XA_CHILD_CHECK(end_of(block) == NULL || *end_of(block) == mark_of(block));
        *chain = block->last;
        call_free(block);
    }
}

void
xa_chain_run_out(unsigned thread, unsigned rounds, enum xa_chain_use use)
{
    for (unsigned round = 0; round < rounds; round++) {
        struct xa_chain_block *chain = NULL;

        xa_chain_take(&chain, (size_t)64 << (thread + round) % 14, ROOM_BYTES, use);
        xa_chain_free(&chain);
    }
}
