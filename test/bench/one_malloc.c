/*
 * one_malloc.c - what a program that allocates once costs.
 *
 *   one_malloc [COUNT [SIZE]]    COUNT objects (1) of SIZE bytes (64), each written
 *
 * Prints one line of TSV: resident KiB, private dirty KiB, virtual KiB, the number of mappings,
 * and the file that malloc came from.  Everything about /proc is read with plain system calls
 * into static memory, before stdio (which allocates a buffer) is used for the first time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 16];

/* Read all of a small /proc file into `text`; false if it cannot be read. */
static int
read_file(const char *path)
{
    size_t used = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    while (used < sizeof text - 1) {
        ssize_t got = read(file, text + used, sizeof text - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    close(file);
    text[used] = '\0';
    return used > 0;
}

/* The number behind a label of smaps_rollup or status; -1 if there is none. */
static long
labelled_kib(const char *label)
{
    const char *line = strstr(text, label);
    return line != NULL ? strtol(line + strlen(label), NULL, 10) : -1;
}

static long
count_lines(void)
{
    long lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    return lines;
}

static const char *
file_of_malloc(void)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    if (address == NULL || dladdr(address, &info) == 0 || info.dli_fname == NULL)
        return "?";
    return info.dli_fname;
}

int
main(int argument_count, char **arguments)
{
    long count = argument_count > 1 ? strtol(arguments[1], NULL, 10) : 1;
    long size_bytes = argument_count > 2 ? strtol(arguments[2], NULL, 10) : 64;
    if (count < 0 || size_bytes < 1 || argument_count > 3) {
        fputs("usage: one_malloc [COUNT [SIZE]]\n", stderr);
        return 2;
    }
    for (long i = 0; i < count; i++) {
        char *object = malloc((size_t)size_bytes);
        if (object == NULL)
            return 3;
        memset(object, 1, (size_t)size_bytes);
        /* Kept on purpose; the address escapes, so that the compiler keeps it too. */
        __asm__ volatile("" : : "r"(object) : "memory");
    }

    if (!read_file("/proc/self/smaps_rollup"))
        return 4;
    long resident_kib = labelled_kib("\nRss:");
    long dirty_kib = labelled_kib("\nPrivate_Dirty:");
    if (!read_file("/proc/self/statm"))
        return 4;
    long virtual_kib = strtol(text, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
    if (!read_file("/proc/self/maps"))
        return 4;
    long mappings = count_lines();

    printf("%ld\t%ld\t%ld\t%ld\t%s\n", resident_kib, dirty_kib, virtual_kib, mappings,
        file_of_malloc());
    return 0;
}
