/*
 * check.c - see check.h.
 *
 * The life of a fenced object: taken from a slab or from pages, as any other; filled; fenced.
 * At its free the fence and the canary must be whole, then it is filled with a pattern and waits
 * in quarantine.  When it leaves, the pattern must be whole: else somebody wrote to it after its
 * free.  From then on its place is as any other free one; pages may be given back to the system.
 *
 * A slab that is older than the option's reading has a class of its own in the page map, and its
 * objects have no fences: they are not ours.
 *
 * Locking: those of the modules below; nothing is held here.
 */
#include "check/check.h"

#include <string.h>

#include "arena/large.h"
#include "arena/misuse.h"
#include "arena/slab.h"
#include "base/random.h"
#include "check/fault.h"
#include "check/fence.h"
#include "check/guard.h"
#include "check/quarantine.h"
#include "check/stack_table.h"
#include "os/message.h"
#include "os/os.h"
#include "page/huge.h"

enum {
    SAMPLE_PERIOD = 1000,
    FULL_PERIOD = 50,
    CHOICES = 8, /* slots of which "full" takes one by chance */
    LINE_BYTES = 400,
};

static struct {
    uint32_t period;            /* [c] of guarded objects; 0: there are none */
    _Atomic uint32_t countdown; /* [a] slow-path allocations until the next one */
    _Atomic uint64_t random;    /* [a] */
} check;

/* Without order and not in one step: chance is the better for it. */
static uint64_t
chance(void)
{
    uint64_t state = atomic_load_explicit(&check.random, memory_order_relaxed);
    uint64_t value = xa_random_next(&state);
    atomic_store_explicit(&check.random, state, memory_order_relaxed);
    return value;
}

static bool
has_fences(void)
{
    return xa_options.check >= XA_CHECK_LIGHT;
}

static bool
is_full(void)
{
    return xa_options.check == XA_CHECK_FULL;
}

/* The classes whose objects have fences. */
static void
choose_classes(void)
{
    unsigned first = 1, last = XA_SMALL_CLASSES;
    while (first <= last && xa_size_class_table[first].object_bytes < xa_options.check_min)
        first++;
    while (
        last >= first && last > 0 && xa_size_class_table[last].object_bytes > xa_options.check_max)
        last--;
    xa_slab_checked.first = first;
    xa_slab_checked.count = last + 1 - first;
}

static uint32_t
new_countdown(void)
{
    /* The period on average, but by chance: programs that repeat themselves are no match. */
    return 1 + (uint32_t)(chance() % (2 * (uint64_t)check.period - 1));
}

bool
xa_check_start(void)
{
    if (!xa_check_is_on())
        return false;
    atomic_store_explicit(
        &check.random, xa_os_facts.seed ^ (uintptr_t)&check, memory_order_relaxed);
    if (xa_options.check != XA_CHECK_LIGHT) {
        uint32_t usual = is_full() ? FULL_PERIOD : SAMPLE_PERIOD;
        check.period = xa_options.check_sample != 0 ? xa_options.check_sample : usual;
        atomic_store_explicit(&check.countdown, new_countdown(), memory_order_relaxed);
    }
    if (!has_fences())
        return false;
    choose_classes();
    xa_quarantine_start(xa_options.check_quarantine,
        is_full() ? XA_QUARANTINE_ANY : XA_QUARANTINE_OLDEST, chance());
    return xa_slab_checked.count == XA_SMALL_CLASSES;
}

static bool
is_of_size(size_t size)
{
    return size >= xa_options.check_min && size <= xa_options.check_max;
}

/* True for one call in about `period`. */
static bool
is_due(void)
{
    if (check.period == 0)
        return false;
    /* Calls that come at the same time may count as one. */
    uint32_t left = atomic_load_explicit(&check.countdown, memory_order_relaxed);
    atomic_store_explicit(
        &check.countdown, left > 1 ? left - 1 : new_countdown(), memory_order_relaxed);
    return left <= 1;
}

bool
xa_check_may_pass(void)
{
    return xa_options.check == XA_CHECK_SAMPLE &&
        atomic_load_explicit(&check.countdown, memory_order_relaxed) > 1;
}

