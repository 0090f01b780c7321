/* weight_sums.c: the weights of a linear layer, summed over the positions of the map it reads.
 *
 * They give the gradient with respect to that map, summed over its positions, for a fraction of
 * what reading the weights themselves costs. Summed in double and rounded once. */
#include <stdatomic.h>

#include "base/memory.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/linear.h"

enum { ROWS = 32 }; /* that one thread takes at a time */

typedef struct table {
    struct table *next;
    size_t positions;
    float *sums; /* [out][in / positions] */
} table;

struct gc_weight_sums {
    _Atomic(table *) first;
};

gc_weight_sums *gc_weight_sums_new(void)
{
    gc_weight_sums *sums = gc_alloc(sizeof *sums);
    if (sums == NULL)
        return NULL;
    atomic_init(&sums->first, NULL);
    return sums;
}

void gc_weight_sums_free(gc_weight_sums *sums)
{
    if (sums == NULL)
        return;
    for (table *t = atomic_load(&sums->first), *next; t != NULL; t = next) {
        next = t->next;
        gc_free(t->sums);
        gc_free(t);
    }
    gc_free(sums);
}

static const table *find_table(const gc_weight_sums *sums, size_t positions)
{
    const table *t = atomic_load_explicit(&sums->first, memory_order_acquire);
    while (t != NULL && t->positions != positions)
        t = t->next;
    return t;
}

typedef struct summing {
    const gc_kernels *kernels;
    const gc_layer *layer;
    const table *table;
} summing;

static void some_rows(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const summing *s = argument;
    const size_t in = s->layer->linear.in, out = s->layer->linear.out;
    const size_t channels = in / s->table->positions, first = part * ROWS;
    const size_t rows = out - first < ROWS ? out - first : ROWS;
    const size_t bytes = s->layer->linear.storage == GC_FLOAT32 ? 4 : 2;
    s->kernels->dense_sums(s->layer->linear.storage, rows * channels, s->table->positions,
                           (const char *)s->layer->linear.weight + first * in * bytes,
                           s->table->sums + first * channels);
}

static table *make_table(const gc_layer *layer, size_t positions, gc_engine engine)
{
    const size_t channels = layer->linear.in / positions;
    table *made = gc_alloc(sizeof *made);
    float *sums = gc_alloc(layer->linear.out * channels * sizeof *sums);
    if (made == NULL || sums == NULL) {
        gc_free(made);
        gc_free(sums);
        return NULL;
    }
    *made = (table){.positions = positions, .sums = sums};
    summing s = {.kernels = engine.kernels, .layer = layer, .table = made};
    gc_parallel(engine.workers, gc_divide_up(layer->linear.out, ROWS), some_rows, &s);
    if (gc_stopped()) {
        gc_free(made);
        gc_free(sums);
        return NULL;
    }
    return made;
}

const float *gc_weight_sums_of(const gc_layer *layer, size_t positions, gc_engine engine)
{
    gc_weight_sums *sums = layer->linear.sums;
    const table *found = find_table(sums, positions);
    if (found != NULL)
        return found->sums;
    if (!gc_lock_or_stop(GC_LOCK_WEIGHTS))
        return NULL;
    found = find_table(sums, positions); /* made while this thread waited? */
    if (found == NULL) {
        table *made = make_table(layer, positions, engine);
        if (made != NULL) {
            made->next = atomic_load(&sums->first);
            atomic_store_explicit(&sums->first, made, memory_order_release);
        }
        found = made;
    }
    gc_unlock(GC_LOCK_WEIGHTS);
    return found == NULL ? NULL : found->sums;
}
