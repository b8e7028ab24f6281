/*
 * private_section.c - see private_section.h.
 *
 * Locking: the arena's lock, which a section is about.
 */
#include "arena/private_section.h"

#include "os/os.h"

/* [a] NULL, or the same for ever. */
static xa_private_arena_step *_Atomic step;

void
xa_private_section_set_step(xa_private_arena_step *function)
{
    atomic_store_explicit(&step, function, memory_order_relaxed);
}

static bool
tell(enum xa_private_step what)
{
    xa_private_arena_step *function = atomic_load_explicit(&step, memory_order_relaxed);
    return function == NULL || function(what);
}

bool
xa_private_section_begin(void)
{
    return tell(XA_PRIVATE_BEGIN);
}

void
xa_private_section_end(void)
{
    (void)tell(XA_PRIVATE_END);
}

bool
xa_private_section_enter(struct xa_private_arena *arena) XA_NO_ANALYSIS
{
    if (!xa_private_section_begin())
        return false;
    xa_lock_lock(&arena->lock);
    return true;
}

void
xa_private_section_leave(struct xa_private_arena *arena) XA_NO_ANALYSIS
{
    xa_lock_unlock(&arena->lock);
    xa_private_section_end();
}

struct extent_hooks_s *
xa_private_section_begin_hook(struct xa_private_arena *arena) XA_NO_ANALYSIS
{
    arena->hooks_running++;
    xa_private_section_leave(arena);
    (void)tell(XA_PRIVATE_HOOK_BEGIN);
    return atomic_load_explicit(&arena->hooks, memory_order_acquire);
}

void
xa_private_section_end_hook(struct xa_private_arena *arena) XA_NO_ANALYSIS
{
    (void)tell(XA_PRIVATE_HOOK_END);
    /* The section had been begun by this thread: it is no signal handler in its own way. */
    (void)!xa_private_section_begin();
    xa_lock_lock(&arena->lock);
    /* 0 in a child that was forked meanwhile. */
    if (arena->hooks_running > 0)
        arena->hooks_running--;
}

void
xa_private_section_wait_for_hooks(struct xa_private_arena *arena)
{
    while (arena->hooks_running != 0) {
        xa_lock_unlock(&arena->lock);
        xa_os_yield();
        xa_lock_lock(&arena->lock);
    }
}
