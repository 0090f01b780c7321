/* processors.h: the processors that this process may use. */
#ifndef GC_BASE_PROCESSORS_H
#define GC_BASE_PROCESSORS_H

/* Note those that the process's first thread may run on, unless they are noted already. One thread
 * at a time. */
void gc_note_processors(void);

/* In the child of a fork, whose only thread may be bound to others. */
void gc_forget_processors(void);

/* Let the calling thread run on those noted, even if the thread that started it is bound to one. */
void gc_spread_thread(void);

/* How many were noted, within the limits of the control groups; at least 1. */
int gc_processors(void);

/* The minimum limit of the process's control groups, rounded up to whole processors; INT_MAX:
 * none. `root` is a prefix of all paths that are read: "", except in tests. */
int gc_cgroup_limit(const char *root);

#endif