void
xa_check_note_passed(void)
{
    /* As in is_due(); and never to 0, which would be a new beginning. */
    uint32_t left = atomic_load_explicit(&check.countdown, memory_order_relaxed);
    if (left > 1)
        atomic_store_explicit(&check.countdown, left - 1, memory_order_relaxed);
}

static void *
take_guarded(size_t size, size_t alignment)
{
    void *object = xa_guard_take(size, alignment);
    if (object != NULL && (is_full() || xa_options.check_fault))
        xa_fault_watch();
    return object;
}

static bool
is_checked_class(unsigned size_class)
{
    return size_class - xa_slab_checked.first < xa_slab_checked.count;
}

/* Of a large object, also one whose class has been taken away. */
static struct xa_fence_place
place_of_large(uintptr_t start)
{
    return (struct xa_fence_place){start, xa_large_usable_bytes(start)};
}

/* The place of an object that has or had a fence. */
static struct xa_fence_place
place_of(uintptr_t start)
{
    struct xa_slab_view view;
    switch (xa_page_map_class(start)) {
    case XA_CLASS_LARGE: return place_of_large(start);
    case XA_CLASS_HUGE: return (struct xa_fence_place){start, xa_huge_of(start)->bytes};
    default: break;
    }
    xa_slab_view(&view, start);
    return (struct xa_fence_place){start, view.class->object_bytes};
}

/* A line about an object with a fence, its stacks, and the end. */
static XA_NORETURN XA_COLD void
end(const char *call, const void *pointer, const char *what, const struct xa_fence_view *view,
    const char *advice)
{
    char line[LINE_BYTES];
    struct xa_text text;
    xa_text_init(&text, line, sizeof line);
    xa_text_put_string(&text, what);
    if (view != NULL) {
        xa_text_put_string(&text, "an object of ");
        xa_text_put_unsigned(&text, view->size);
        xa_text_put_string(&text, " bytes");
    }
    xa_text_put_string(&text, ". ");
    xa_text_put_string(&text, advice);
    xa_message_pointer(call, pointer, line);
    if (is_full() && view != NULL) {
        xa_stack_table_say("allocated", view->taken_by);
        if (view->freed_by != 0)
            xa_stack_table_say("freed", view->freed_by);
    }
    xa_os_abort();
}

static XA_NORETURN XA_COLD void
end_at(const char *call, uintptr_t start, size_t offset, const char *where,
    const struct xa_fence_view *view, const char *advice)
{
    char what[LINE_BYTES / 4];
    struct xa_text text;
    xa_text_init(&text, what, sizeof what);
    xa_text_put_string(&text, "byte ");
    xa_text_put_unsigned(&text, offset);
    xa_text_put_string(&text, where);
    end(call, (const void *)start, what, view, advice);
}

/* A place that was freed must be as it was left. */
static void
check_untouched(const struct xa_fence_place *place)
{
    struct xa_fence_view view;
    if (xa_fence_look(place, &view) != XA_FENCE_FREED)
        return;
    size_t offset = xa_fence_find_write(place, view.size);
    if (offset != XA_FENCE_WHOLE)
        end_at("free", place->start, offset, " was written after the free of ", &view,
            "Look for a pointer that is used after a free.");
}

static uint32_t
stack_number(void)
{
    return is_full() ? xa_stack_table_capture() : 0;
}

/* A slot of the class; one of several, by chance, where that is asked for. */
static void *
take_slot(struct xa_arena *arena, unsigned size_class)
{
    void *objects[CHOICES];
    unsigned count = xa_arena_take(arena, size_class, objects, is_full() ? CHOICES : 1);
    if (count <= 1)
        return count == 0 ? NULL : objects[0];
    unsigned chosen = (unsigned)(chance() % count);
    void *object = objects[chosen];
    objects[chosen] = objects[count - 1];
    (void)xa_arena_return(size_class, objects, count - 1, XA_ARENA_WAIT);
    return object;
}

static void *
take_small(struct xa_arena *arena, unsigned size_class, size_t size)
{
    void *object = take_slot(arena, size_class);
    xa_arena_note_request(arena, size_class, size);
    /* A slab from before has no fences; and a class beyond `check_max` has none either. */
    if (object == NULL || xa_page_map_class((uintptr_t)object) != XA_CLASS_CHECKED)
        return object;
    struct xa_fence_place place = place_of((uintptr_t)object);
    xa_fence_put(&place, size, stack_number());
    if (is_full())
        memset(object, XA_FENCE_JUNK_NEW, size);
    return object;
}

