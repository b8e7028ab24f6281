/*
 * stack_table.c - see stack_table.h.
 *
 * Stacks stand one behind another in an array of words that is never given back: how many
 * frames, then these.  A stack's number is where it stands.  A hash table of numbers finds one
 * that is there already; programs have some thousand different ones.  When either is full, new
 * stacks have the number 0.
 *
 * Locking: one lock for changes.  Reading a stack by its number takes none: it never changes.
 */
#include "check/stack_table.h"

#include "base/bits.h"
#include "extent/metadata.h"
#include "os/call_stack.h"
#include "os/lock.h"
#include "os/message.h"

enum {
    WORDS = 256 * 1024,
    PLACES = 32 * 1024, /* of the hash table, of which three quarters are used */
    PLACES_USED_MAX = PLACES / 4 * 3,
};

static struct {
    struct xa_lock lock;
    uintptr_t *words; /* [c] once they are there */
    uint32_t *places; /* [s] numbers, or 0 */
    uint32_t next;    /* [s] the first unused word */
    uint32_t used;    /* [s] places */
    bool is_missing;  /* [s] there was no memory for it */
} table = {.lock.rank = XA_LOCK_RANK_STACKS, .next = 1};

static uint32_t
hash_of(const uintptr_t *frames, unsigned count)
{
    uint64_t hash = count;
    for (unsigned i = 0; i < count; i++)
        hash = (hash ^ frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

static bool
is_ready(void) XA_REQUIRES(table.lock)
{
    if (table.words != NULL || table.is_missing)
        return table.words != NULL;
    table.places = xa_metadata_take_pages(PLACES * sizeof *table.places);
    if (table.places != NULL)
        table.words = xa_metadata_take_pages(WORDS * sizeof *table.words);
    table.is_missing = table.words == NULL;
    return !table.is_missing;
}

static bool
is_same(uint32_t number, const uintptr_t *frames, unsigned count)
{
    const uintptr_t *words = table.words + number;
    if (words[0] != count)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (words[i + 1] != frames[i])
            return false;
    return true;
}

static uint32_t
add(const uintptr_t *frames, unsigned count) XA_REQUIRES(table.lock)
{
    if (!is_ready())
        return 0;
    uint32_t place = hash_of(frames, count) % PLACES;
    while (table.places[place] != 0) {
        if (is_same(table.places[place], frames, count))
            return table.places[place];
        place = (place + 1) % PLACES;
    }
    if (table.used == PLACES_USED_MAX || table.next + count >= WORDS)
        return 0;
    uint32_t number = table.next;
    table.words[number] = count;
    for (unsigned i = 0; i < count; i++)
        table.words[number + i + 1] = frames[i];
    table.places[place] = number;
    table.next += count + 1;
    table.used++;
    return number;
}

XA_NOINLINE uint32_t
xa_stack_table_capture(void)
{
    uintptr_t frames[XA_CALL_STACK_MAX];
    unsigned count = xa_call_stack_capture(frames, XA_CALL_STACK_MAX);
    if (count == 0)
        return 0;
    xa_lock_lock(&table.lock);
    uint32_t number = add(frames, count);
    xa_lock_unlock(&table.lock);
    return number;
}

void
xa_stack_table_say(const char *heading, uint32_t number)
{
    bool is_known = number != 0 && table.words != NULL;
    const uintptr_t *words = is_known ? &table.words[number] : NULL;
    xa_message_stack(heading, is_known ? words + 1 : NULL, is_known ? (unsigned)words[0] : 0);
}

void
xa_stack_table_reset_in_child(void)
{
    /* At most the last stack is lost: words are written before a place leads to them. */
    if (xa_lock_reset_in_child(&table.lock))
        table.next += XA_CALL_STACK_MAX + 1;
}
