/*
 * flat_rails.c - the memory of a Rails-like server.
 *
 * A request makes some thousand strings and frees them, half of them before its end.  What stays:
 * a session, for one to four minutes; a part of a cache, which is bounded and drops what was not
 * used for long; some strings that live for ever, unless they are replaced at random.
 */
#include "stress/flat.h"

enum {
    RAILS_THREADS_MIN = 5,
    RAILS_THREADS = 16,
    RAILS_REQUESTS = 600,
    STRINGS_MIN = 2000,
    STRINGS_MAX = 6000,
    SESSIONS = 4096,
    SESSION_STRINGS = 30,
    SESSION_MINUTES_MAX = 4,
    FOREVER = 20000,
    FOREVER_REPLACED = 10,
    CACHE_KEYS = 16384,
    CACHE_BYTES_MAX = 20 << 20,
    CACHE_LOOKS = 40,
    CACHE_VICTIMS = 8,
};

static void *request_strings[RAILS_THREADS][STRINGS_MAX];
static void *forever[FOREVER];

static struct {
    void *strings[SESSION_STRINGS];
    unsigned ends; /* minute; 0 if there is none */
} sessions[SESSIONS];
static unsigned session_next;

static struct {
    void *object;
    uint64_t used;
} cache[CACHE_KEYS];
static size_t cache_bytes;
static uint64_t cache_clock;

/* 16 B to 64 KiB, 350 B on average: the exponent is binomial, the size about log-normal. */
static size_t
string_bytes(struct xa_flat_worker *worker)
{
    uint64_t coins = xa_seed_next(&worker->random);
    unsigned bits = 4 + (unsigned)__builtin_popcountll(coins & coins >> 12 & 0xfff);
    return ((size_t)1 << bits) + (coins >> 24) % ((size_t)1 << bits);
}

/* The least recently used of some entries at random; under the lock. */
static void *
evict(struct xa_flat_worker *worker)
{
    size_t oldest = CACHE_KEYS;
    for (unsigned found = 0; found < CACHE_VICTIMS;) {
        size_t key = xa_seed_below(&worker->random, CACHE_KEYS);
        if (cache[key].object == NULL)
            continue;
        found++;
        if (oldest == CACHE_KEYS || cache[key].used < cache[oldest].used)
            oldest = key;
    }
    void *object = cache[oldest].object;
    cache[oldest].object = NULL;
    cache_bytes -= xa_flat_bytes_of(object);
    return object;
}

/* Some keys are asked for often, most of them hardly ever. */
static void
look_into_cache(struct xa_flat_worker *worker)
{
    size_t key = xa_seed_below(&worker->random, xa_seed_below(&worker->random, CACHE_KEYS) + 1);
    void *object = NULL;
    pthread_mutex_lock(&xa_flat_store_lock);
    cache[key].used = ++cache_clock;
    if (cache[key].object == NULL) {
        object = xa_flat_take(worker, xa_seed_size(&worker->random, 200, 16384));
        cache[key].object = object;
        cache_bytes += xa_flat_bytes_of(object);
        while (cache_bytes > xa_flat_scaled(CACHE_BYTES_MAX))
            xa_flat_give(worker, evict(worker));
    }
    pthread_mutex_unlock(&xa_flat_store_lock);
}

static void
end_sessions(struct xa_flat_worker *worker, unsigned minute)
{
    for (size_t i = 0; i < SESSIONS; i++) {
        if (sessions[i].ends == 0 || sessions[i].ends > minute)
            continue;
        sessions[i].ends = 0;
        for (size_t s = 0; s < SESSION_STRINGS; s++) {
            xa_flat_give(worker, sessions[i].strings[s]);
            sessions[i].strings[s] = NULL;
        }
    }
}

static void
begin_session(struct xa_flat_worker *worker)
{
    void *strings[SESSION_STRINGS];
    for (size_t i = 0; i < SESSION_STRINGS; i++)
        strings[i] = xa_flat_take(worker, string_bytes(worker));
    pthread_mutex_lock(&xa_flat_store_lock);
    size_t slot = session_next++ % SESSIONS;
    for (size_t i = 0; i < SESSION_STRINGS; i++) {
        void *old = sessions[slot].strings[i];
        sessions[slot].strings[i] = strings[i];
        strings[i] = old;
    }
    sessions[slot].ends =
        xa_flat_minute + 1 + (unsigned)xa_seed_below(&worker->random, SESSION_MINUTES_MAX);
    pthread_mutex_unlock(&xa_flat_store_lock);
    for (size_t i = 0; i < SESSION_STRINGS; i++)
        xa_flat_give(worker, strings[i]);
}

static void
serve_request(struct xa_flat_worker *worker)
{
    void **strings = request_strings[worker->number];
    size_t count = STRINGS_MIN + xa_seed_below(&worker->random, STRINGS_MAX - STRINGS_MIN);
    for (size_t i = 0; i < count; i++) {
        strings[i] = xa_flat_take(worker, string_bytes(worker));
        /* Half of the strings die before the request is over. */
        size_t earlier = xa_seed_below(&worker->random, 2 * (i + 1));
        if (earlier < i) {
            xa_flat_give(worker, strings[earlier]);
            strings[earlier] = NULL;
        }
    }
    for (size_t i = 0; i < CACHE_LOOKS; i++)
        look_into_cache(worker);
    for (size_t i = 0; i < FOREVER_REPLACED; i++)
        xa_flat_replace(worker, &forever[xa_seed_below(&worker->random, xa_flat_scaled(FOREVER))],
            xa_flat_take(worker, string_bytes(worker)));
    begin_session(worker);
    for (size_t i = 0; i < count; i++)
        xa_flat_give(worker, strings[i]);
}

/* Fill what is bounded, so that it does not grow any more. */
static void
prepare(struct xa_flat_worker *worker)
{
    for (size_t i = worker->number; i < xa_flat_scaled(FOREVER); i += RAILS_THREADS)
        forever[i] = xa_flat_take(worker, string_bytes(worker));
    bool is_full = false;
    while (!is_full) {
        look_into_cache(worker);
        pthread_mutex_lock(&xa_flat_store_lock);
        is_full = cache_bytes > xa_flat_scaled(CACHE_BYTES_MAX) / 100 * 99;
        pthread_mutex_unlock(&xa_flat_store_lock);
    }
}

static void
begin_minute(struct xa_flat_worker *worker)
{
    pthread_mutex_lock(&xa_flat_store_lock);
    end_sessions(worker, xa_flat_minute);
    pthread_mutex_unlock(&xa_flat_store_lock);
}

/* The higher the wave, the more threads. */
static bool
is_active(const struct xa_flat_worker *worker, unsigned percent)
{
    return worker->number <
        RAILS_THREADS_MIN + (RAILS_THREADS - RAILS_THREADS_MIN) * percent / XA_FLAT_PERCENT_MAX;
}

/*
 * Measured on 2026-11-20: 2.01 to 2.03; 4.4 to 4.8 in a short run.  What survives a request is spread
 * over slabs that were full of strings a moment ago: two in five slots of the small classes are in
 * use.  The peers are in the same case: jemalloc 2.06, glibc 2.5.
 */
const struct xa_flat_pattern xa_flat_rails = {
    .name = "rails",
    .thread_count = RAILS_THREADS,
    .work = RAILS_REQUESTS,
    .prepare = prepare,
    .begin_minute = begin_minute,
    .do_unit = serve_request,
    .is_active = is_active,
    .idle_ratio_max = 2.3,
    .short_idle_ratio_max = 6,
};