static void *
take_whole(struct xa_arena *arena, size_t size, size_t alignment, bool *is_zeroed)
{
    size_t bytes = size + XA_FENCE_BYTES;
    void *object;
    if (bytes <= XA_LARGE_MAX_BYTES && alignment <= XA_CHUNK_BYTES / 2) {
        object = xa_large_take(arena, bytes, alignment, is_zeroed);
        if (object != NULL)
            xa_page_map_record(xa_page_map_granule_of((uintptr_t)object))->as.large.is_fenced =
                true;
    } else {
        object = xa_huge_take(bytes, alignment, is_zeroed);
        if (object != NULL)
            xa_huge_of((uintptr_t)object)->is_fenced = true;
    }
    if (object == NULL)
        return NULL;
    /* Not filled: that would touch all of it. */
    struct xa_fence_place place = place_of((uintptr_t)object);
    xa_fence_put(&place, size, stack_number());
    return object;
}

/* The class that a request goes to if it has a fence; XA_CLASS_NONE if it has none. */
static bool
wants_fence(size_t size, size_t alignment, unsigned *size_class)
{
    unsigned without = xa_size_class_of_aligned(size, alignment);
    *size_class = xa_size_class_of_aligned(size + XA_FENCE_BYTES, alignment);
    /* Slabs of a checked class hold nothing else; those of others hold no fences. */
    if (without != XA_CLASS_NONE)
        return is_checked_class(without);
    return is_of_size(size);
}

bool
xa_check_take(struct xa_arena *arena, size_t size, size_t alignment, void **object, bool *is_zeroed)
{
    unsigned size_class;
    if (is_of_size(size) && is_due() && (*object = take_guarded(size, alignment)) != NULL) {
        *is_zeroed = true;
        return true;
    }
    if (!has_fences() || !wants_fence(size, alignment, &size_class))
        return false;
    if (size_class != XA_CLASS_NONE) {
        *is_zeroed = false;
        *object = take_small(arena, size_class, size);
    } else {
        *object = take_whole(arena, size, alignment, is_zeroed);
    }
    return true;
}

bool
xa_check_has(const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    switch (xa_page_map_class(address)) {
    case XA_CLASS_CHECKED: return true;
    case XA_CLASS_LARGE:
        return xa_page_map_record(xa_page_map_granule_of(address))->as.large.is_fenced;
    case XA_CLASS_HUGE: return xa_huge_of(address)->is_fenced;
    default: return false;
    }
}

/* Small objects: it must be where one begins, and not in its slab. */
static void
check_place(const char *call, const void *pointer)
{
    uintptr_t address = (uintptr_t)pointer;
    if (xa_page_map_class(address) != XA_CLASS_CHECKED) {
        if (address % XA_GRANULE_BYTES != 0)
            xa_misuse_end(call, pointer, XA_MISUSE_INSIDE);
        return;
    }
    switch (xa_slab_look(address)) {
    case XA_SLAB_INSIDE: xa_misuse_end(call, pointer, XA_MISUSE_INSIDE);
    case XA_SLAB_FREE: xa_misuse_end(call, pointer, XA_MISUSE_ALREADY_FREE);
    case XA_SLAB_TAKEN: break;
    }
}

/* The place and the view of a live object with a fence. */
static struct xa_fence_place
look(const char *call, const void *pointer, struct xa_fence_view *view)
{
    check_place(call, pointer);
    struct xa_fence_place place = place_of((uintptr_t)pointer);
    switch (xa_fence_look(&place, view)) {
    case XA_FENCE_BROKEN:
        end(call, pointer, "something was written behind the object, whose size is lost with it",
            NULL, "Look for an overflow, here or in the object before.");
    case XA_FENCE_FREED:
        end(call, pointer, "already free, ", view, "Look for a second free of the same pointer.");
    case XA_FENCE_LIVE: break;
    }
    return place;
}

size_t
xa_check_bytes(const void *pointer, const char *call)
{
    struct xa_fence_view view;
    if (xa_guard_has((uintptr_t)pointer))
        return xa_guard_bytes(pointer, call);
    (void)look(call, pointer, &view);
    return view.size;
}

