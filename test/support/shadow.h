/*
 * shadow.h - what the allocator must have given out, kept outside of the allocator.
 *
 * The shadow is a map of the whole address space in units of 16 bytes.  A unit holds the number of
 * the object that owns it, or 0.  Entering an object writes its number into all of its units,
 * which must have been 0; taking it out writes 0, and the units must still hold the number.
 * Otherwise two live objects overlap.  There is no lock, so the threads under test are not put in
 * a line by the test.
 *
 * The number also decides the bytes the object is filled with, so contents are checked without a
 * copy.  All of the shadow's memory is mapped directly: it never calls malloc.
 *
 * An entry belongs to one thread at a time; handing it to another thread needs the caller's own
 * synchronisation, as handing over the object itself does.
 */
#ifndef XA_TEST_SHADOW_H
#define XA_TEST_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct xa_shadow_object {
    unsigned char *address;
    size_t size_bytes;   /* as requested; the bytes whose contents are kept */
    size_t usable_bytes; /* as malloc_usable_size says; all of it is the object's own */
    size_t alignment;
    uint32_t number;
};

/* Map the shadow.  Returns false if there is no memory for it. */
bool xa_shadow_init(void);

/*
 * Enter a live object of known address, sizes and alignment; gives it its number.  Returns false
 * with a message if it is misaligned, too small or overlaps another live object.  Does not touch
 * contents.
 */
bool xa_shadow_insert(struct xa_shadow_object *object);

/* Take a live object out.  Returns false with a message if some of it had been given to another. */
bool xa_shadow_remove(const struct xa_shadow_object *object);

/* Write the object's contents, and check them.  A failed check prints a message. */
void xa_shadow_fill(const struct xa_shadow_object *object);
bool xa_shadow_is_intact(const struct xa_shadow_object *object);

/* As xa_shadow_is_intact, for the first `length` bytes only: what realloc has to keep. */
bool xa_shadow_prefix_is_intact(const struct xa_shadow_object *object, size_t length);

/* Requested bytes of all objects entered and not taken out. */
size_t xa_shadow_live_bytes(void);
size_t xa_shadow_live_objects(void);

#ifdef __cplusplus
}
#endif

#endif
