/* threads.c: the pool. Workers are started when they are first needed and then wait for work; they
 * take the numbers of parts from one counter until all parts are taken.
 *
 * A pass is many short pieces of work, and waking up a thread can take longer than a piece. So a
 * worker that has no work waits actively (spins) for a short time before it sleeps, and lets other
 * threads of the system run meanwhile. The caller waits for workers in the same way.
 *
 * The caller describes a piece of work, and then opens a round. Workers join the round while it is
 * open; the description stays until it is closed and all that joined have left.
 *
 * A fork copies the calling thread alone: the child has no workers, and starts its own when it
 * needs them. */
#define _POSIX_C_SOURCE 200809L /* sigset_t, recursive mutexes */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/processors.h"
#include "base/watch.h"
#include "gradcam.h"

enum { MAX_THREADS = 256 };

static struct {
    pthread_mutex_t busy;       /* held by the caller whose work is running */
    pthread_mutex_t mutex;      /* of the two conditions, and for the processors that are noted */
    pthread_cond_t wake, done;
    size_t started;             /* workers that exist, numbered 1 .. started */
    atomic_uint round;          /* counts pieces of work */
    atomic_int members;         /* workers that take part in it, and OPEN if more may join */
    atomic_int asleep;          /* workers that wait for `wake`, or are about to */
    atomic_int caller_asleep;   /* whether the caller waits for `done`, or is about to */
    size_t invited;             /* workers 1 .. invited may take part */
    gc_part run;
    void *work;
    size_t parts;
    gc_watch *watch;            /* of the caller */
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER,
          .mutex = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

enum { OPEN = 1 << 16 }; /* more than the number of workers */

static pthread_mutex_t locks[GC_LOCKS];

static atomic_size_t next_part;
static atomic_int threads_wanted; /* 0: not decided yet */

/* ---- Locks, and a fork ------------------------------------------------------------------- */

static void make_locks(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    for (int i = 0; i < GC_LOCKS; i++)
        pthread_mutex_init(&locks[i], &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* In the child of a fork. */
static void reset_in_child(void)
{
    make_locks();
    pool.started = 0;
    atomic_store(&pool.members, 0);
    atomic_store(&pool.asleep, 0);
    atomic_store(&pool.caller_asleep, 0);
    gc_forget_processors();
    pthread_mutex_init(&pool.busy, NULL);
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.done, NULL);
}

/* The child inherits the cache of memory, so no thread may be changing it; and a product that runs
 * is waited for, so that the child does not inherit OpenBLAS limited to one thread. The weights'
 * lock guards nothing that could be incomplete in a child. */
static void before_fork(void)
{
    pthread_mutex_lock(&locks[GC_LOCK_BLAS]);
    pthread_mutex_lock(&locks[GC_LOCK_MEMORY]);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&locks[GC_LOCK_MEMORY]);
    pthread_mutex_unlock(&locks[GC_LOCK_BLAS]);
}

static void prepare_for_fork_once(void)
{
    make_locks();
    pthread_atfork(before_fork, after_fork, reset_in_child);
}

static void prepare_for_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare_for_fork_once);
}

void gc_lock(gc_lock_name name)
{
    prepare_for_fork();
    pthread_mutex_lock(&locks[name]);
}

/* Wait for a lock for a short time; whether it was taken. */
static int wait_for(pthread_mutex_t *lock)
{
#if defined(__APPLE__) /* which has no pthread_mutex_timedlock */
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
    return pthread_mutex_trylock(lock) == 0;
#else
    const long wait = 20000000, second = 1000000000;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += wait;
    until.tv_sec += until.tv_nsec / second;
    until.tv_nsec %= second;
    return pthread_mutex_timedlock(lock, &until) == 0;
#endif
}

int gc_lock_or_stop(gc_lock_name name)
{
    prepare_for_fork();
    while (pthread_mutex_trylock(&locks[name]) != 0 && !wait_for(&locks[name]))
        if (gc_should_stop())
            return 0;
    return 1;
}

void gc_unlock(gc_lock_name name)
{
    pthread_mutex_unlock(&locks[name]);
}

/* ---- How many --------------------------------------------------------------------------- */

static int clamp_threads(long threads)
{
    return threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : (int)threads;
}

/* Workers may use the processors that the process may use when the number of threads is decided,
 * even if the thread that starts them has been bound to one of them since. */
static void note_processors(void)
{
    prepare_for_fork();
    pthread_mutex_lock(&pool.mutex);
    gc_note_processors();
    pthread_mutex_unlock(&pool.mutex);
}

int gc_threads(void)
{
    int threads = atomic_load(&threads_wanted);
    if (threads == 0) {
        note_processors();
        const char *text = getenv("GRADCAM_NUM_THREADS");
        const long asked = text == NULL ? 0 : strtol(text, NULL, 10);
        const int found = clamp_threads(asked > 0 ? asked : gc_processors());
        /* Unless a number was set meanwhile, which is then in `threads`. */
        if (atomic_compare_exchange_strong(&threads_wanted, &threads, found))
            threads = found;
    }
    return threads;
}

