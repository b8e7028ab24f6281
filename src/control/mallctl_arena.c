/*
 * mallctl_arena.c - what is done to one arena, or to all of them.
 *
 * Automatic arenas are at hand here; private ones are asked through controls_arena.h.  An
 * automatic arena that no thread has needed yet has nothing to give back, and no settings.
 *
 * Locking: xa_snapshot_lock guards the notes.
 */
#include <errno.h>
#include <string.h>

#include "alloc/start.h"
#include "base/text.h"
#include "config/options.h"
#include "control/controls_arena.h"
#include "control/mallctl.h"
#include "control/snapshot.h"
#include "extent/metadata.h"
#include "os/os.h"
#include "page/huge.h"
#include "page/page_purge.h"
#include "thread/huge_stock.h"

/* What a program has said of an automatic arena, for it to read again. */
struct note {
    struct note *next;
    unsigned index;
    size_t oversize_threshold;
    size_t retain_grow_limit;
    char name[XA_PRIVATE_ARENA_NAME_BYTES];
};

static struct note *notes; /* [s] the newest */

static bool
is_all(unsigned index)
{
    return index == XA_SNAPSHOT_ALL || index == xa_snapshot_arena_end();
}

/* The arena's note, made now; NULL if memory ran out. */
static struct note *
note_of(unsigned index)
{
    struct note *note = notes;
    while (note != NULL && note->index != index)
        note = note->next;
    if (note != NULL)
        return note;
    note = xa_metadata_take(sizeof *note);
    if (note == NULL)
        return NULL;
    note->index = index;
    note->retain_grow_limit = PTRDIFF_MAX;
    note->next = notes;
    notes = note;
    return note;
}

enum purge { PURGE_ALL, PURGE_DUE };

static void
purge_heap(struct xa_arena *arena, enum purge what)
{
    if (what == PURGE_DUE)
        xa_page_purge_decay(&arena->heap, xa_os_now_ms());
    else
        (void)xa_page_purge_run(&arena->heap, 0);
}

static void
purge_huge(enum purge what)
{
    for (struct xa_thread_state *at = xa_thread_state_all(); at != NULL; at = at->next)
        if (what == PURGE_ALL)
            (void)xa_huge_stock_empty(at, XA_LARGE_STOCK_ALL);
    (void)xa_huge_purge(what == PURGE_ALL ? XA_HUGE_ALL : XA_HUGE_DECAYED);
}

static void
purge_automatic(unsigned index, enum purge what)
{
    bool all = is_all(index);
    if (all && what == PURGE_ALL)
        (void)xa_arena_trim(0);
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++) {
        struct xa_arena *arena = all || i == index ? xa_arena_at(i) : NULL;
        if (arena != NULL)
            purge_heap(arena, what);
    }
    /* Mappings of their own count as arena 0's. */
    if (all || index == 0)
        purge_huge(what);
}

static int
purge(unsigned index, enum purge what)
{
    struct xa_thread_state *state;
    if (index == XA_SNAPSHOT_DESTROYED)
        return 0;
    if (is_all(index) || index >= XA_ARENAS_MAX)
        xa_controls_arena_purge(is_all(index) ? XA_PRIVATE_ARENA_NONE : index, what == PURGE_ALL);
    if (!is_all(index) && index >= XA_ARENAS_MAX)
        return 0;
    if (!xa_start_enter(&state))
        return EAGAIN;
    purge_automatic(index, what);
    xa_start_leave(state);
    return 0;
}

/* For all: every arena goes by the process's time from now on. */
static void
set_time(unsigned index, enum xa_page_purge_age age, int64_t time_ms)
{
    bool all = is_all(index);
    if (all)
        xa_page_purge_set_time_ms(NULL, age, time_ms);
    for (unsigned i = 0; i < XA_ARENAS_MAX; i++) {
        struct xa_arena *arena = all || i == index ? xa_arena_at(i) : NULL;
        if (arena != NULL)
            xa_page_purge_set_time_ms(
                &arena->heap, age, all ? (int64_t)XA_PAGE_PURGE_TIME_OF_PROCESS : time_ms);
    }
}

static int
decay_time(struct xa_mallctl_call *call, unsigned index, enum xa_page_purge_age age)
{
    bool is_private = !is_all(index) && index >= XA_ARENAS_MAX;
    int64_t time_ms;
    if (call->has_new && !xa_mallctl_is_time(call->new, XA_OPTION_MS_MAX))
        return EFAULT;
    if (is_private) {
        if (!xa_controls_arena_decay_ms(index, age, &time_ms))
            return EFAULT;
        call->old = (xa_mallctl_value)time_ms;
        return !call->has_new || xa_controls_arena_set_decay_ms(index, age, (int64_t)call->new)
            ? 0
            : EFAULT;
    }
    const struct xa_arena *arena = is_all(index) ? NULL : xa_arena_at(index);
    if (!is_all(index) && arena == NULL)
        return EFAULT;
    call->old = (xa_mallctl_value)xa_page_purge_time_ms(arena == NULL ? NULL : &arena->heap, age);
    if (!call->has_new)
        return 0;
    if (is_all(index))
        xa_controls_arena_set_all_decay_ms(age, (int64_t)call->new);
    set_time(index, age, (int64_t)call->new);
    /* What there is counts as old enough, as with jemalloc. */
    return (int64_t)call->new == -1 ? 0 : purge(index, PURGE_ALL);
}

