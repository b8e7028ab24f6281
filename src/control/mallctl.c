/*
 * mallctl.c - see mallctl.h.
 *
 * A call is checked against its row of controls.def, in the order in which jemalloc's callers
 * know the errors, and then handed to the file that knows the value:
 *
 *   ENOENT   no such name, or a number in it out of range
 *   EPERM    something read or written that the row's access does not have
 *   EINVAL   the length of the new value is wrong: nothing was done
 *   EINVAL   the length of the old value is wrong: as much of it as fits was copied, and
 *            *old_bytes is how much; nothing was written
 *
 * The last is what jemalloc does (jemalloc(3), "RETURN VALUES").  Only where reading has an
 * effect, as with arenas.create, nothing is copied and *old_bytes becomes 0.
 *
 * Locking: none here; the files below use xa_snapshot_lock where they need one.
 */
#include "control/mallctl.h"

#include <errno.h>
#include <string.h>

#include "alloc/start.h"
#include "control/snapshot.h"

/* What a program handed over. */
struct buffers {
    void *old;
    size_t *old_bytes;
    const void *new;
    size_t new_bytes;
};

bool
xa_mallctl_lock(void) XA_NO_ANALYSIS
{
    const struct xa_thread_state *self = xa_thread_state_self;
    bool is_inside = xa_thread_state_is_real(self) &&
        atomic_load_explicit(&self->is_inside, memory_order_relaxed);
    /* What it has interrupted may hold the lock of metadata, which is wanted here. */
    if (is_inside || xa_lock_is_mine(&xa_snapshot_lock))
        return false;
    xa_snapshot_begin();
    xa_lock_lock(&xa_snapshot_lock);
    return true;
}

void
xa_mallctl_unlock(void) XA_NO_ANALYSIS
{
    xa_lock_unlock(&xa_snapshot_lock);
}

static size_t
large_unit(void)
{
    return (size_t)xa_page_heap_unit() * XA_GRANULE_BYTES;
}

size_t
xa_mallctl_large_bytes(size_t index)
{
    return xa_bits_align_up(XA_SMALL_MAX_BYTES + 1, large_unit()) + index * large_unit();
}

unsigned
xa_mallctl_large_count(void)
{
    size_t most = (size_t)XA_RUN_MAX_GRANULES * XA_GRANULE_BYTES;
    return (unsigned)((most - xa_mallctl_large_bytes(0)) / large_unit() + 1);
}

static bool
is_arena_possible(size_t index)
{
    /* The number behind the last arena's stands for all of them, as it once did in jemalloc. */
    return index <= xa_snapshot_arena_end() || index == XA_SNAPSHOT_ALL ||
        index == XA_SNAPSHOT_DESTROYED;
}

static bool
are_indices_possible(const struct xa_controls_place *place)
{
    for (unsigned i = 0; i < place->index_count; i++) {
        size_t index = place->indices[i];
        bool is_possible = false;
        switch ((enum xa_controls_index)place->kinds[i]) {
        case XA_CONTROL_INDEX_ARENA: is_possible = is_arena_possible(index); break;
        case XA_CONTROL_INDEX_BIN: is_possible = index < XA_SMALL_CLASSES; break;
        case XA_CONTROL_INDEX_LARGE: is_possible = index < xa_mallctl_large_count(); break;
        case XA_CONTROL_INDEX_PAGES: is_possible = index < XA_MALLCTL_PAGE_SIZES; break;
        }
        if (!is_possible)
            return false;
    }
    return true;
}

static xa_mallctl_value
load(unsigned row, const void *from)
{
    unsigned char flag;
    unsigned number;
    uint32_t word;
    uint64_t value;
    switch (xa_controls_rows[row].type) {
    case XA_CONTROL_TYPE_flag: memcpy(&flag, from, sizeof flag); return flag != 0;
    case XA_CONTROL_TYPE_uint: memcpy(&number, from, sizeof number); return number;
    case XA_CONTROL_TYPE_u32: memcpy(&word, from, sizeof word); return word;
    case XA_CONTROL_TYPE_u64:
    case XA_CONTROL_TYPE_i64: memcpy(&value, from, sizeof value); return value;
    case XA_CONTROL_TYPE_ssize: {
        ptrdiff_t size;
        memcpy(&size, from, sizeof size);
        return (xa_mallctl_value)(int64_t)size;
    }
    default: {
        size_t size;
        memcpy(&size, from, sizeof size);
        return size;
    }
    }
}

