/*
 * one_call.c - a process that calls malloc once, and nothing else.
 */
#include <stdlib.h>

int
main(void)
{
    void *volatile object = malloc(64);
    return object == NULL;
}
