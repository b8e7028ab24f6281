/*
 * chain.h - take memory until there is none, and give it back.
 *
 * For tests of limits, in children (support/child.h): what is wrong ends the child.  The blocks are
 * a chain, which needs no memory of its own.
 */
#ifndef XA_TEST_CHAIN_H
#define XA_TEST_CHAIN_H

#include <stddef.h>

/* A block holds its forerunner's address and its own size, and a mark at its end. */
struct xa_chain_block {
    struct xa_chain_block *last;
    size_t size;
};

enum xa_chain_use {
    XA_CHAIN_WRITE_ENDS, /* the rest need not be in memory */
    XA_CHAIN_WRITE_ALL,
};

/*
 * Take blocks of `size` until there are none, which is to be ENOMEM, or `bytes_max` in all; adds
 * them to *chain.  Returns the bytes taken.  errno stays as it is with each that is taken.
 */
size_t xa_chain_take(
    struct xa_chain_block **chain, size_t size, size_t bytes_max, enum xa_chain_use use);

/* Free all of them; the marks are to be what they were. */
void xa_chain_free(struct xa_chain_block **chain);

/* Run out with one size after another, as one of several threads, the one of this number. */
void xa_chain_run_out(unsigned thread, unsigned rounds, enum xa_chain_use use);

#endif