static int
dss(struct xa_mallctl_call *call)
{
    call->old = xa_mallctl_pointer("disabled");
    if (!call->has_new)
        return 0;
    const char *word = (const char *)(uintptr_t)call->new;
    if (word == NULL)
        return EINVAL;
    size_t length = xa_text_string_length(word);
    if (xa_text_equals(word, length, "disabled"))
        return 0;
    /* There are such settings, but not here. */
    return xa_text_equals(word, length, "primary") || xa_text_equals(word, length, "secondary")
        ? EFAULT
        : EINVAL;
}

static int
number(struct xa_mallctl_call *call, size_t *kept)
{
    call->old = *kept;
    if (call->has_new)
        *kept = (size_t)call->new;
    return 0;
}

static int
name(struct xa_mallctl_call *call, char *kept)
{
    if (call->wants_old) {
        char *buffer;
        memcpy(&buffer, call->buffer, sizeof buffer);
        if (buffer == NULL)
            return EINVAL;
        memcpy(buffer, kept, XA_PRIVATE_ARENA_NAME_BYTES);
    }
    if (call->has_new) {
        struct xa_text text;
        const char *chars = (const char *)(uintptr_t)call->new;
        if (chars == NULL)
            return EINVAL;
        xa_text_init(&text, kept, XA_PRIVATE_ARENA_NAME_BYTES);
        xa_text_put_string(&text, chars);
    }
    return 0;
}

static int
say(struct xa_mallctl_call *call, struct note *note)
{
    switch (call->row) {
    case XA_CONTROL_arena_i_oversize_threshold: return number(call, &note->oversize_threshold);
    case XA_CONTROL_arena_i_retain_grow_limit:
        if (call->has_new && call->new < xa_os_facts.page_bytes)
            return EINVAL;
        return number(call, &note->retain_grow_limit);
    default: return name(call, note->name);
    }
}

/* What is kept for an automatic arena. */
static int
say_automatic(struct xa_mallctl_call *call, unsigned index)
{
    if (xa_arena_at(index) == NULL)
        return EFAULT;
    if (!xa_mallctl_lock())
        return EAGAIN;
    struct note *note = note_of(index);
    int error = note == NULL ? EAGAIN : say(call, note);
    xa_mallctl_unlock();
    return error;
}

/* The same for a private one, which keeps the rest itself. */
static int
say_private(struct xa_mallctl_call *call, unsigned index)
{
    size_t limit;
    char kept[XA_PRIVATE_ARENA_NAME_BYTES];
    if (!xa_private_arena_exists(index))
        return EFAULT;
    switch (call->row) {
    case XA_CONTROL_arena_i_oversize_threshold: call->old = 0; return 0;
    case XA_CONTROL_arena_i_retain_grow_limit:
        if (call->has_new && call->new < xa_os_facts.page_bytes)
            return EINVAL;
        if (!xa_private_arena_grow_limit(index, &limit))
            return EFAULT;
        call->old = limit;
        return !call->has_new || xa_private_arena_set_grow_limit(index, (size_t)call->new) ? 0
                                                                                           : EFAULT;
    default: break;
    }
    if (!xa_private_arena_name(index, kept))
        return EFAULT;
    int error = name(call, kept);
    if (error == 0 && call->has_new && !xa_private_arena_set_name(index, kept))
        error = EFAULT;
    return error;
}

static int
keep(struct xa_mallctl_call *call, unsigned index)
{
    if (is_all(index) || index == XA_SNAPSHOT_DESTROYED)
        return call->row == XA_CONTROL_arena_i_name ? EINVAL : EFAULT;
    return index < XA_ARENAS_MAX ? say_automatic(call, index) : say_private(call, index);
}

/* The memory of automatic arenas always comes as the default hooks would get it. */
static struct extent_hooks_s *
hooks_of(unsigned index)
{
    if (index < XA_ARENAS_MAX)
        return xa_arena_at(index) != NULL ? xa_extent_hooks_default() : NULL;
    return xa_private_arena_hooks(index);
}

static int
hooks(struct xa_mallctl_call *call, unsigned index)
{
    struct extent_hooks_s *now = is_all(index) ? NULL : hooks_of(index);
    if (now == NULL)
        return EFAULT;
    call->old = xa_mallctl_pointer(now);
    if (!call->has_new)
        return 0;
    struct extent_hooks_s *wanted = (struct extent_hooks_s *)(uintptr_t)call->new;
    if (wanted == NULL)
        return EINVAL;
    if (index < XA_ARENAS_MAX)
        return wanted == now ? 0 : EFAULT;
    return xa_private_arena_set_hooks(index, wanted) != NULL ? 0 : EFAULT;
}

int
xa_mallctl_arena(struct xa_mallctl_call *call)
{
    unsigned index = (unsigned)call->indices[0];
    switch (call->row) {
    case XA_CONTROL_arena_i_initialized:
        call->old = is_all(index) || xa_snapshot_has_arena(index);
        return 0;
    case XA_CONTROL_arena_i_decay: return purge(index, PURGE_DUE);
    case XA_CONTROL_arena_i_purge: return purge(index, PURGE_ALL);
    case XA_CONTROL_arena_i_reset: return xa_private_arena_reset(index) ? 0 : EFAULT;
    case XA_CONTROL_arena_i_destroy: return xa_private_arena_destroy(index) ? 0 : EFAULT;
    case XA_CONTROL_arena_i_dss: return dss(call);
    case XA_CONTROL_arena_i_dirty_decay_ms: return decay_time(call, index, XA_PAGE_PURGE_DIRTY);
    case XA_CONTROL_arena_i_muzzy_decay_ms: return decay_time(call, index, XA_PAGE_PURGE_MUZZY);
    case XA_CONTROL_arena_i_extent_hooks: return hooks(call, index);
    default: return keep(call, index);
    }
}
