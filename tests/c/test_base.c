/* test_base.c: what the core is given by the system and must not overstep or spoil: the limits of
 * control groups, memory, the processors of its threads, and OpenBLAS's threads in the child of a
 * fork. */
#define _GNU_SOURCE /* sched_getaffinity, mkdtemp */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <sched.h>

#include "base/arena.h"
#include "base/available.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/processors.h"
#include "base/threads.h"
#include "base/watch.h"
#include "check.h"
#include "layers/sgemm.h"

/* ---- Control groups ---------------------------------------------------------------------- */

/* Writes a file and makes its folders. */
static void write_file(const char *root, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

typedef struct group_file {
    const char *name, *text;
} group_file;

static uint64_t processors(const char *root)
{
    return (uint64_t)gc_cgroup_limit(root);
}

/* The result of a function if these files exist and no others. */
static uint64_t find(uint64_t (*function)(const char *root), size_t count,
                     const group_file *files)
{
    char root[] = "/tmp/gradcam-test-XXXXXX", command[64];
    if (mkdtemp(root) == NULL)
        return 0;
    for (size_t i = 0; i < count; i++)
        write_file(root, files[i].name, files[i].text);
    const uint64_t found = function(root);
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command) == 0 ? found : 0;
}

#define FIND(function, ...)                                                                   \
    find(function, sizeof((group_file[]){__VA_ARGS__}) / sizeof(group_file),                  \
         (group_file[]){__VA_ARGS__})
#define LIMIT_OF(...) FIND(processors, __VA_ARGS__)
#define AVAILABLE(...) FIND(gc_available_memory, __VA_ARGS__)
#define V2 "/sys/fs/cgroup"
#define V1 "/sys/fs/cgroup/cpu"
#define M1 "/sys/fs/cgroup/memory"

static void check_cgroups(void)
{
    report("cgroup", "none", LIMIT_OF({"/etc/nothing", ""}) == INT_MAX);
    report("cgroup", "2, of a container, rounded up",
           LIMIT_OF({"/proc/self/cgroup", "0::/\n"}, {V2 "/cpu.max", "150000 100000\n"}) == 2);
    report("cgroup", "2, without a limit",
           LIMIT_OF({"/proc/self/cgroup", "0::/a\n"}, {V2 "/a/cpu.max", "max 100000\n"})
               == INT_MAX);
    report("cgroup", "2, a group's own",
           LIMIT_OF({"/proc/self/cgroup", "0::/a/b\n"}, {V2 "/a/b/cpu.max", "300000 100000\n"},
                    {V2 "/a/cpu.max", "max 100000\n"})
               == 3);
    report("cgroup", "2, of a group above",
           LIMIT_OF({"/proc/self/cgroup", "0::/a/b/c\n"}, {V2 "/a/b/c/cpu.max", "max 100000\n"},
                    {V2 "/a/b/cpu.max", "800000 100000\n"}, {V2 "/a/cpu.max", "50000 100000\n"})
               == 1);
    report("cgroup", "1, a group's own",
           LIMIT_OF({"/proc/self/cgroup", "5:cpuset:/x\n4:cpuacct,cpu:/a\n0::/\n"},
                    {V1 "/a/cpu.cfs_quota_us", "400000\n"},
                    {V1 "/a/cpu.cfs_period_us", "100000\n"}, {V1 "/cpu.cfs_quota_us", "-1\n"},
                    {V1 "/cpu.cfs_period_us", "100000\n"})
               == 4);
    report("cgroup", "1, the path of the host",
           LIMIT_OF({"/proc/self/cgroup", "4:cpu:/docker/4711\n"},
                    {V1 "/cpu.cfs_quota_us", "100000\n"}, {V1 "/cpu.cfs_period_us", "50000\n"})
               == 2);
    report("cgroup", "1, of other things than processors",
           LIMIT_OF({"/proc/self/cgroup", "4:cpuset,cpuacct:/\n"},
                    {V1 "/cpu.cfs_quota_us", "100000\n"}, {V1 "/cpu.cfs_period_us", "50000\n"})
               == INT_MAX);
    report("processors", "at least one", gc_processors() >= 1);
}

