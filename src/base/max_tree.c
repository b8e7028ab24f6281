/*
 * max_tree.c - walks up to set, down to find; see max_tree.h.
 */
#include "base/max_tree.h"

#include "base/assert.h"

size_t
xa_max_tree_bytes(size_t capacity)
{
    return 2 * capacity;
}

static uint8_t
larger(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

void
xa_max_tree_grow(struct xa_max_tree *tree, uint8_t *memory, size_t capacity)
{
    xa_assert(capacity >= tree->capacity);
    for (size_t i = 0; i < capacity; i++)
        memory[capacity + i] = i < tree->capacity ? tree->nodes[tree->capacity + i] : 0;
    for (size_t i = capacity - 1; i > 0; i--)
        memory[i] = larger(memory[2 * i], memory[2 * i + 1]);
    tree->nodes = memory;
    tree->capacity = capacity;
}

void
xa_max_tree_set(struct xa_max_tree *tree, size_t index, uint8_t value)
{
    xa_assert(index < tree->capacity);
    size_t node = tree->capacity + index;
    tree->nodes[node] = value;
    for (node /= 2; node > 0; node /= 2) {
        uint8_t maximum = larger(tree->nodes[2 * node], tree->nodes[2 * node + 1]);
        /* Nothing above can change when this node does not. */
        if (tree->nodes[node] == maximum)
            return;
        tree->nodes[node] = maximum;
    }
}

uint8_t
xa_max_tree_get(const struct xa_max_tree *tree, size_t index)
{
    return index < tree->capacity ? tree->nodes[tree->capacity + index] : 0;
}

size_t
xa_max_tree_find(const struct xa_max_tree *tree, size_t from, uint8_t value)
{
    if (from >= tree->capacity)
        return XA_MAX_TREE_NOT_FOUND;
    size_t node = tree->capacity + from;
    /* Up: as long as neither this subtree nor a later sibling holds one. */
    while (tree->nodes[node] < value) {
        while (node % 2 == 1) {
            if (node == 1)
                return XA_MAX_TREE_NOT_FOUND;
            node /= 2;
        }
        node++;
    }
    /* Down: to the first of them. */
    while (node < tree->capacity) {
        node *= 2;
        if (tree->nodes[node] < value)
            node++;
    }
    return node - tree->capacity;
}

size_t
xa_max_tree_find_last(const struct xa_max_tree *tree, size_t end, uint8_t value)
{
    if (end > tree->capacity)
        end = tree->capacity;
    if (end == 0)
        return XA_MAX_TREE_NOT_FOUND;
    size_t node = tree->capacity + end - 1;
    /* Up: as long as neither this subtree nor an earlier sibling holds one. */
    while (tree->nodes[node] < value) {
        while (node % 2 == 0)
            node /= 2;
        if (node == 1)
            return XA_MAX_TREE_NOT_FOUND;
        node--;
    }
    /* Down: to the last of them. */
    while (node < tree->capacity) {
        node = 2 * node + 1;
        if (tree->nodes[node] < value)
            node--;
    }
    return node - tree->capacity;
}