void gc_set_threads(int threads)
{
    note_processors();
    atomic_store(&threads_wanted, clamp_threads(threads));
}

/* ---- Work ------------------------------------------------------------------------------- */

static void take_parts(gc_part run, void *work, size_t parts, size_t worker)
{
    while (!gc_should_stop()) {
        const size_t part = atomic_fetch_add_explicit(&next_part, 1, memory_order_relaxed);
        if (part >= parts)
            return;
        run(work, part, worker);
    }
}

/* ---- Rounds ------------------------------------------------------------------------------ */

/* How long a thread waits actively for work, or for the end of work, before it sleeps. */
static const double SPIN_SECONDS = 100e-6;

/* Whether a condition came true within that time. */
static int spin_until(int (*is_true)(unsigned), unsigned argument)
{
    enum { TRIES = 32 }; /* before another thread of the system may run */
    const double start = gc_seconds();
    do {
        for (int i = 0; i < TRIES; i++)
            if (is_true(argument))
                return 1;
        sched_yield();
    } while (gc_seconds() - start < SPIN_SECONDS);
    return is_true(argument);
}

static int is_new_round(unsigned seen)
{
    return atomic_load(&pool.round) != seen;
}

static int is_empty(unsigned unused)
{
    (void)unused;
    return atomic_load(&pool.members) == 0;
}

/* Wait until there is a round after the one with number `seen`; its number. */
static unsigned wait_for_round(unsigned seen)
{
    if (!spin_until(is_new_round, seen)) {
        pthread_mutex_lock(&pool.mutex);
        atomic_fetch_add(&pool.asleep, 1);
        while (!is_new_round(seen))
            pthread_cond_wait(&pool.wake, &pool.mutex);
        atomic_fetch_sub(&pool.asleep, 1);
        pthread_mutex_unlock(&pool.mutex);
    }
    return atomic_load(&pool.round);
}

/* Whether the round was open, and the worker now takes part in it. */
static int join_round(void)
{
    int members = atomic_load(&pool.members);
    while (members & OPEN)
        if (atomic_compare_exchange_weak(&pool.members, &members, members + 1))
            return 1;
    return 0;
}

static void leave_round(void)
{
    if (atomic_fetch_sub(&pool.members, 1) == 1 && atomic_load(&pool.caller_asleep)) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.mutex);
    }
}

/* The description of the work is complete. */
static void open_round(void)
{
    atomic_store(&pool.members, OPEN);
    atomic_fetch_add(&pool.round, 1);
    if (atomic_load(&pool.asleep) > 0) {
        pthread_mutex_lock(&pool.mutex);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.mutex);
    }
}

/* Wait for the workers that take part, but not for others to wake up. */
static void close_round(void)
{
    atomic_fetch_and(&pool.members, ~OPEN); /* in the child of a fork it is 0 already */
    if (spin_until(is_empty, 0))
        return;
    pthread_mutex_lock(&pool.mutex);
    atomic_store(&pool.caller_asleep, 1);
    while (!is_empty(0))
        pthread_cond_wait(&pool.done, &pool.mutex);
    atomic_store(&pool.caller_asleep, 0);
    pthread_mutex_unlock(&pool.mutex);
}

static void *worker_main(void *argument)
{
    const size_t worker = (size_t)argument;
    gc_spread_thread();
    /* The number before the current round, so that it does not miss that one. */
    for (unsigned seen = atomic_load(&pool.round) - 1;;) {
        seen = wait_for_round(seen);
        if (!join_round())
            continue;
        if (worker <= pool.invited) {
            gc_help(pool.watch);
            take_parts(pool.run, pool.work, pool.parts, worker);
            gc_help(NULL); /* the caller's watch may be gone after this round */
        }
        leave_round();
    }
    return NULL;
}

/* Start workers up to number `wanted`, or fewer if the system refuses. Called by the owner of
 * `busy`. Workers block all signals but those of their own faults: signals are for the
 * application. */
static void start_workers(size_t wanted)
{
    if (pool.started >= wanted)
        return;
    note_processors(); /* in the child of a fork they were forgotten */
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.started < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker_main, (void *)(pool.started + 1)) != 0)
            break;
        pthread_detach(thread);
        pool.started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_alone(size_t parts, gc_part run, void *work)
{
    for (size_t part = 0; part < parts && !gc_should_stop(); part++)
        run(work, part, 0);
}

void gc_parallel(size_t workers, size_t parts, gc_part run, void *work)
{
    const size_t useful = parts < workers ? parts : workers;
    if (useful <= 1 || pthread_mutex_trylock(&pool.busy) != 0) {
        run_alone(parts, run, work);
        return;
    }
    start_workers(useful - 1);
    pool.invited = pool.started < useful - 1 ? pool.started : useful - 1;
    pool.run = run;
    pool.work = work;
    pool.parts = parts;
    pool.watch = gc_current_watch();
    atomic_store(&next_part, 0);
    open_round();
    take_parts(run, work, parts, 0);
    /* All parts are taken, or the call is to end. */
    close_round();
    pthread_mutex_unlock(&pool.busy);
}