/* ---- Memory ------------------------------------------------------------------------------ */

#define MEMINFO {"/proc/meminfo", "MemTotal: 900 kB\nMemFree: 1 kB\nMemAvailable:  500 kB\n"}

static void check_available(void)
{
    const group_file of_a = {"/proc/self/cgroup", "0::/a/b\n"};
    report("memory", "nothing is known", AVAILABLE({"/etc/nothing", ""}) == UINT64_MAX);
    report("memory", "of the machine", AVAILABLE(MEMINFO) == 500 * 1024);
    report("memory", "no limit", AVAILABLE(MEMINFO, of_a, {V2 "/a/memory.max", "max\n"},
                                           {V2 "/a/memory.current", "9\n"})
                                     == 500 * 1024);
    report("memory", "2, a group's own, files count as free",
           AVAILABLE(MEMINFO, of_a, {V2 "/a/b/memory.max", "100000\n"},
                     {V2 "/a/b/memory.current", "70000\n"},
                     {V2 "/a/b/memory.stat", "anon 1\ninactive_file 5000\nactive_file 600\n"})
               == 35600);
    report("memory", "2, of a group above, without statistics",
           AVAILABLE(MEMINFO, of_a, {V2 "/a/b/memory.max", "100000\n"},
                     {V2 "/a/b/memory.current", "70000\n"}, {V2 "/a/memory.max", "90000\n"},
                     {V2 "/a/memory.current", "89000\n"})
               == 1000);
    report("memory", "2, beyond its limit",
           AVAILABLE(of_a, {V2 "/a/memory.max", "500\n"}, {V2 "/a/memory.current", "600\n"}) == 0);
    report("memory", "1, with its groups below",
           AVAILABLE(MEMINFO, {"/proc/self/cgroup", "7:cpu:/\n4:memory:/x\n0::/\n"},
                     {M1 "/x/memory.limit_in_bytes", "100000\n"},
                     {M1 "/x/memory.usage_in_bytes", "99000\n"},
                     {M1 "/x/memory.stat", "inactive_file 7\ntotal_inactive_file 300\n"
                                           "total_active_file 20\n"},
                     {M1 "/memory.limit_in_bytes", "9223372036854771712\n"},
                     {M1 "/memory.usage_in_bytes", "99000\n"})
               == 1320);
}

/* A large block that would not fit is refused; small ones, and those on the shelf, are not. */
static int check_refusal(void)
{
    const size_t large = (size_t)64 << 20, medium = (size_t)1 << 20;
    int good = gc_alloc(SIZE_MAX / 4) == NULL;
    void *block = gc_alloc(large);
    good &= block != NULL;
    gc_free(block);
    gc_pretend_memory(large);
    good &= gc_spare_memory() < large && gc_has_memory(medium);
    void *same = gc_alloc(large);
    void *small = gc_alloc(medium);
    good &= same == block && small != NULL && gc_alloc(large) == NULL;
    gc_pretend_memory(2 * large);
    void *fits = gc_alloc(large);
    good &= fits != NULL && !gc_has_memory(2 * large);
    gc_pretend_memory(UINT64_MAX);
    gc_free(same);
    gc_free(small);
    gc_free(fits);
    gc_release_memory();
    return good;
}

/* ---- Arenas ------------------------------------------------------------------------------ */

enum { PIECES = 300 };

typedef struct place {
    size_t begin, end;
    int out;
} place;

/* Whether `bytes` from `begin` on overlap none of the pieces that are out. */
static int is_free(const place *places, size_t count, size_t begin, size_t bytes)
{
    for (size_t i = 0; i < count; i++)
        if (places[i].out && places[i].begin < begin + bytes && begin < places[i].end)
            return 0;
    return 1;
}

