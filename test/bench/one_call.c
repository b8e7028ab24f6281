/*
 * one_call.c - what bin/dev/gen-start-order looks at.
 *
 *   one_call             a process that calls malloc once, and nothing else
 *   one_call ordinary    what most programs do: objects of many sizes come, grow and go, in two threads
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 2000, ROUNDS = 4, SIZE_MAX_BYTES = 200000 };

static void *
live(void *argument)
{
    static __thread char *objects[OBJECTS];
    (void)argument;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < OBJECTS; i++) {
            size_t size = 16 + i * i * i % (i % 50 == 0 ? SIZE_MAX_BYTES : 700);
            objects[i] = i % 5 == 0 ? calloc(1, size) : malloc(size);
            if (i % 7 == 0)
                objects[i] = realloc(objects[i], 2 * size);
            if (objects[i] == NULL)
                abort();
            memset(objects[i], 1, 16);
        }
        for (size_t i = 0; i < OBJECTS; i++)
            free(objects[round % 2 == 0 ? i : OBJECTS - 1 - i]);
    }
    return NULL;
}

int
main(int argument_count, char **arguments)
{
    (void)arguments;
    void *volatile object = malloc(64);
    pthread_t thread;
    if (argument_count == 1)
        return object == NULL;
    live(NULL);
    if (pthread_create(&thread, NULL, live, NULL) != 0)
        return 1;
    return pthread_join(thread, NULL);
}
