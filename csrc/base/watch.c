#include "base/watch.h"

#include "base/clock.h"
#include "base/status.h"

static _Thread_local gc_watch *current; /* of the call that this thread makes, or helps with */
static _Thread_local int helping;

void gc_watch_begin(gc_watch *watch)
{
    if (watch != NULL) {
        watch->asked = gc_seconds();
        watch->share = 0.0;
        watch->closed = 0;
        atomic_init(&watch->stopped, 0);
    }
    current = watch;
}

int gc_watch_end(void)
{
    const int stopped = gc_stopped();
    current = NULL;
    return stopped;
}

/* Ask, if it is time to. What is called meanwhile on this thread is another call. */
static int ask(gc_watch *watch)
{
    if (watch->closed || gc_seconds() - watch->asked < watch->interval)
        return 0;
    current = NULL;
    const gc_answer answer = watch->ask(watch->argument, watch->share);
    current = watch;
    watch->asked = gc_seconds();
    watch->closed = answer == GC_ASK_NO_MORE;
    if (answer == GC_STOP)
        atomic_store_explicit(&watch->stopped, 1, memory_order_relaxed);
    return answer == GC_STOP;
}

int gc_stopped(void)
{
    return current != NULL && atomic_load_explicit(&current->stopped, memory_order_relaxed);
}

int gc_should_stop(void)
{
    return gc_stopped() || (current != NULL && !helping && ask(current));
}

void gc_set_share(double share)
{
    if (current != NULL)
        current->share = share;
}

gc_status gc_fail_interrupted(gc_error *error)
{
    return gc_fail(error, GC_INTERRUPTED, "the call was interrupted");
}

gc_watch *gc_current_watch(void)
{
    return current;
}

void gc_help(gc_watch *watch)
{
    current = watch;
    helping = watch != NULL;
}
