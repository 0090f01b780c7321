/* linear_packs.c: the transformed weights of a linear layer: input-major ones, and sums.
 *
 * Input-major weights P[c][r] = W[r][c] have the weights of one input in a row, which is not read
 * if the input is zero. A fingerprint of each row follows the rows, aligned to GC_ALIGNMENT, so
 * that the rows that are used can be checked without the others.
 *
 * The sums S[r][k] of W[r][(k, p)] over the positions p of a map give the gradient of that map,
 * summed over its positions, for a fraction of what reading W costs. They are summed in double and
 * rounded once. */
#include <string.h>

#include "base/fingerprint.h"
#include "base/memory.h"
#include "base/threads.h"
#include "base/watch.h"
#include "layers/linear.h"

enum {
    ROWS = 32,   /* of W that one thread sums at a time, */
    INPUTS = 64, /* rows of P that one thread makes or checks at a time, */
    TILE = 64    /* and rows of W that it reads for them at a time */
};
enum { SAMPLES = 17 }; /* few: a page that is touched may bring 2 MB of its file into memory */

/* ---- Input-major weights ------------------------------------------------------------------ */

static size_t row_bytes(const gc_layer *layer)
{
    return layer->linear.out * gc_storage_bytes(layer->linear.storage);
}

static size_t fingerprints_at(const gc_layer *layer)
{
    return gc_aligned(layer->linear.in * row_bytes(layer));
}

static uint64_t row_fingerprint(const gc_layer *layer, const void *pack, size_t row)
{
    return gc_fingerprint((const char *)pack + row * row_bytes(layer), row_bytes(layer), row + 1);
}

typedef struct packing {
    const gc_layer *layer;
    char *pack;
} packing;

/* `count` rows of P from the first on, of them the columns r .. r + rows. The tile goes through a
 * buffer: the rows of W and P often lie a power of two apart, in the same few lines of a cache. */
static void transpose_tile(const gc_layer *layer, size_t first, size_t count, size_t r, size_t rows,
                      char *pack)
{
    enum { STRIDE = (INPUTS + 1) * sizeof(float) };
    char tile[TILE * STRIDE];
    const size_t in = layer->linear.in, out = layer->linear.out;
    const size_t size = gc_storage_bytes(layer->linear.storage);
    const char *w = (const char *)layer->linear.weight + (r * in + first) * size;
    for (size_t i = 0; i < rows; i++)
        memcpy(tile + i * STRIDE, w + i * in * size, count * size);
    for (size_t c = 0; c < count; c++) {
        char *to = pack + ((first + c) * out + r) * size;
        if (size == 4)
            for (size_t i = 0; i < rows; i++)
                memcpy(to + i * 4, tile + i * STRIDE + c * 4, 4);
        else
            for (size_t i = 0; i < rows; i++)
                memcpy(to + i * 2, tile + i * STRIDE + c * 2, 2);
    }
}

static void pack_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const packing *p = argument;
    const size_t in = p->layer->linear.in, out = p->layer->linear.out;
    const size_t first = part * INPUTS, count = gc_min(in - first, INPUTS);
    for (size_t r = 0; r < out; r += TILE)
        transpose_tile(p->layer, first, count, r, gc_min(out - r, TILE), p->pack);
    char *fingerprints = p->pack + fingerprints_at(p->layer);
    for (size_t c = first; c < first + count; c++) {
        const uint64_t fingerprint = row_fingerprint(p->layer, p->pack, c);
        memcpy(fingerprints + c * sizeof fingerprint, &fingerprint, sizeof fingerprint);
    }
}

static void make_input_major(const gc_layer *layer, gc_engine engine, char *pack)
{
    packing p = {.layer = layer, .pack = pack};
    const size_t end = layer->linear.in * row_bytes(layer);
    memset(pack + end, 0, fingerprints_at(layer) - end);
    gc_parallel(engine.workers, gc_divide_up(layer->linear.in, INPUTS), pack_part, &p);
}

/* Element `sample` of a few that are spread over W, in its storage. */
static void sample_element(const gc_layer *layer, size_t sample, size_t *r, size_t *c)
{
    *r = sample * (layer->linear.out - 1) / (SAMPLES - 1);
    *c = sample * 7 % SAMPLES * (layer->linear.in - 1) / (SAMPLES - 1);
}

static int input_major_fits(const gc_layer *layer, const char *pack)
{
    const size_t size = gc_storage_bytes(layer->linear.storage);
    const char *w = layer->linear.weight;
    for (size_t i = 0, r, c; i < SAMPLES; i++) {
        sample_element(layer, i, &r, &c);
        if (memcmp(pack + (c * layer->linear.out + r) * size,
                   w + (r * layer->linear.in + c) * size, size) != 0)
            return 0;
    }
    return 1;
}

uint64_t gc_linear_sample(const gc_layer *layer, uint64_t start)
{
    enum { MAX_ELEMENTS = 64 };
    const size_t in = layer->linear.in, size = gc_storage_bytes(layer->linear.storage);
    for (size_t i = 0, r, c; i < SAMPLES; i++) {
        sample_element(layer, i, &r, &c);
        start = gc_fingerprint((const char *)layer->linear.weight + (r * in + c) * size,
                               gc_min(in - c, MAX_ELEMENTS) * size, start);
    }
    return start;
}

/* ---- Their use ------------------------------------------------------------------------------ */

typedef struct checking {
    const gc_layer *layer;
    gc_pack *pack;
    const uint8_t *active; /* records of `images` images */
    size_t images;
    const size_t *vectors; /* [count] */
    size_t count;
} checking;

