/*
 * flat.c - see flat.h.
 */
#include "stress/flat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pthread_mutex_t xa_flat_store_lock = PTHREAD_MUTEX_INITIALIZER;
unsigned xa_flat_minute;
double xa_flat_load = 1;

size_t
xa_flat_scaled(size_t count)
{
    size_t scaled = (size_t)((double)count * xa_flat_load);
    return scaled > 0 ? scaled : 1;
}

void *
xa_flat_take(struct xa_flat_worker *worker, size_t bytes)
{
    uint32_t *object = malloc(bytes);
    if (object == NULL) {
        fputs("flat_stress: out of memory\n", stderr);
        exit(2);
    }
    memset(object, (int)worker->number, bytes);
    *object = (uint32_t)bytes;
    atomic_fetch_add_explicit(&worker->live_bytes, (int64_t)bytes, memory_order_relaxed);
    return object;
}

size_t
xa_flat_bytes_of(const void *object)
{
    return object == NULL ? 0 : *(const uint32_t *)object;
}

void
xa_flat_give(struct xa_flat_worker *worker, void *object)
{
    atomic_fetch_sub_explicit(
        &worker->live_bytes, (int64_t)xa_flat_bytes_of(object), memory_order_relaxed);
    free(object);
}

void
xa_flat_replace(struct xa_flat_worker *worker, void **slot, void *object)
{
    pthread_mutex_lock(&xa_flat_store_lock);
    void *old = *slot;
    *slot = object;
    pthread_mutex_unlock(&xa_flat_store_lock);
    xa_flat_give(worker, old);
}
