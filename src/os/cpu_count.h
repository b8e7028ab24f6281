/*
 * cpu_count.h - how many processors this process can really use.
 *
 * The affinity mask alone is wrong in a container: a pod limited to two CPUs of a
 * 64-CPU host has all 64 in its mask.  So the cgroup's quota counts too.
 */
#ifndef XA_OS_CPU_COUNT_H
#define XA_OS_CPU_COUNT_H

/*
 * The smaller of the affinity mask and the cgroup quota (rounded up), at least 1.
 * Reads one or two small files, four in mixed or old set-ups; none if the mask has at most `enough` processors.
 */
unsigned xa_cpu_count_usable(unsigned enough);

/*
 * The quota in "cpu.max" (cgroup v2: "QUOTA PERIOD" or "max PERIOD", microseconds),
 * rounded up to whole processors; 0 if there is none or the text is not understood.
 */
unsigned xa_cpu_count_from_quota(const char *text, unsigned long bytes);

#endif
