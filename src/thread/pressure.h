/*
 * pressure.h - how short the memory is that this process shares with others.
 *
 * Three signals: how near the control group's memory is to its bounds, and how long
 * tasks of the group, or of the machine, waited for memory lately.  They make a step,
 * 0 (plenty) to 3 (very short), by which unused memory is given back sooner.
 */
#ifndef XA_THREAD_PRESSURE_H
#define XA_THREAD_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/annotate.h"

enum { XA_PRESSURE_STEPS = 4 };

/* What one look has found. */
struct xa_pressure_readings {
    bool has_group;           /* the group's memory has a bound */
    bool has_stall;           /* waiting times are known */
    uint32_t used_permille;   /* of the bound */
    uint32_t stall_permyriad; /* of the last ten seconds, in which some task waited: 1/100 % */
};

/*
 * The step that follows `step` after these readings.  It rises at once to where they
 * are; it falls by one at a time, when they are well below where they would raise it.
 */
unsigned xa_pressure_next_step(unsigned step, const struct xa_pressure_readings *readings);

/* What divides the decay time at a step; 0: no time at all. */
uint32_t xa_pressure_divisor(unsigned step);

/* The "some avg10" of a kernel's pressure file, in 1/100 %.  False if the text is not of that kind. */
XA_MUST_USE bool xa_pressure_parse_stall(const char *text, size_t bytes, uint32_t *permyriad);

/*
 * Where to read waiting times: the value of MEMORY_PRESSURE_WATCH, copied, or NULL.
 * "/dev/null" is a wish that nothing be read at all.  Before the purging thread starts.
 */
void xa_pressure_set_watch(const char *path);

/*
 * The step as of now.  Reads files, but at most once a second; for the purging thread
 * alone.
 */
unsigned xa_pressure_look(uint64_t now_ms);

#endif
