/*
 * max_tree.h - "the first index whose value is at least x", in a growing array.
 *
 * A complete binary tree over bytes, stored as an array: node 1 is the root, node
 * i has children 2i and 2i+1, leaf k is node capacity + k, and an inner node holds
 * the larger of its children.  The page heap keeps the longest free run of each
 * chunk here, by chunk address, so that "lowest address that fits" is one walk
 * down.  The memory (2 * capacity bytes) belongs to the caller.
 *
 * Locking: none of its own.
 */
#ifndef XA_BASE_MAX_TREE_H
#define XA_BASE_MAX_TREE_H

#include <stddef.h>
#include <stdint.h>

#define XA_MAX_TREE_NOT_FOUND SIZE_MAX

struct xa_max_tree {
    uint8_t *nodes;  /* 2 * capacity bytes; NULL while capacity is 0 */
    size_t capacity; /* leaves; 0 or a power of two */
};

/* Bytes of memory for `capacity` leaves. */
size_t xa_max_tree_bytes(size_t capacity);

/*
 * Move the tree into `memory` with room for `capacity` leaves, a power of two not
 * below today's.  The old memory is no longer used; the caller takes it back.
 */
void xa_max_tree_grow(struct xa_max_tree *tree, uint8_t *memory, size_t capacity);

/* Set leaf `index`, which is below the capacity. */
void xa_max_tree_set(struct xa_max_tree *tree, size_t index, uint8_t value);

/* The value of leaf `index`; 0 beyond the capacity. */
uint8_t xa_max_tree_get(const struct xa_max_tree *tree, size_t index);

/* The first leaf at or after `from` with a value of at least `value` >= 1, or NOT_FOUND. */
size_t xa_max_tree_find(const struct xa_max_tree *tree, size_t from, uint8_t value);

/* The last leaf before `end` with a value of at least `value` >= 1, or NOT_FOUND. */
size_t xa_max_tree_find_last(const struct xa_max_tree *tree, size_t end, uint8_t value);

#endif
