/*
 * mail_server.c - a process with 300 threads, bursts of mail, and long idle times between them.
 *
 *   mail_server SECONDS
 *
 * SECONDS stand for 30 minutes with a burst every three: the work of a burst is the same however
 * long the run is, only the idle time after it shrinks.  A burst wakes a part of the threads, each
 * of which serves a few connections at once, in three stages as a network would cut them:
 *
 *   receive   line buffers, header strings, a body that grows by realloc
 *   process   parts of the body decoded into buffers of their own, many small nodes
 *   deliver   one message in four stays in the queue, one index entry for each message stays in
 *             the mailbox, all the rest is freed
 *
 * Threads wait for each other after each stage, so that all connections of a burst are open at
 * the same time.  A message of the queue is sent and freed in the next burst, by another thread.
 * The index is bounded: a new entry replaces the oldest.  Between bursts about 13 MiB are in use.
 *
 * At the end two numbers are printed, separated by a tab: messages, and the seconds that the
 * bursts took.  Seeds are fixed; which thread runs when is the kernel's decision.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../support/clock.h"

enum {
    THREAD_COUNT = 300,
    BURST_COUNT = 10,
    STAGE_COUNT = 3,
    ROUNDS_A_BURST = 12,
    CONNECTIONS_A_THREAD = 4,
    HEADER_COUNT_MAX = 40,
    PART_COUNT_MAX = 6,
    NODE_COUNT_MAX = 60,
    LINE_BYTES = 4096,
    INDEX_ENTRIES = 12000,
    QUEUE_ENTRIES = 2000,
    STACK_BYTES = 256 << 10,
};

/* The percentage of threads that each burst wakes: a normal day, and a newsletter. */
static const unsigned active_percent[BURST_COUNT] = {30, 45, 20, 35, 100, 25, 40, 15, 60, 30};

struct message {
    char *line;
    char *headers[HEADER_COUNT_MAX];
    char *body;
    size_t body_bytes;
    char *parts[PART_COUNT_MAX];
    void *nodes[NODE_COUNT_MAX];
};

struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t random; /* xorshift state */
    struct message *connections[CONNECTIONS_A_THREAD];
};

/* One stage of one round of a burst is a job: workers sleep until there is another one. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned job;     /* counts stages since the start; 0 before the first */
    unsigned running; /* workers that have not finished it */
    int ends;
} schedule = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* What outlives a connection. */
static struct {
    pthread_mutex_t lock;
    char *index[INDEX_ENTRIES]; /* a ring */
    size_t index_next;
    char *queue[QUEUE_ENTRIES]; /* a ring of messages to be sent */
    size_t queue_first, queue_count;
    unsigned long messages;
} mailbox = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct worker workers[THREAD_COUNT];

static size_t
random_between(struct worker *worker, size_t low, size_t high)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return low + (size_t)(((worker->random >> 32) * (uint64_t)(high - low + 1)) >> 32);
}

/* Most mails are short: each doubling of the size is as likely as the next, up to 512 KiB. */
static size_t
random_body_bytes(struct worker *worker)
{
    size_t low = (size_t)2048 << random_between(worker, 0, 7);
    return random_between(worker, low, 2 * low - 1);
}