static XA_COLD void
end_wrong_size(const struct xa_check_claim *claim, const void *pointer, size_t size)
{
    char what[LINE_BYTES / 4];
    struct xa_text text;
    xa_text_init(&text, what, sizeof what);
    xa_text_put_string(&text, "called with size ");
    xa_text_put_unsigned(&text, claim->size);
    xa_text_put_string(&text, " for ");
    struct xa_fence_view view = {.size = size};
    end(claim->call, pointer, what, &view, "Pass the size that was allocated.");
}

static void
check_claim(const struct xa_check_claim *claim, const void *pointer, size_t size)
{
    /* malloc(0) gives one byte, and may be freed as either. */
    if (claim->size != SIZE_MAX && claim->size != size && !(claim->size == 0 && size == 1))
        end_wrong_size(claim, pointer, size);
}

/* The object's memory is the heap's again. */
static void
let_go(uintptr_t start)
{
    void *object = (void *)start;
    bool is_small = xa_page_map_class(start) == XA_CLASS_CHECKED;
    struct xa_fence_place place = is_small ? place_of(start) : place_of_large(start);
    check_untouched(&place);
    xa_fence_remove(&place);
    if (is_small)
        (void)xa_arena_return(
            xa_page_map_record(xa_slab_of(start))->size_class, &object, 1, XA_ARENA_WAIT);
    else
        xa_large_return(start);
}

static void
put_away(const struct xa_fence_place *place, size_t size)
{
    xa_fence_fill(place, size);
    if (!xa_quarantine_put(place->start, place->bytes))
        let_go(place->start);
    for (uintptr_t at = xa_quarantine_take_excess(); at != 0; at = xa_quarantine_take_excess())
        let_go(at);
}

/* The page map forgets a large or huge object; of several threads that free it, the first goes on. */
static void
take_class(const char *call, void *pointer, unsigned code)
{
    if (xa_page_map_take_class(xa_page_map_granule_of((uintptr_t)pointer)) != code)
        xa_misuse_end(call, pointer, XA_MISUSE_ALREADY_FREE);
}

/* What is behind the object is as it was, and the caller knows its size. */
static void
check_end(const struct xa_check_claim *claim, const struct xa_fence_place *place,
    const struct xa_fence_view *view)
{
    size_t offset = xa_fence_find_overflow(place, view->size);
    check_claim(claim, (void *)place->start, view->size);
    if (offset != XA_FENCE_WHOLE)
        end_at(claim->call, place->start, offset, " behind the end was written, of ", view,
            "Look for an overflow.");
}

static void
return_guarded(void *pointer, const struct xa_check_claim *claim)
{
    if (claim->size != SIZE_MAX)
        check_claim(claim, pointer, xa_guard_bytes(pointer, claim->call));
    xa_guard_return(pointer, claim->call);
}

void
xa_check_return(void *pointer, const struct xa_check_claim *claim)
{
    struct xa_fence_view view;
    if (xa_guard_has((uintptr_t)pointer)) {
        return_guarded(pointer, claim);
        return;
    }
    struct xa_fence_place place = look(claim->call, pointer, &view);
    unsigned code = xa_page_map_class(place.start);
    check_end(claim, &place, &view);
    if (code != XA_CLASS_CHECKED)
        take_class(claim->call, pointer, code);
    if (!xa_fence_free(&place, &view, stack_number()))
        xa_misuse_end(claim->call, pointer, XA_MISUSE_ALREADY_FREE);
    if (code == XA_CLASS_HUGE) {
        struct xa_huge *huge = xa_huge_of(place.start);
        huge->is_fenced = false;
        xa_huge_return(huge);
        return;
    }
    if (code == XA_CLASS_LARGE)
        xa_large_retire(place.start);
    put_away(&place, view.size);
}

size_t
xa_check_empty_quarantine(void)
{
    size_t bytes = xa_quarantine_bytes();
    if (!has_fences() || bytes == 0)
        return 0;
    for (uintptr_t at = xa_quarantine_take(); at != 0; at = xa_quarantine_take())
        let_go(at);
    return bytes;
}

void
xa_check_reset_in_child(void)
{
    xa_guard_reset_in_child();
    xa_quarantine_reset_in_child();
    xa_stack_table_reset_in_child();
}
