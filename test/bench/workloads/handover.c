/*
 * handover.c - producers allocate and fill messages, consumers read and free them.
 *
 *   handover small [PAIRS]    messages of 64 bytes
 *   handover mixed [PAIRS]    of 64 bytes to 4 KiB, each doubling as likely as the next
 *   handover large [PAIRS]    of 4 KiB
 *
 * Each producer has one consumer, with a queue of a few batches between them; who finds it full or
 * empty sleeps.  So what is in flight is bounded, and the lock of the queue is taken once for many
 * messages.  The number of messages does not depend on the number of pairs.
 */
#include "workload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIRS_MAX = 128,
    MESSAGES = 400000,
    BATCH_MESSAGES = 128,
    QUEUE_BATCHES = 8,
    MESSAGE_MIN_DOUBLINGS = 6,
    MESSAGE_MAX_DOUBLINGS = 12,
};

struct message {
    size_t size_bytes;
    unsigned char text[];
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t filled;  /* batches, ever */
    size_t emptied; /* batches, ever */
    struct message *batches[QUEUE_BATCHES][BATCH_MESSAGES];
};

struct hall {
    struct queue queues[PAIRS_MAX];
    size_t batch_count; /* of each pair */
    size_t (*next_size)(struct workload_random *random);
    size_t checksums[PAIRS_MAX];
};

static struct hall *hall;

static size_t
size_small(struct workload_random *random)
{
    (void)random;
    return (size_t)1 << MESSAGE_MIN_DOUBLINGS;
}

static size_t
size_large(struct workload_random *random)
{
    (void)random;
    return (size_t)1 << MESSAGE_MAX_DOUBLINGS;
}

static size_t
size_mixed(struct workload_random *random)
{
    return workload_size_by_doublings(random, MESSAGE_MIN_DOUBLINGS, MESSAGE_MAX_DOUBLINGS);
}

static struct message *
make_message(size_t size_bytes)
{
    struct message *message = malloc(size_bytes);
    workload_require(message != NULL, "malloc");
    message->size_bytes = size_bytes;
    memset(message->text, (int)(size_bytes & 127), size_bytes - sizeof *message);
    return message;
}

static void
produce(size_t pair, size_t (*next_size)(struct workload_random *))
{
    struct queue *queue = &hall->queues[pair];
    struct workload_random random = workload_seed(pair + 1);

    for (size_t i = 0; i < hall->batch_count; i++) {
        pthread_mutex_lock(&queue->lock);
        while (queue->filled - queue->emptied == QUEUE_BATCHES)
            pthread_cond_wait(&queue->changed, &queue->lock);
        pthread_mutex_unlock(&queue->lock);

        struct message **batch = queue->batches[i % QUEUE_BATCHES];
        for (size_t j = 0; j < BATCH_MESSAGES; j++)
            batch[j] = make_message(next_size(&random));

        pthread_mutex_lock(&queue->lock);
        queue->filled++;
        pthread_cond_signal(&queue->changed);
        pthread_mutex_unlock(&queue->lock);
    }
}

static void
consume(size_t pair)
{
    struct queue *queue = &hall->queues[pair];
    size_t checksum = 0;

    for (size_t i = 0; i < hall->batch_count; i++) {
        pthread_mutex_lock(&queue->lock);
        while (queue->filled == queue->emptied)
            pthread_cond_wait(&queue->changed, &queue->lock);
        pthread_mutex_unlock(&queue->lock);

        struct message **batch = queue->batches[i % QUEUE_BATCHES];
        for (size_t j = 0; j < BATCH_MESSAGES; j++) {
            checksum += batch[j]->size_bytes + batch[j]->text[0];
            free(batch[j]);
        }

        pthread_mutex_lock(&queue->lock);
        queue->emptied++;
        pthread_cond_signal(&queue->changed);
        pthread_mutex_unlock(&queue->lock);
    }
    hall->checksums[pair] = checksum;
}

/* Even threads produce, odd ones consume. */
static void
take_part(size_t number, void *shared)
{
    (void)shared;
    if (number % 2 == 0)
        produce(number / 2, hall->next_size);
    else
        consume(number / 2);
}

static size_t
hand_over(struct workload_run *run, size_t (*next_size)(struct workload_random *))
{
    size_t batch_count = workload_scaled(run, MESSAGES) / BATCH_MESSAGES / run->parameter;
    hall->batch_count = batch_count > 0 ? batch_count : 1;
    hall->next_size = next_size;
    for (size_t i = 0; i < run->parameter; i++)
        hall->queues[i].filled = hall->queues[i].emptied = 0;
    workload_run_threads(2 * run->parameter, take_part, NULL);
    return hall->batch_count * BATCH_MESSAGES * run->parameter;
}

static void
prepare(struct workload_run *run)
{
    hall = workload_map(sizeof *hall);
    for (size_t i = 0; i < run->parameter; i++) {
        pthread_mutex_init(&hall->queues[i].lock, NULL);
        pthread_cond_init(&hall->queues[i].changed, NULL);
    }
}

static size_t
slice_small(struct workload_run *run)
{
    return hand_over(run, size_small);
}

static size_t
slice_mixed(struct workload_run *run)
{
    return hand_over(run, size_mixed);
}

static size_t
slice_large(struct workload_run *run)
{
    return hand_over(run, size_large);
}

static const struct workload_case cases[] = {
    {"small", 1, PAIRS_MAX, 1, 7, prepare, slice_small, NULL},
    {"mixed", 1, PAIRS_MAX, 1, 7, prepare, slice_mixed, NULL},
    {"large", 1, PAIRS_MAX, 1, 7, prepare, slice_large, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