static void *
checked(void *memory)
{
    if (memory == NULL) {
        fputs("mail_server: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static void *
allocate_written(size_t bytes)
{
    return memset(checked(malloc(bytes)), 'm', bytes);
}

static void
receive_message(struct worker *worker, struct message *message)
{
    size_t header_count = random_between(worker, 12, HEADER_COUNT_MAX);
    size_t wanted_bytes = random_body_bytes(worker);
    size_t capacity_bytes = LINE_BYTES;

    message->line = allocate_written(LINE_BYTES);
    for (size_t i = 0; i < header_count; i++)
        message->headers[i] = allocate_written(random_between(worker, 20, 200));
    message->body = checked(malloc(capacity_bytes));
    while (message->body_bytes < wanted_bytes) {
        if (message->body_bytes + LINE_BYTES > capacity_bytes) {
            capacity_bytes *= 2;
            message->body = checked(realloc(message->body, capacity_bytes));
        }
        memcpy(message->body + message->body_bytes, message->line, LINE_BYTES);
        message->body_bytes += LINE_BYTES;
    }
}

static void
process_message(struct worker *worker, struct message *message)
{
    size_t part_count = random_between(worker, 1, PART_COUNT_MAX);
    size_t node_count = random_between(worker, 10, NODE_COUNT_MAX);

    for (size_t i = 0; i < part_count; i++)
        message->parts[i] = allocate_written(1 + message->body_bytes / part_count * 3 / 4);
    for (size_t i = 0; i < node_count; i++)
        message->nodes[i] = allocate_written(random_between(worker, 32, 320));
}

/* Take the oldest message out of the queue if it is full; the caller frees it. */
static char *
exchange_queued(char *message)
{
    char *oldest = NULL;
    if (mailbox.queue_count == QUEUE_ENTRIES) {
        oldest = mailbox.queue[mailbox.queue_first];
        mailbox.queue_first = (mailbox.queue_first + 1) % QUEUE_ENTRIES;
        mailbox.queue_count--;
    }
    mailbox.queue[(mailbox.queue_first + mailbox.queue_count++) % QUEUE_ENTRIES] = message;
    return oldest;
}

static void
deliver_message(struct worker *worker, struct message *message)
{
    char *entry = allocate_written(random_between(worker, 100, 1400));
    char *queued = NULL;
    char *sent = NULL;

    if (random_between(worker, 0, 3) == 0)
        queued = allocate_written(random_between(worker, 500, 4000));
    pthread_mutex_lock(&mailbox.lock);
    char *replaced = mailbox.index[mailbox.index_next];
    mailbox.index[mailbox.index_next] = entry;
    mailbox.index_next = (mailbox.index_next + 1) % INDEX_ENTRIES;
    if (queued != NULL)
        sent = exchange_queued(queued);
    mailbox.messages++;
    pthread_mutex_unlock(&mailbox.lock);
    free(replaced);
    free(sent);

    for (size_t i = 0; i < NODE_COUNT_MAX; i++)
        free(message->nodes[i]);
    for (size_t i = 0; i < PART_COUNT_MAX; i++)
        free(message->parts[i]);
    for (size_t i = 0; i < HEADER_COUNT_MAX; i++)
        free(message->headers[i]);
    free(message->body);
    free(message->line);
}

static void
do_stage(struct worker *worker, unsigned stage)
{
    for (size_t i = 0; i < CONNECTIONS_A_THREAD; i++) {
        if (stage == 0) {
            worker->connections[i] = checked(calloc(1, sizeof *worker->connections[i]));
            receive_message(worker, worker->connections[i]);
        } else if (stage == 1) {
            process_message(worker, worker->connections[i]);
        } else {
            deliver_message(worker, worker->connections[i]);
            free(worker->connections[i]);
        }
    }
}

/* Spread over all threads, others in each burst. */
static int
is_active(unsigned worker, unsigned burst)
{
    return (worker * 37 + burst * 61) % 100 < active_percent[burst];
}

static void *
run_worker(void *argument)
{
    struct worker *worker = argument;
    unsigned seen = 0;

    pthread_mutex_lock(&schedule.lock);
    for (;;) {
        while (schedule.job == seen && !schedule.ends)
            pthread_cond_wait(&schedule.changed, &schedule.lock);
        if (schedule.ends)
            break;
        seen = schedule.job;
        unsigned burst = (seen - 1) / (ROUNDS_A_BURST * STAGE_COUNT);
        if (is_active(worker->number, burst)) {
            pthread_mutex_unlock(&schedule.lock);
            do_stage(worker, (seen - 1) % STAGE_COUNT);
            pthread_mutex_lock(&schedule.lock);
        }
        if (--schedule.running == 0)
            pthread_cond_broadcast(&schedule.changed);
    }
    pthread_mutex_unlock(&schedule.lock);
    return NULL;
}

static void
run_burst(void)
{
    pthread_mutex_lock(&schedule.lock);
    for (int i = 0; i < ROUNDS_A_BURST * STAGE_COUNT; i++) {
        schedule.job++;
        schedule.running = THREAD_COUNT;
        pthread_cond_broadcast(&schedule.changed);
        while (schedule.running > 0)
            pthread_cond_wait(&schedule.changed, &schedule.lock);
    }
    pthread_mutex_unlock(&schedule.lock);
}

static void
start_workers(void)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (unsigned i = 0; i < THREAD_COUNT; i++) {
        workers[i].number = i;
        workers[i].random = UINT64_C(88172645463325252) + i * UINT64_C(0x9e3779b97f4a7c15);
        if (pthread_create(&workers[i].thread, &attributes, run_worker, &workers[i]) != 0) {
            fputs("mail_server: cannot create a thread\n", stderr);
            exit(2);
        }
    }
    pthread_attr_destroy(&attributes);
}

static void
stop_workers(void)
{
    pthread_mutex_lock(&schedule.lock);
    schedule.ends = 1;
    pthread_cond_broadcast(&schedule.changed);
    pthread_mutex_unlock(&schedule.lock);
    for (unsigned i = 0; i < THREAD_COUNT; i++)
        pthread_join(workers[i].thread, NULL);
}

int
main(int argument_count, char **arguments)
{
    double seconds = argument_count == 2 ? strtod(arguments[1], NULL) : 0;
    if (!(seconds > 0)) {
        fputs("usage: mail_server SECONDS\n", stderr);
        return 2;
    }
    start_workers();
    double start = xa_clock_seconds();
    double busy_seconds = 0;
    for (int burst = 0; burst < BURST_COUNT; burst++) {
        double burst_start = xa_clock_seconds();
        run_burst();
        busy_seconds += xa_clock_seconds() - burst_start;
        xa_clock_sleep_until(start + seconds * (burst + 1) / BURST_COUNT);
    }
    printf("%lu\t%.3f\n", mailbox.messages, busy_seconds);
    fflush(stdout);
    stop_workers();
    return 0;
}