/* The lowest free offset, found by trying all ends of pieces. */
static size_t lowest(const place *places, size_t count, size_t bytes)
{
    size_t best = is_free(places, count, 0, bytes) ? 0 : SIZE_MAX;
    for (size_t i = 0; i < count; i++)
        if (places[i].out && places[i].end < best
            && is_free(places, count, places[i].end, bytes))
            best = places[i].end;
    return best;
}

/* Pieces of random sizes, taken and given back in a random order, lie as low as they can, in the
 * real run too. */
static int check_arena(void)
{
    gc_arena arena = gc_arena_begin();
    place places[PIECES];
    void *pieces[PIECES];
    size_t bytes = 0, given[PIECES], steps[PIECES];
    int good = 1;
    for (size_t i = 0; i < PIECES; i++) {
        given[i] = PIECES; /* none */
        if (i > 0 && random_bits() % 2 == 0) {
            given[i] = random_size(0, i - 1); /* perhaps once more */
            gc_arena_give(&arena, pieces[given[i]]);
            places[given[i]].out = 0;
        }
        steps[i] = 64 * random_size(1, random_bits() % 4 == 0 ? 40 : 3);
        pieces[i] = gc_arena_take(&arena, steps[i] - random_bits() % 64);
        places[i].begin = lowest(places, i, steps[i]);
        places[i].end = places[i].begin + steps[i];
        places[i].out = 1;
        bytes = places[i].end > bytes ? places[i].end : bytes;
    }
    good &= gc_arena_allocate(&arena, 0) && arena.bytes == bytes;
    for (size_t i = 0; i < PIECES && good; i++)
        good = (char *)gc_arena_take(&arena, steps[i]) == arena.memory + places[i].begin;
    gc_arena_end(&arena);
    return good;
}

static int check_arena_too_large(void)
{
    gc_arena arena = gc_arena_begin();
    gc_arena_take(&arena, SIZE_MAX / 2);
    gc_arena_take(&arena, SIZE_MAX / 2);
    gc_arena_take(&arena, SIZE_MAX / 2);
    const int good = !gc_arena_allocate(&arena, 0);
    gc_arena_end(&arena);
    return good;
}

/* ---- The processors of threads ------------------------------------------------------------ */

#if defined(__linux__)

typedef struct meeting {
    atomic_int here;
    cpu_set_t sets[2]; /* of worker 0, the caller, and 1 */
} meeting;

/* Each of two parts waits for the other, so that two threads take one each. */
static void meet(void *argument, size_t part, size_t worker)
{
    (void)part;
    meeting *m = argument;
    sched_getaffinity(0, sizeof m->sets[worker], &m->sets[worker]);
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < 2)
        sched_yield();
}

static void *meet_bound_to_one(void *argument)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    sched_getaffinity(0, sizeof all, &all);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    gc_parallel(2, 2, meet, argument);
    return NULL;
}

/* The caller is bound to one processor, its worker to those of the process: no fewer, no more. */
static int check_affinity(void)
{
    meeting m = {.here = 0};
    cpu_set_t all;
    pthread_t thread;
    sched_getaffinity(0, sizeof all, &all);
    pthread_create(&thread, NULL, meet_bound_to_one, &m);
    pthread_join(thread, NULL);
    return CPU_COUNT(&m.sets[0]) == 1 && CPU_EQUAL(&m.sets[1], &all);
}

#endif

/* ---- A fork during a product --------------------------------------------------------------- */

extern int GC_BLAS(openblas_get_num_threads)(void);
extern void GC_BLAS(openblas_set_num_threads)(int threads);

static atomic_int stop, products;

