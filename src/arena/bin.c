/*
 * bin.c - all slabs of one size class in one arena.
 *
 * A slab with free slots is on one of eight lists, by how many of its slots are
 * free: list 0 holds the fullest.  Slots are taken from the fullest slab, so that
 * the emptiest drain and can be given back; slabs that are full are on no list.
 *
 * An empty slab leaves the bin, unless the bin has no other slab with free slots:
 * then the next take would only ask for the same pages again.
 *
 * A slab that is being purged (slab_purge.c) is aside, on no list, but for frees.
 *
 * The bin also keeps a reserve of whole magazines: what overflowed from its depot.
 * A thread whose cache ran dry is given one of these before slabs are asked.
 *
 * Every object that comes back is checked here, whichever cache it went through:
 * it must begin a slot, and the slot must not be free already.  The check reads
 * the slab's record only, which the program cannot reach.
 *
 * Locking: the caller holds bin->lock.  Pages are asked for and given back by the
 * caller, without it.
 */
#include "arena/bin.h"

#include "arena/misuse.h"
#include "arena/slab.h"
#include "base/assert.h"

enum { ASIDE = XA_BIN_LISTS }; /* instead of a list */

void
xa_bin_init(struct xa_bin *bin, uint16_t arena, unsigned size_class)
{
    xa_lock_init(&bin->lock, XA_LOCK_RANK_BIN);
    bin->arena = (uint8_t)arena;
    bin->size_class = (uint8_t)size_class;
    /* Release: whoever finds the bin ready finds its constants. */
    atomic_store_explicit(&bin->is_ready, true, memory_order_release);
}