/* At most `bytes` of the value, in the form of its type. */
static void
store(unsigned row, xa_mallctl_value value, void *to, size_t bytes)
{
    union {
        bool flag;
        unsigned number;
        uint32_t word;
        uint64_t value;
        size_t size;
    } form;
    switch (xa_controls_rows[row].type) {
    case XA_CONTROL_TYPE_flag: form.flag = value != 0; break;
    case XA_CONTROL_TYPE_uint: form.number = (unsigned)value; break;
    case XA_CONTROL_TYPE_u32: form.word = (uint32_t)value; break;
    case XA_CONTROL_TYPE_u64:
    case XA_CONTROL_TYPE_i64: form.value = value; break;
    default: form.size = (size_t)value; break;
    }
    memcpy(to, &form, bytes);
}

static int
dispatch(struct xa_mallctl_call *call)
{
    switch ((enum xa_controls_source)xa_controls_rows[call->row].source) {
    case XA_CONTROL_SOURCE_constant: return xa_mallctl_constant(call);
    case XA_CONTROL_SOURCE_option: return xa_mallctl_option(call);
    case XA_CONTROL_SOURCE_root: return xa_mallctl_root(call);
    case XA_CONTROL_SOURCE_thread: return xa_mallctl_thread(call);
    case XA_CONTROL_SOURCE_tcache: return xa_mallctl_tcache(call);
    case XA_CONTROL_SOURCE_arena: return xa_mallctl_arena(call);
    case XA_CONTROL_SOURCE_arenas: return xa_mallctl_arenas(call);
    case XA_CONTROL_SOURCE_stats: return xa_mallctl_stats(call);
    case XA_CONTROL_SOURCE_prof: return xa_mallctl_prof(call);
    case XA_CONTROL_SOURCE_experimental: return xa_mallctl_experimental(call);
    case XA_CONTROL_SOURCE_xalloc: return xa_mallctl_xalloc(call);
    }
    return ENOENT;
}

/* Bytes of what is written to a row whose answer is something else. */
static size_t
given_bytes(unsigned row)
{
    switch (row) {
    case XA_CONTROL_experimental_arenas_create_ext: return sizeof(struct xa_mallctl_arena_config);
    case XA_CONTROL_experimental_batch_alloc: return sizeof(struct xa_mallctl_batch);
    default: return sizeof(void *);
    }
}

/* What a row's access and the lengths allow: 0 or an error. */
static int
check(unsigned row, const struct buffers *buffers)
{
    bool reads = buffers->old != NULL || buffers->old_bytes != NULL;
    bool writes = buffers->new != NULL || buffers->new_bytes != 0;
    size_t bytes = xa_controls_bytes(row);
    switch ((enum xa_controls_access)xa_controls_rows[row].access) {
    case XA_CONTROL_ACCESS_v: return reads || writes ? EPERM : 0;
    case XA_CONTROL_ACCESS_r: return writes ? EPERM : 0;
    case XA_CONTROL_ACCESS_w:
        if (reads)
            return EPERM;
        return buffers->new == NULL || buffers->new_bytes != bytes ? EINVAL : 0;
    case XA_CONTROL_ACCESS_rw: break;
    case XA_CONTROL_ACCESS_c:
    case XA_CONTROL_ACCESS_x: bytes = given_bytes(row); break;
    }
    if (xa_controls_rows[row].access == XA_CONTROL_ACCESS_x && buffers->new == NULL)
        return EINVAL;
    return buffers->new != NULL && buffers->new_bytes != bytes ? EINVAL : 0;
}

