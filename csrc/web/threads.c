/* threads.c: instead of base/threads.c where there is one thread: no pool, no locks. */
#include "base/threads.h"

#include "base/watch.h"
#include "gradcam.h"

int gc_threads(void)
{
    return 1;
}

void gc_set_threads(int threads)
{
    (void)threads;
}

void gc_lock(gc_lock_name name)
{
    (void)name;
}

int gc_lock_or_stop(gc_lock_name name)
{
    (void)name;
    return 1;
}

void gc_unlock(gc_lock_name name)
{
    (void)name;
}

void gc_parallel(size_t workers, size_t parts, gc_part run, void *work)
{
    (void)workers;
    for (size_t part = 0; part < parts && !gc_should_stop(); part++)
        run(work, part, 0);
}