static void
count(_Atomic size_t *counter, size_t amount)
{
    /* Written under the lock only: a plain sum, atomic for those who read without it. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
        memory_order_relaxed);
}

static struct xa_slab *
slab_at(uint32_t granule)
{
    return &xa_page_map_record(granule)->as.slab;
}

/*
 * The list for a slab with this many free slots, at least one.  Of all slots, rounded up to a power
 * of two, rather than divided: this is asked at each visit to a slab.
 */
static unsigned
list_for(const struct xa_bin *bin, unsigned free_slots)
{
    unsigned slots = xa_size_class_table[bin->size_class].slots;
    unsigned shift = slots == 1 ? 0 : xa_bits_highest(slots - 1) + 1;
    return (free_slots * XA_BIN_LISTS - 1) >> shift;
}

static void
insert(struct xa_bin *bin, uint32_t granule)
{
    struct xa_slab *slab = slab_at(granule);
    slab->list = (uint8_t)list_for(bin, slab->free_slots);
    uint32_t *head = &bin->lists[slab->list];
    slab->previous = XA_GRANULE_NONE;
    slab->next = *head;
    if (*head != XA_GRANULE_NONE)
        slab_at(*head)->previous = granule;
    *head = granule;
}

static void
remove_from_list(struct xa_bin *bin, uint32_t granule)
{
    const struct xa_slab *slab = slab_at(granule);
    if (slab->previous != XA_GRANULE_NONE)
        slab_at(slab->previous)->next = slab->next;
    else
        bin->lists[slab->list] = slab->next;
    if (slab->next != XA_GRANULE_NONE)
        slab_at(slab->next)->previous = slab->previous;
}

static uint32_t
fullest(const struct xa_bin *bin)
{
    for (unsigned i = 0; i < XA_BIN_LISTS; i++)
        if (bin->lists[i] != XA_GRANULE_NONE)
            return bin->lists[i];
    return XA_GRANULE_NONE;
}

unsigned
xa_bin_take(struct xa_bin *bin, void **objects, unsigned count_wanted)
{
    unsigned taken = 0;
    while (taken < count_wanted) {
        uint32_t granule = fullest(bin);
        if (granule == XA_GRANULE_NONE)
            break;
        taken += xa_slab_take(granule, objects + taken, count_wanted - taken);
        struct xa_slab *slab = slab_at(granule);
        if (slab->free_slots == 0 || list_for(bin, slab->free_slots) != slab->list) {
            remove_from_list(bin, granule);
            if (slab->free_slots != 0)
                insert(bin, granule);
        }
    }
    count(&bin->counters.allocations, taken);
    return taken;
}

void
xa_bin_add_slab(struct xa_bin *bin, uint32_t granule)
{
    insert(bin, granule);
    count(&bin->counters.slabs, 1);
    count(&bin->counters.slabs_made, 1);
}

/* True if `granule` is the only slab of the bin that has free slots. */
static bool
is_only_one(const struct xa_bin *bin, uint32_t granule)
{
    const struct xa_slab *slab = slab_at(granule);
    if (slab->next != XA_GRANULE_NONE || slab->previous != XA_GRANULE_NONE)
        return false;
    for (unsigned i = 0; i < XA_BIN_LISTS; i++)
        if (bin->lists[i] != XA_GRANULE_NONE && bin->lists[i] != granule)
            return false;
    return true;
}

static void
let_go(struct xa_bin *bin, uint32_t granule, struct xa_bin_released *released)
{
    remove_from_list(bin, granule);
    count(&bin->counters.slabs, (size_t)-1);
    released->granules[released->count++] = granule;
}

void
xa_bin_release_kept(struct xa_bin *bin, struct xa_bin_released *released)
{
    unsigned slots = xa_size_class_table[bin->size_class].slots;
    uint32_t granule = bin->lists[list_for(bin, slots)];
    if (granule != XA_GRANULE_NONE && slab_at(granule)->free_slots == slots)
        let_go(bin, granule, released);
}

/* The slab had `free_before` free slots and has more now: put it where it belongs, or let it go. */
static void
move_up(
    struct xa_bin *bin, uint32_t granule, unsigned free_before, struct xa_bin_released *released)
{
    struct xa_slab *slab = slab_at(granule);
    if (free_before == 0) {
        insert(bin, granule);
    } else if (list_for(bin, slab->free_slots) != slab->list) {
        if (XA_UNLIKELY(slab->list == ASIDE))
            return;
        remove_from_list(bin, granule);
        insert(bin, granule);
    }
    if (slab->free_slots == xa_size_class_table[bin->size_class].slots &&
        !is_only_one(bin, granule))
        let_go(bin, granule, released);
}

bool
xa_bin_has_listed(const struct xa_bin *bin, uint32_t granule)
{
    const struct xa_slab *slab = slab_at(granule);
    /* With all free it is about to join the bin, has just left it, or is kept. */
    return slab->free_slots != 0 &&
        slab->free_slots != xa_size_class_table[bin->size_class].slots && slab->list != ASIDE &&
        slab->generation == bin->generation;
}

void
xa_bin_set_aside(struct xa_bin *bin, uint32_t granule)
{
    remove_from_list(bin, granule);
    slab_at(granule)->list = ASIDE;
}

void
xa_bin_put_back(struct xa_bin *bin, uint32_t granule, struct xa_bin_released *released)
{
    if (released != NULL)
        move_up(bin, granule, 0, released);
    else
        insert(bin, granule);
}

static void
complain_unless_taken(enum xa_slab_verdict verdict, const void *object)
{
    switch (verdict) {
    case XA_SLAB_INSIDE: xa_misuse_end("free", object, XA_MISUSE_INSIDE);
    case XA_SLAB_FREE: xa_misuse_end("free", object, XA_MISUSE_FOUND_LATE);
    case XA_SLAB_TAKEN: break;
    }
}

/* The slab of the object may have been given back since it was freed for the first time. */
static void
complain_unless_of_class(const struct xa_bin *bin, const void *object)
{
    unsigned code = xa_page_map_class((uintptr_t)object);
    if (XA_UNLIKELY(code != bin->size_class) &&
        (code != XA_CLASS_CHECKED ||
            xa_page_map_record(xa_slab_of((uintptr_t)object))->size_class != bin->size_class))
        xa_misuse_end("free", object, XA_MISUSE_FOUND_LATE);
}

void
xa_bin_check(const struct xa_bin *bin, const void *object)
{
    complain_unless_of_class(bin, object);
    complain_unless_taken(xa_slab_look((uintptr_t)object), object);
}

/*
 * Free those of the objects, from the front on, that lie in the same slab as the first;
 * how many these are.  Neighbours in a magazine often are neighbours in a slab.
 */
static unsigned
return_to_slab(struct xa_bin *bin, const struct xa_slab_view *view, void **objects, unsigned count,
    struct xa_bin_released *released)
{
    enum xa_slab_verdict verdict;
    unsigned free_before = view->record->as.slab.free_slots;
    unsigned done = xa_slab_return(view, objects, count, &verdict);
    if (XA_UNLIKELY(verdict != XA_SLAB_TAKEN))
        complain_unless_taken(verdict, objects[done]);
    move_up(bin, view->granule, free_before, released);
    return done;
}

/* The same for a slab that a fork set aside: it is checked, and stays as it is. */
static unsigned
lose(const struct xa_slab_view *view, void **objects, unsigned count)
{
    unsigned done = 0;
    do {
        complain_unless_taken(xa_slab_look((uintptr_t)objects[done]), objects[done]);
        done++;
    } while (done < count && xa_slab_view_has(view, (uintptr_t)objects[done]));
    return done;
}

unsigned
xa_bin_return(
    struct xa_bin *bin, void **objects, unsigned count_given, struct xa_bin_released *released)
{
    unsigned done = 0, lost = 0;
    while (done < count_given) {
        struct xa_slab_view view;
        complain_unless_of_class(bin, objects[done]);
        xa_slab_view(&view, (uintptr_t)objects[done]);
        if (view.record->arena != bin->arena)
            break;
        unsigned rest = count_given - done;
        if (view.record->as.slab.generation == bin->generation) {
            done += return_to_slab(bin, &view, objects + done, rest, released);
        } else {
            unsigned here = lose(&view, objects + done, rest);
            lost += here;
            done += here;
        }
    }
    count(&bin->counters.frees, done);
    count(&bin->counters.lost_objects, lost);
    return done;
}

static unsigned
objects_in(const struct xa_magazine *magazine)
{
    return atomic_load_explicit(&magazine->count, memory_order_relaxed);
}

static void
push_reserve(struct xa_bin *bin, struct xa_magazine *magazine)
{
    magazine->next = atomic_load_explicit(&bin->reserve, memory_order_relaxed);
    atomic_store_explicit(&bin->reserve, magazine, memory_order_relaxed);
    count(&bin->reserve_objects, objects_in(magazine));
}

static struct xa_magazine *
pop_reserve(struct xa_bin *bin)
{
    struct xa_magazine *magazine = atomic_load_explicit(&bin->reserve, memory_order_relaxed);
    if (magazine == NULL)
        return NULL;
    atomic_store_explicit(&bin->reserve, magazine->next, memory_order_relaxed);
    count(&bin->reserve_objects, -(size_t)objects_in(magazine));
    return magazine;
}

static void
take_stack_over(struct xa_bin *bin)
{
    struct xa_magazine *list = xa_depot_take_stack(&bin->depot);
    while (list != NULL) {
        struct xa_magazine *magazine = list;
        list = magazine->next;
        push_reserve(bin, magazine);
    }
}

struct xa_magazine *
xa_bin_take_magazine(struct xa_bin *bin)
{
    if (atomic_load_explicit(&bin->reserve, memory_order_relaxed) == NULL)
        take_stack_over(bin);
    return pop_reserve(bin);
}

struct xa_magazine *
xa_bin_trim_reserve(struct xa_bin *bin, size_t objects_max)
{
    struct xa_magazine *list = NULL;
    take_stack_over(bin);
    while (atomic_load_explicit(&bin->reserve_objects, memory_order_relaxed) > objects_max) {
        struct xa_magazine *magazine = pop_reserve(bin);
        magazine->next = list;
        list = magazine;
    }
    return list;
}

bool
xa_bin_has_magazine(const struct xa_bin *bin)
{
    return xa_depot_has_stack(&bin->depot) ||
        atomic_load_explicit(&bin->reserve, memory_order_relaxed) != NULL;
}

void
xa_bin_reset_in_child(struct xa_bin *bin)
{
    if (!xa_lock_reset_in_child(&bin->lock))
        return;
    /* The lists may be half changed.  Objects in the old slabs stay valid and are not reused. */
    bin->generation++;
    for (unsigned i = 0; i < XA_BIN_LISTS; i++)
        bin->lists[i] = XA_GRANULE_NONE;
    atomic_store_explicit(&bin->reserve, NULL, memory_order_relaxed);
    atomic_store_explicit(&bin->reserve_objects, 0, memory_order_relaxed);
}
