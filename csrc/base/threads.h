/* threads.h: a pool of threads that share out the parts of one piece of work.
 *
 * Each part writes memory that no other part writes. How work is divided depends on sizes alone, or
 * the order of additions of every value is the same in parts of any size: results are the same bits
 * for every number of threads. */
#ifndef GC_BASE_THREADS_H
#define GC_BASE_THREADS_H

#include <stddef.h>

/* Part `part` of some work, run by thread number `worker`, which is less than the `workers` of
 * gc_parallel: a part may use the scratch memory of that number. */
typedef void (*gc_part)(void *work, size_t part, size_t worker);

/* Run parts 0 .. parts - 1 on at most `workers` threads and return when all are done, or, if the
 * call is to end early (base/watch.h), when none is running. The calling thread is worker 0. While
 * the pool is busy with another call, all parts run on the calling thread. */
void gc_parallel(size_t workers, size_t parts, gc_part run, void *work);

/* The locks of the core. In a child process they are unlocked, even if the parent held them. */
typedef enum gc_lock_name {
    GC_LOCK_BLAS,    /* OpenBLAS and its count of threads */
    GC_LOCK_WEIGHTS, /* making transformed weights at their first use */
    GC_LOCK_MEMORY,  /* the blocks that are kept for reuse */
    GC_LOCKS
} gc_lock_name;

/* A thread that holds a lock may take it again: a watch (base/watch.h) may make other calls. */
void gc_lock(gc_lock_name name);
/* 0, without the lock, if the call is to end early while another thread holds it. */
int gc_lock_or_stop(gc_lock_name name);
void gc_unlock(gc_lock_name name);

#endif
