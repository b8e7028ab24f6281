/*
 * flat_mail.c - the memory of a mail server with 300 threads.
 *
 * Connections come in bursts, with buffers and small objects; some bring a body of 100 KiB to
 * 5 MiB, which another thread frees.  What stays while all are idle: an index, whose entries are
 * replaced at random; bodies that wait; and one client a thread that stays connected for minutes.
 */
#include "stress/flat.h"

enum {
    MAIL_THREADS = XA_FLAT_THREADS_MAX,
    MAIL_CONNECTIONS = 600,
    CONNECTIONS_AT_ONCE = 4, /* of a thread */
    SMALL_MAX = 60,
    ONE_BODY_IN = 6,
    BODY_BYTES_MIN = 100 << 10,
    BODY_BYTES_MAX = 5 << 20,
    SPOOL = 256,
    SPOOL_BYTES_MAX = 16 << 20,
    INDEX = 24000,
    INDEX_REPLACED = 3,
    KEPT_SMALL = 20,
    KEPT_MINUTES_MAX = 6,
};

struct connection {
    void *buffers[2];
    void *small[SMALL_MAX];
};

/* A ring of bodies on their way to another thread. */
static struct {
    void *bodies[SPOOL];
    size_t first, count, bytes;
} spool;

static void *mail_index[INDEX];

/* A client that stays connected while it has nothing to do, one a thread. */
static struct {
    void *buffer;
    void *small[KEPT_SMALL];
    unsigned ends;
} kept[MAIL_THREADS];

static size_t
buffer_bytes(struct xa_flat_worker *worker)
{
    return xa_seed_size(&worker->random, 4096, 65536);
}

/* Leave a body to others; deliver what is too much, which others left. */
static void
pass_on(struct xa_flat_worker *worker, void *body)
{
    pthread_mutex_lock(&xa_flat_store_lock);
    while (spool.count == SPOOL || spool.bytes + xa_flat_bytes_of(body) > SPOOL_BYTES_MAX) {
        void *oldest = spool.bodies[spool.first];
        spool.first = (spool.first + 1) % SPOOL;
        spool.count--;
        spool.bytes -= xa_flat_bytes_of(oldest);
        xa_flat_give(worker, oldest);
    }
    spool.bodies[(spool.first + spool.count++) % SPOOL] = body;
    spool.bytes += xa_flat_bytes_of(body);
    pthread_mutex_unlock(&xa_flat_store_lock);
}

static void
renew_kept(struct xa_flat_worker *worker)
{
    if (kept[worker->number].ends > xa_flat_minute)
        return;
    kept[worker->number].ends =
        xa_flat_minute + 1 + (unsigned)xa_seed_below(&worker->random, KEPT_MINUTES_MAX);
    xa_flat_replace(
        worker, &kept[worker->number].buffer, xa_flat_take(worker, buffer_bytes(worker)));
    for (size_t i = 0; i < KEPT_SMALL; i++)
        xa_flat_replace(worker, &kept[worker->number].small[i],
            xa_flat_take(worker, xa_seed_size(&worker->random, 16, 512)));
}

static void
open_connection(struct xa_flat_worker *worker, struct connection *connection)
{
    size_t count = SMALL_MAX / 2 + xa_seed_below(&worker->random, SMALL_MAX / 2);
    *connection = (struct connection){{NULL, NULL}, {NULL}};
    for (size_t i = 0; i < 2; i++)
        connection->buffers[i] = xa_flat_take(worker, buffer_bytes(worker));
    for (size_t i = 0; i < count; i++)
        connection->small[i] = xa_flat_take(worker, xa_seed_size(&worker->random, 16, 512));
    if (xa_seed_below(&worker->random, ONE_BODY_IN) == 0)
        pass_on(worker,
            xa_flat_take(worker, xa_seed_size(&worker->random, BODY_BYTES_MIN, BODY_BYTES_MAX)));
    for (size_t i = 0; i < INDEX_REPLACED; i++)
        xa_flat_replace(worker, &mail_index[xa_seed_below(&worker->random, xa_flat_scaled(INDEX))],
            xa_flat_take(worker, xa_seed_size(&worker->random, 100, 1400)));
}

static void
close_connection(struct xa_flat_worker *worker, struct connection *connection)
{
    for (size_t i = 0; i < SMALL_MAX; i++)
        xa_flat_give(worker, connection->small[i]);
    for (size_t i = 0; i < 2; i++)
        xa_flat_give(worker, connection->buffers[i]);
}

static void
serve_connections(struct xa_flat_worker *worker)
{
    struct connection connections[CONNECTIONS_AT_ONCE];
    renew_kept(worker);
    for (size_t i = 0; i < CONNECTIONS_AT_ONCE; i++)
        open_connection(worker, &connections[i]);
    for (size_t i = 0; i < CONNECTIONS_AT_ONCE; i++)
        close_connection(worker, &connections[i]);
}

static void
prepare(struct xa_flat_worker *worker)
{
    for (size_t i = worker->number; i < xa_flat_scaled(INDEX); i += MAIL_THREADS)
        mail_index[i] = xa_flat_take(worker, xa_seed_size(&worker->random, 100, 1400));
    kept[worker->number].buffer = xa_flat_take(worker, buffer_bytes(worker));
    for (size_t i = 0; i < KEPT_SMALL; i++)
        kept[worker->number].small[i] =
            xa_flat_take(worker, xa_seed_size(&worker->random, 16, 512));
}

/* Others in each wave. */
static bool
is_active(const struct xa_flat_worker *worker, unsigned percent)
{
    return (worker->number * 37 + xa_flat_minute * 61) % XA_FLAT_PERCENT_MAX < percent;
}

/*
 * Measured on 2026-11-20: 1.77 to 1.90; 1.57 to 1.79 in a short run.  (jemalloc: 8.6, glibc: 6.7.)
 */
const struct xa_flat_pattern xa_flat_mail = {
    .name = "mail",
    .thread_count = MAIL_THREADS,
    .work = MAIL_CONNECTIONS / CONNECTIONS_AT_ONCE,
    .prepare = prepare,
    .do_unit = serve_connections,
    .is_active = is_active,
    .idle_ratio_max = 2.2,
    .short_idle_ratio_max = 2.4,
};
