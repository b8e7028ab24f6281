/*
 * structure.c - a pointer structure is built from front to back, and walked.
 *
 *   structure build [THOUSANDS]    of nodes, 300
 *   structure walk [THOUSANDS]     how long following the pointers takes is the allocator's doing:
 *                                  are objects that are made one after the other close together?
 *   structure aged [THOUSANDS]     the walk where the heap was full of holes before the building
 *
 * A node has a text of its own, of 9 to 40 bytes, as in most lists and maps.
 */
#include "workload.h"

#include <stdlib.h>
#include <string.h>

enum {
    THOUSANDS_MAX = 100000,
    TEXT_MIN = 9,
    TEXT_RANGE = 32,
    HOLES_PER_NODE = 3,
    HOLE_SURVIVOR_EVERY = 4,
    HOLE_SIZE_MIN = 8,
    HOLE_SIZE_RANGE = 120,
};

struct node {
    struct node *next;
    char *text;
    size_t text_bytes;
    size_t number;
    size_t visited;
};

static struct node *first;
static size_t node_count;
static volatile size_t checksum;

static struct node *
make_node(struct workload_random *random, size_t number)
{
    struct node *node = malloc(sizeof *node);
    workload_require(node != NULL, "malloc");
    node->next = NULL;
    node->number = number;
    node->visited = 0;
    node->text_bytes = TEXT_MIN + workload_below(random, TEXT_RANGE);
    node->text = malloc(node->text_bytes);
    workload_require(node->text != NULL, "malloc");
    memset(node->text, 'a' + (int)(number % 26), node->text_bytes);
    return node;
}

static size_t
build(struct workload_run *run)
{
    struct workload_random random = workload_seed(1);
    struct node **last = &first;

    for (size_t i = 0; i < node_count; i++) {
        *last = make_node(&random, i);
        last = &(*last)->next;
    }
    (void)run;
    return node_count;
}

static void
destroy(struct workload_run *run)
{
    (void)run;
    while (first != NULL) {
        struct node *node = first;
        first = node->next;
        free(node->text);
        free(node);
    }
}

static size_t
walk(struct workload_run *run)
{
    size_t sum = 0;
    (void)run;
    for (struct node *node = first; node != NULL; node = node->next) {
        sum += node->number + (size_t)node->text[0] + (size_t)node->text[node->text_bytes - 1];
        node->visited++;
    }
    checksum = sum;
    return node_count;
}

static void
prepare_build(struct workload_run *run)
{
    node_count = workload_scaled(run, run->parameter * 1000);
}

static void
prepare_walk(struct workload_run *run)
{
    prepare_build(run);
    build(run);
}

/* Objects of all small sizes, of which three in four are freed again in random order. */
static void
prepare_aged(struct workload_run *run)
{
    prepare_build(run);
    size_t count = node_count * HOLES_PER_NODE;
    void **objects = workload_map(count * sizeof objects[0]);
    for (size_t i = 0; i < count; i++)
        objects[i] =
            workload_allocate(HOLE_SIZE_MIN + workload_below(&run->random, HOLE_SIZE_RANGE));
    for (size_t i = count; i-- > 1;) {
        size_t other = workload_below(&run->random, i + 1);
        void *object = objects[i];
        objects[i] = objects[other];
        objects[other] = object;
    }
    for (size_t i = 0; i < count; i++) {
        if (i % HOLE_SURVIVOR_EVERY != 0)
            free(objects[i]);
    }
    build(run);
}

static const struct workload_case cases[] = {
    {"build", 300, THOUSANDS_MAX, 1, 7, prepare_build, build, destroy},
    {"walk", 300, THOUSANDS_MAX, 1, 11, prepare_walk, walk, NULL},
    {"aged", 300, THOUSANDS_MAX, 1, 11, prepare_aged, walk, NULL},
};

int
main(int argument_count, char **arguments)
{
    return workload_main(argument_count, arguments, cases, sizeof cases / sizeof cases[0]);
}
