/*
 * size_class_test.c - the arithmetic of size classes against a search of the table.
 *
 * Every size and every alignment is asked, and every slot of every slab, with the
 * page sizes of all systems.  A test runs in a process of its own since the table
 * is chosen once.
 */
#include "config/size_class.h"

#include "support/os_fake.h"

enum { ALIGNMENT_MAX = 1 << 20 };

static const struct xa_size_class *
row(unsigned code)
{
    return &xa_size_class_table[code];
}

/* The first class that holds `bytes` and is a multiple of `alignment`. */
static unsigned
search(size_t bytes, size_t alignment)
{
    for (unsigned code = 1; code <= XA_SMALL_CLASSES; code++)
        if (row(code)->object_bytes >= bytes && row(code)->object_bytes % alignment == 0)
            return code;
    return XA_CLASS_NONE;
}

static void
classes_rise_in_multiples_of_sixteen(void **state)
{
    (void)state;
    assert_int_equal(row(1)->object_bytes, 16);
    assert_int_equal(row(XA_SMALL_CLASSES)->object_bytes, XA_SMALL_MAX_BYTES);
    for (unsigned code = 1; code <= XA_SMALL_CLASSES; code++) {
        assert_int_equal(row(code)->object_bytes % 16, 0);
        assert_true(code == 1 || row(code)->object_bytes > row(code - 1)->object_bytes);
    }
    /* The page map keeps codes in a byte, and row 0 is nothing. */
    assert_true(XA_CLASS_CODES <= 256);
    assert_int_equal(row(0)->object_bytes, 0);
    assert_int_equal(row(0)->slots, 0);
}

static void
every_size_gets_the_smallest_class_that_holds_it(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= XA_SMALL_MAX_BYTES; bytes++)
        assert_int_equal(xa_size_class_of(bytes), search(bytes, 1));
}

static void
no_size_wastes_more_than_a_quarter(void **state)
{
    (void)state;
    for (size_t bytes = 65; bytes <= XA_SMALL_MAX_BYTES; bytes++) {
        size_t given = row(xa_size_class_of(bytes))->object_bytes;
        assert_true((given - bytes) * 4 <= given);
    }
}

static void
every_alignment_gets_a_multiple_of_itself(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= ALIGNMENT_MAX; alignment *= 2)
        for (size_t bytes = 1; bytes <= XA_SMALL_MAX_BYTES + 32; bytes++) {
            /* Slabs begin on granules: beyond these nothing is known of an object's address. */
            unsigned expected =
                alignment <= XA_GRANULE_BYTES ? search(bytes, alignment) : XA_CLASS_NONE;
            assert_int_equal(xa_size_class_of_aligned(bytes, alignment), expected);
        }
    assert_int_equal(xa_size_class_of_aligned(SIZE_MAX, 16), XA_CLASS_NONE);
    assert_int_equal(xa_size_class_of_aligned(16, SIZE_MAX / 2 + 1), XA_CLASS_NONE);
}

/* What slab.c does with an offset. */
static unsigned
slot_of(const struct xa_size_class *class, uint64_t offset)
{
    return (unsigned)(offset * class->reciprocal >> 32);
}

static void
the_reciprocal_is_exact_for_every_byte_of_every_slab(void **state)
{
    (void)state;
    for (unsigned code = 1; code <= XA_SMALL_CLASSES; code++)
        for (uint64_t offset = 0; offset < (uint64_t)row(code)->granules * XA_GRANULE_BYTES;
             offset++) {
            unsigned slot = slot_of(row(code), offset);
            /* Inside a slot it may be one too many; then the product is not the offset either. */
            if (offset % row(code)->object_bytes == 0)
                assert_int_equal(slot, offset / row(code)->object_bytes);
            else
                assert_int_not_equal((uint64_t)slot * row(code)->object_bytes, offset);
        }
}

static void
check_slabs(size_t page_bytes)
{
    for (unsigned code = 1; code <= XA_SMALL_CLASSES; code++) {
        size_t slab_bytes = (size_t)row(code)->granules * XA_GRANULE_BYTES;
        assert_true(row(code)->granules >= 1);
        assert_int_equal(slab_bytes % page_bytes, 0);
        assert_int_equal(row(code)->slots, slab_bytes / row(code)->object_bytes);
        assert_true(row(code)->slots >= 1);
        /* struct xa_slab counts slots in 16 bits, list_for() in bin.c multiplies by 8. */
        assert_true(row(code)->slots < 65536 / 8);
    }
}

static void
slabs_cover_whole_pages_of_4_kib(void **state)
{
    (void)state;
    xa_size_class_init(4096);
    check_slabs(4096);
    classes_rise_in_multiples_of_sixteen(NULL);
}

static void
slabs_cover_whole_pages_of_16_kib(void **state)
{
    (void)state;
    xa_size_class_init(16384);
    check_slabs(16384);
    classes_rise_in_multiples_of_sixteen(NULL);
}

static void
slabs_cover_whole_pages_of_64_kib(void **state)
{
    (void)state;
    xa_size_class_init(65536);
    check_slabs(65536);
    classes_rise_in_multiples_of_sixteen(NULL);
    every_size_gets_the_smallest_class_that_holds_it(NULL);
    every_alignment_gets_a_multiple_of_itself(NULL);
    the_reciprocal_is_exact_for_every_byte_of_every_slab(NULL);
}

static void
the_ends_of_slabs_are_short(void **state)
{
    (void)state;
    for (unsigned code = 1; code <= XA_SMALL_CLASSES; code++) {
        size_t slab_bytes = (size_t)row(code)->granules * XA_GRANULE_BYTES;
        size_t tail = slab_bytes - (size_t)row(code)->slots * row(code)->object_bytes;
        assert_true(tail * 8 <= slab_bytes);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(classes_rise_in_multiples_of_sixteen),
        XA_OS_FAKE_FRESH(every_size_gets_the_smallest_class_that_holds_it),
        XA_OS_FAKE_FRESH(no_size_wastes_more_than_a_quarter),
        XA_OS_FAKE_FRESH(every_alignment_gets_a_multiple_of_itself),
        XA_OS_FAKE_FRESH(the_reciprocal_is_exact_for_every_byte_of_every_slab),
        XA_OS_FAKE_FRESH(slabs_cover_whole_pages_of_4_kib),
        XA_OS_FAKE_FRESH(slabs_cover_whole_pages_of_16_kib),
        XA_OS_FAKE_FRESH(slabs_cover_whole_pages_of_64_kib),
        XA_OS_FAKE_FRESH(the_ends_of_slabs_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
