/*
 * mallctl_tcache_test.c - explicit caches by their numbers.
 */
#include "control/mallctl.h"

#include "support/os_fake.h"

#include <errno.h>

#include "alloc/extended.h"
#include "support/controls.h"
#include "xalloc/jemalloc.h"

static void
a_cache_is_not_made_if_its_number_has_no_room(void **state)
{
    unsigned number = 77;
    size_t bytes = sizeof number + 1;
    (void)state;
    assert_int_equal(xa_mallctl("tcache.create", &number, &bytes, NULL, 0), EINVAL);
    assert_int_equal(bytes, 0);
    assert_int_equal(xa_mallctl("tcache.create", NULL, NULL, NULL, 0), EINVAL);
    assert_int_equal(number, 77);
}

static void
a_number_that_is_no_cache_s_is_efault(void **state)
{
    (void)state;
    assert_int_equal(xa_controls_write("tcache.flush", 4000), EFAULT);
    assert_int_equal(xa_controls_write("tcache.destroy", 4000), EFAULT);
    assert_int_equal(xa_controls_write("tcache.flush", UINT32_MAX), EFAULT);
}

static void
making_one_takes_no_value(void **state)
{
    unsigned number = 77;
    size_t bytes = sizeof number;
    void *value = &number;
    (void)state;
    assert_int_equal(xa_mallctl("tcache.create", &number, &bytes, &value, sizeof value), EPERM);
    assert_int_equal(bytes, 0);
    assert_int_equal(number, 77);
}

static void
a_cache_is_made_used_and_destroyed(void **state)
{
    (void)state;
    unsigned cache = (unsigned)xa_controls_read("tcache.create");
    assert_int_not_equal(xa_controls_read("tcache.create"), cache);
    void *object = xa_extended_allocate(100, MALLOCX_TCACHE(cache));
    assert_non_null(object);
    xa_extended_release(object, MALLOCX_TCACHE(cache));
    assert_ptr_equal(xa_extended_allocate(100, MALLOCX_TCACHE(cache)), object);
    xa_extended_release(object, MALLOCX_TCACHE(cache));
    assert_int_equal(xa_controls_write("tcache.flush", cache), 0);
    assert_int_equal(xa_controls_write("tcache.destroy", cache), 0);
    assert_int_equal(xa_controls_write("tcache.flush", cache), EFAULT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        XA_OS_FAKE_FRESH(a_cache_is_not_made_if_its_number_has_no_room),
        XA_OS_FAKE_FRESH(a_number_that_is_no_cache_s_is_efault),
        XA_OS_FAKE_FRESH(making_one_takes_no_value),
        XA_OS_FAKE_FRESH(a_cache_is_made_used_and_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
