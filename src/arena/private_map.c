/*
 * private_map.c - see private_map.h.
 *
 * Locking: none.  A node is published by compare-and-swap; the loser's goes back.  Entries of one
 * extent are written by whoever owns the extent.
 */
#include "arena/private_map.h"

#include "base/assert.h"
#include "config/size_class.h"
#include "extent/metadata.h"

enum {
    LEAF_SHIFT = 10,
    BRANCH_SHIFT = 12,
    ROOT_SHIFT = 12,
    LEAF_ENTRIES = 1 << LEAF_SHIFT,
    BRANCH_ENTRIES = 1 << BRANCH_SHIFT,
    ROOT_ENTRIES = 1 << ROOT_SHIFT,
};

struct leaf {
    _Atomic(struct xa_private_extent *) entries[LEAF_ENTRIES];
};

struct branch {
    _Atomic(struct leaf *) leaves[BRANCH_ENTRIES];
};

struct xa_private_map_root {
    _Atomic(struct branch *) branches[ROOT_ENTRIES];
};

struct xa_private_map_root *_Atomic xa_private_map_root;

/* True of a granule that the tree has no place for.  With 64 bits, since 32 have none. */
static bool
is_beyond(uint64_t granule)
{
    return granule >> (ROOT_SHIFT + BRANCH_SHIFT + LEAF_SHIFT) != 0;
}

static struct leaf *
find_leaf(uintptr_t granule)
{
    /* Acquire, here and below: a node is found zeroed. */
    struct xa_private_map_root *root =
        atomic_load_explicit(&xa_private_map_root, memory_order_acquire);
    if (root == NULL || is_beyond(granule))
        return NULL;
    struct branch *branch = atomic_load_explicit(
        &root->branches[granule >> (BRANCH_SHIFT + LEAF_SHIFT)], memory_order_acquire);
    if (branch == NULL)
        return NULL;
    return atomic_load_explicit(
        &branch->leaves[(granule >> LEAF_SHIFT) % BRANCH_ENTRIES], memory_order_acquire);
}

struct xa_private_extent *
xa_private_map_find(uintptr_t address)
{
    uintptr_t granule = address >> XA_GRANULE_SHIFT;
    struct leaf *leaf = find_leaf(granule);
    if (leaf == NULL)
        return NULL;
    return atomic_load_explicit(&leaf->entries[granule % LEAF_ENTRIES], memory_order_acquire);
}

static struct xa_private_map_root *
make_root(void)
{
    struct xa_private_map_root *root =
        atomic_load_explicit(&xa_private_map_root, memory_order_acquire);
    if (root != NULL)
        return root;
    struct xa_private_map_root *fresh = xa_metadata_take(sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(
            &xa_private_map_root, &root, fresh, memory_order_acq_rel, memory_order_acquire))
        return fresh;
    xa_metadata_return(fresh, sizeof *fresh);
    return root;
}

static struct branch *
make_branch(_Atomic(struct branch *) *place)
{
    struct branch *branch = atomic_load_explicit(place, memory_order_acquire);
    if (branch != NULL)
        return branch;
    struct branch *fresh = xa_metadata_take(sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(
            place, &branch, fresh, memory_order_acq_rel, memory_order_acquire))
        return fresh;
    xa_metadata_return(fresh, sizeof *fresh);
    return branch;
}

static struct leaf *
make_leaf(_Atomic(struct leaf *) *place)
{
    struct leaf *leaf = atomic_load_explicit(place, memory_order_acquire);
    if (leaf != NULL)
        return leaf;
    struct leaf *fresh = xa_metadata_take(sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(
            place, &leaf, fresh, memory_order_acq_rel, memory_order_acquire))
        return fresh;
    xa_metadata_return(fresh, sizeof *fresh);
    return leaf;
}

/* See to it that there is a leaf for the granule. */
static bool
cover(uintptr_t granule)
{
    struct xa_private_map_root *root = make_root();
    if (root == NULL)
        return false;
    struct branch *branch = make_branch(&root->branches[granule >> (BRANCH_SHIFT + LEAF_SHIFT)]);
    return branch != NULL &&
        make_leaf(&branch->leaves[(granule >> LEAF_SHIFT) % BRANCH_ENTRIES]) != NULL;
}

enum xa_private_map_result
xa_private_map_insert(uintptr_t address, size_t bytes, struct xa_private_extent *extent)
{
    uintptr_t first = address >> XA_GRANULE_SHIFT, end = (address + bytes) >> XA_GRANULE_SHIFT;
    xa_assert(address % XA_GRANULE_BYTES == 0 && bytes % XA_GRANULE_BYTES == 0);
    if (address + bytes < address || (first < end && is_beyond(end - 1)))
        return XA_PRIVATE_MAP_NO_MEMORY;
    for (uintptr_t granule = first; granule < end; granule = (granule | (LEAF_ENTRIES - 1)) + 1)
        if (!cover(granule))
            return XA_PRIVATE_MAP_NO_MEMORY;
    for (uintptr_t granule = first; granule < end; granule++)
        if (xa_private_map_find(granule << XA_GRANULE_SHIFT) != NULL)
            return XA_PRIVATE_MAP_TAKEN;
    xa_private_map_set(address, bytes, extent);
    return XA_PRIVATE_MAP_DONE;
}

void
xa_private_map_set(uintptr_t address, size_t bytes, struct xa_private_extent *extent)
{
    uintptr_t first = address >> XA_GRANULE_SHIFT, end = (address + bytes) >> XA_GRANULE_SHIFT;
    struct leaf *leaf = NULL;
    for (uintptr_t granule = first; granule < end; granule++) {
        if (leaf == NULL || granule % LEAF_ENTRIES == 0)
            leaf = find_leaf(granule);
        xa_assert(leaf != NULL);
        /* Release: whoever finds the extent finds what its record says. */
        if (leaf != NULL)
            atomic_store_explicit(
                &leaf->entries[granule % LEAF_ENTRIES], extent, memory_order_release);
    }
}