/* Reading has an effect, so everything has to be right before. */
static int
create(struct xa_mallctl_call *call, const struct buffers *buffers)
{
    int error = EINVAL;
    if (call->wants_old && *buffers->old_bytes == xa_controls_bytes(call->row))
        error = dispatch(call);
    if (error != 0) {
        if (buffers->old_bytes != NULL)
            *buffers->old_bytes = 0;
        return error;
    }
    store(call->row, call->old, buffers->old, *buffers->old_bytes);
    return 0;
}

/* Texts that are copied, and not pointed at, have no part that could be given. */
static bool
is_copied(unsigned row)
{
    return row == XA_CONTROL_arena_i_name;
}

static int
access_row(struct xa_mallctl_call *call, const struct buffers *buffers)
{
    enum xa_controls_access access = xa_controls_rows[call->row].access;
    size_t bytes = xa_controls_bytes(call->row);
    bool wants_old = call->wants_old;
    if (access == XA_CONTROL_ACCESS_c)
        return create(call, buffers);
    bool is_right = !wants_old || *buffers->old_bytes == bytes;
    if (!is_right && is_copied(call->row))
        return EINVAL;
    call->is_right = is_right;
    /* Nothing is written when anything is wrong; what arenas.lookup is given is no such thing. */
    if (!is_right && access != XA_CONTROL_ACCESS_x)
        call->has_new = false;
    int error = dispatch(call);
    if (error != 0 || !wants_old || is_copied(call->row))
        return error;
    if (*buffers->old_bytes > bytes)
        *buffers->old_bytes = bytes;
    store(call->row, call->old, buffers->old, *buffers->old_bytes);
    return is_right ? 0 : EINVAL;
}

static int
call_place(const struct xa_controls_place *place, const struct buffers *buffers)
{
    if (!xa_controls_is_leaf(place) || !are_indices_possible(place))
        return ENOENT;
    int error = check(place->row, buffers);
    if (error != 0) {
        bool is_create = xa_controls_rows[place->row].access == XA_CONTROL_ACCESS_c;
        if (is_create && buffers->old_bytes != NULL)
            *buffers->old_bytes = 0;
        return error;
    }
    struct xa_mallctl_call call = {
        .row = place->row,
        .indices = place->indices,
        .wants_old = buffers->old != NULL && buffers->old_bytes != NULL,
        .has_new = buffers->new != NULL,
        .buffer = buffers->old,
        .given = buffers->new,
    };
    if (call.has_new) {
        enum xa_controls_access access = xa_controls_rows[call.row].access;
        if (access != XA_CONTROL_ACCESS_c && access != XA_CONTROL_ACCESS_x)
            call.new = load(call.row, buffers->new);
    }
    return access_row(&call, buffers);
}

/*
 * The process may begin here, and so may the thread: before it takes its first lock, so that a
 * child which is forked meanwhile knows that there was somebody to take one.
 */
static void
begin(void)
{
    (void)xa_start_thread();
}

int
xa_mallctl(const char *name, void *old, size_t *old_bytes, const void *new, size_t new_bytes)
{
    struct xa_controls_place place;
    begin();
    if (name == NULL || !xa_controls_find(name, &place))
        return ENOENT;
    return call_place(&place, &(struct buffers){old, old_bytes, new, new_bytes});
}

int
xa_mallctl_to_mib(const char *name, size_t *mib, size_t *length)
{
    struct xa_controls_place place;
    begin();
    if (name == NULL || mib == NULL || length == NULL || !xa_controls_find(name, &place) ||
        !are_indices_possible(&place))
        return ENOENT;
    /* The beginning of a name is fine; a whole one that is only listed is not. */
    if (xa_controls_words(place.row) == place.words && !xa_controls_is_leaf(&place))
        return ENOENT;
    if (*length > place.words)
        *length = place.words;
    memcpy(mib, place.mib, *length * sizeof *mib);
    return 0;
}

int
xa_mallctl_by_mib(const size_t *mib, size_t length, void *old, size_t *old_bytes, const void *new,
    size_t new_bytes)
{
    struct xa_controls_place place;
    begin();
    if (mib == NULL || !xa_controls_find_mib(mib, length, &place))
        return ENOENT;
    return call_place(&place, &(struct buffers){old, old_bytes, new, new_bytes});
}