/* Pauses between products: a mutex is not fair, nor is valgrind's scheduler, and who forks waits. */
static void *multiply_on(void *argument)
{
    (void)argument;
    enum { SIZE = 64 };
    const struct timespec pause = {.tv_nsec = 20000};
    static float a[SIZE * SIZE], b[SIZE * SIZE], c[SIZE * SIZE];
    const gc_engine engine = {.kernels = gc_kernels_active(), .workers = 1};
    while (!atomic_load(&stop)) {
        gc_sgemm(engine, 0, 0, SIZE, SIZE, SIZE, a, SIZE, b, SIZE, c, SIZE);
        atomic_fetch_add(&products, 1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* However a fork falls between products, the child has as many OpenBLAS threads as its parent. */
static int check_fork(void)
{
    enum { FORKS = 20 };
    const int before = GC_BLAS(openblas_get_num_threads)();
    GC_BLAS(openblas_set_num_threads)(2);
    int good = GC_BLAS(openblas_get_num_threads)() == 2;
    pthread_t thread;
    pthread_create(&thread, NULL, multiply_on, NULL);
    while (atomic_load(&products) == 0)
        sched_yield();
    for (int i = 0; i < FORKS; i++) {
        const pid_t child = fork();
        if (child == 0)
            _exit(GC_BLAS(openblas_get_num_threads)() == 2 ? 0 : 1);
        int status = -1;
        good &= waitpid(child, &status, 0) == child && status == 0;
    }
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    good &= GC_BLAS(openblas_get_num_threads)() == 2;
    GC_BLAS(openblas_set_num_threads)(before);
    return good;
}

/* ---- Waiting for a lock -------------------------------------------------------------------- */

static atomic_int holding, released;

static void *hold_lock(void *unused)
{
    (void)unused;
    gc_lock(GC_LOCK_WEIGHTS);
    atomic_store(&holding, 1);
    while (!atomic_load(&released))
        sched_yield();
    gc_unlock(GC_LOCK_WEIGHTS);
    return NULL;
}

static gc_answer stop_at_third(void *argument, double share)
{
    (void)share;
    return ++*(int *)argument == 3 ? GC_STOP : GC_GO_ON;
}

/* A thread that waits for a lock goes on asking, and a thread may take its lock again. */
static int check_lock(void)
{
    int questions = 0;
    gc_watch watch = {.ask = stop_at_third, .argument = &questions};
    pthread_t thread;
    pthread_create(&thread, NULL, hold_lock, NULL);
    while (!atomic_load(&holding))
        sched_yield();
    gc_watch_begin(&watch);
    int good = !gc_lock_or_stop(GC_LOCK_WEIGHTS) && questions == 3;
    good &= gc_watch_end();
    atomic_store(&released, 1);
    good &= gc_lock_or_stop(GC_LOCK_WEIGHTS) && gc_lock_or_stop(GC_LOCK_WEIGHTS);
    gc_unlock(GC_LOCK_WEIGHTS);
    gc_unlock(GC_LOCK_WEIGHTS);
    pthread_join(thread, NULL);
    return good;
}

/* A thread's processor time stands still while the thread sleeps, and passes while it computes. */
static int check_clocks(void)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    double all = gc_seconds(), own = gc_thread_seconds();
    nanosleep(&pause, NULL);
    all = gc_seconds() - all;
    own = gc_thread_seconds() - own;
    const int stood_still = all >= 0.05 && own < 0.5 * all;
    own = gc_thread_seconds();
    while (gc_thread_seconds() - own < 1e-3)
        ;
    return stood_still;
}

int main(void)
{
    set_seed();
    gc_set_threads(2);
    report("clock", "processor time leaves out sleep", check_clocks());
    check_cgroups();
    check_available();
    report("memory", "what does not fit is refused", check_refusal());
    for (int round = 0; round < 50; round++)
        report("arena", "the lowest places", check_arena());
    report("arena", "more than can be addressed", check_arena_too_large());
#if defined(__linux__)
    report("threads", "a caller bound to one processor binds no worker", check_affinity());
#endif
    report("locks", "a thread that waits can be stopped", check_lock());
    report("fork", "OpenBLAS's threads in the child", check_fork());
    return closing_line();
}