/* Whether the row is used for the first time. */
static int is_new(const checking *c, size_t row)
{
    if (atomic_load_explicit(&c->pack->verified[row], memory_order_relaxed))
        return 0;
    const size_t bytes = gc_active_bytes(c->layer->linear.in);
    for (size_t n = 0; n < c->count; n++)
        if (gc_is_active(c->active + c->vectors[n] % c->images * bytes, row))
            return 1;
    return 0;
}

/* So that a disk is asked for all rows before the first of them is needed. */
static void announce_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const checking *c = argument;
    const size_t first = part * INPUTS, end = gc_min(first + INPUTS, c->layer->linear.in);
    const size_t bytes = row_bytes(c->layer);
    for (size_t row = first, rows; row < end; row += rows + 1) {
        for (rows = 0; row + rows < end && is_new(c, row + rows);)
            rows++;
        if (rows > 0)
            gc_will_need((const char *)c->pack->data + row * bytes, rows * bytes);
    }
}

static void check_part(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const checking *c = argument;
    const char *data = c->pack->data, *fingerprints = data + fingerprints_at(c->layer);
    const size_t first = part * INPUTS, end = gc_min(first + INPUTS, c->layer->linear.in);
    for (size_t row = first; row < end; row++) {
        if (!is_new(c, row))
            continue;
        uint64_t expected;
        memcpy(&expected, fingerprints + row * sizeof expected, sizeof expected);
        if (row_fingerprint(c->layer, data, row) == expected)
            atomic_store_explicit(&c->pack->verified[row], 1, memory_order_relaxed);
        else
            atomic_store_explicit(&c->pack->damaged, 1, memory_order_relaxed);
    }
}

int gc_input_major_is_good(const gc_layer *layer, gc_pack *pack, gc_engine engine,
                           const uint8_t *active, size_t images, const size_t *vectors,
                           size_t count)
{
    checking c = {.layer = layer,
                  .pack = pack,
                  .active = active,
                  .images = images,
                  .vectors = vectors,
                  .count = count};
    const size_t parts = gc_divide_up(layer->linear.in, INPUTS);
    if (atomic_load_explicit(&pack->damaged, memory_order_relaxed))
        return 0;
    gc_parallel(engine.workers, parts, announce_part, &c);
    gc_parallel(engine.workers, parts, check_part, &c);
    return !atomic_load_explicit(&pack->damaged, memory_order_relaxed);
}

/* ---- Sums ----------------------------------------------------------------------------------- */

typedef struct summing {
    const gc_kernels *kernels;
    const gc_layer *layer;
    size_t positions;
    float *sums; /* [out][in / positions] */
} summing;

/* `count` sums of row r, from channel k on. */
static void sum_channels(const summing *s, size_t r, size_t k, size_t count, float *sums)
{
    const gc_storage storage = s->layer->linear.storage;
    const size_t first = r * s->layer->linear.in + k * s->positions;
    s->kernels->dense_sums(storage, count, s->positions,
                           (const char *)s->layer->linear.weight
                               + first * gc_storage_bytes(storage),
                           sums);
}

static void some_rows(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const summing *s = argument;
    const size_t channels = s->layer->linear.in / s->positions, first = part * ROWS;
    const size_t rows = gc_min(s->layer->linear.out - first, ROWS);
    sum_channels(s, first, 0, rows * channels, s->sums + first * channels);
}

static void make_sums(const gc_layer *layer, size_t positions, gc_engine engine, float *sums)
{
    summing s = {
        .kernels = engine.kernels, .layer = layer, .positions = positions, .sums = sums};
    gc_parallel(engine.workers, gc_divide_up(layer->linear.out, ROWS), some_rows, &s);
}

static int sums_fit(const gc_layer *layer, size_t positions, gc_engine engine, const float *sums)
{
    const summing s = {.kernels = engine.kernels, .layer = layer, .positions = positions};
    const size_t channels = layer->linear.in / positions;
    for (size_t i = 0, r, c; i < SAMPLES; i++) {
        float sum;
        sample_element(layer, i, &r, &c);
        sum_channels(&s, r, c / positions, 1, &sum);
        if (memcmp(&sums[r * channels + c / positions], &sum, sizeof sum) != 0)
            return 0;
    }
    return 1;
}

const float *gc_weight_sums_of(const gc_layer *layer, size_t positions, gc_engine engine)
{
    const gc_pack_id id = {.kind = GC_PACK_SUMS, .variant = positions};
    const gc_pack *pack = gc_pack_prepare(layer, id, engine);
    return pack == NULL ? NULL : pack->data;
}

/* ---- Every kind ----------------------------------------------------------------------------- */

size_t gc_linear_pack_bytes(const gc_layer *layer, gc_pack_id id, gc_engine engine)
{
    (void)engine;
    if (id.kind == GC_PACK_INPUT_MAJOR)
        return fingerprints_at(layer) + layer->linear.in * sizeof(uint64_t);
    if (id.kind == GC_PACK_SUMS && id.variant > 0 && layer->linear.in % id.variant == 0)
        return layer->linear.out * (layer->linear.in / id.variant) * sizeof(float);
    return 0;
}

void gc_linear_make_pack(const gc_layer *layer, gc_pack_id id, gc_engine engine, void *pack)
{
    if (id.kind == GC_PACK_SUMS)
        make_sums(layer, id.variant, engine, pack);
    else
        make_input_major(layer, engine, pack);
}

int gc_linear_pack_fits(const gc_layer *layer, gc_pack_id id, gc_engine engine, const void *pack)
{
    return id.kind == GC_PACK_SUMS ? sums_fit(layer, id.variant, engine, pack)
                                   : input_major_fits(layer, pack);
}
