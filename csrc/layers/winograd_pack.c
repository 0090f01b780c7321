/* winograd_pack.c: the transformed weights U of a 3x3 convolution, made at their first use.
 *
 * Each direction, and each width of vector, has a pack of its own: the gradient with respect to
 * the input is a convolution too, of the output's gradient with the kernels rotated by half a
 * turn and the roles of the channels exchanged. U is computed in double and rounded once. */
#include "layers/winograd_pack.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"

enum { SIDE = 6, PRODUCTS = SIDE * SIDE };

typedef struct pack {
    struct pack *next;
    int backward;
    size_t width;
    float *u; /* [k / 2W][xi][c][2W], c and k filled up with zeros */
} pack;

struct gc_winograd_packs {
    _Atomic(pack *) first;
};

gc_winograd_packs *gc_winograd_packs_new(void)
{
    gc_winograd_packs *packs = gc_alloc(sizeof *packs);
    if (packs == NULL)
        return NULL;
    atomic_init(&packs->first, NULL);
    return packs;
}

void gc_winograd_packs_free(gc_winograd_packs *packs)
{
    if (packs == NULL)
        return;
    for (pack *p = atomic_load(&packs->first), *next; p != NULL; p = next) {
        next = p->next;
        gc_free(p->u);
        gc_free(p);
    }
    gc_free(packs);
}

static const pack *find_pack(const gc_winograd_packs *packs, int backward, size_t width)
{
    pack *p = atomic_load_explicit(&packs->first, memory_order_acquire);
    while (p != NULL && (p->backward != backward || p->width != width))
        p = p->next;
    return p;
}

/* U = G g G^T in double. Row i of G is (1, p, p^2) / product of (p - q) over the other points q,
 * for the points p = 0, +-sqrt(1/2), +-sqrt(2); the last row is (0, 0, 1). */
static void transform_kernel(const double g[9], double u[PRODUCTS])
{
    const double points[5] = {0.0, sqrt(0.5), -sqrt(0.5), sqrt(2.0), -sqrt(2.0)};
    double G[SIDE][3] = {{0.0}}, half[SIDE][3];
    for (int i = 0; i < 5; i++) {
        double scale = 1.0;
        for (int j = 0; j < 5; j++)
            scale *= j == i ? 1.0 : points[i] - points[j];
        for (int k = 0; k < 3; k++)
            G[i][k] = (k == 0 ? 1.0 : k == 1 ? points[i] : points[i] * points[i]) / scale;
    }
    G[5][2] = 1.0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < 3; j++)
            half[i][j] = G[i][0] * g[j] + G[i][1] * g[3 + j] + G[i][2] * g[6 + j];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            u[i * SIDE + j] = half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2];
}

typedef struct packing {
    const gc_conv *conv;
    const float *weight;
    int backward;
    size_t width, channels; /* channels: of the input, in whole vectors */
    float *u;
} packing;

/* All of one block of output channels. */
static void pack_block(void *argument, size_t block, size_t worker)
{
    (void)worker;
    const packing *p = argument;
    const size_t in = gc_winograd_inputs(p->conv, p->backward);
    const size_t out = gc_winograd_outputs(p->conv, p->backward);
    const size_t lanes = 2 * p->width;
    float *target = p->u + block * PRODUCTS * p->channels * lanes;
    memset(target, 0, PRODUCTS * p->channels * lanes * sizeof *target);
    for (size_t lane = 0; lane < lanes && block * lanes + lane < out; lane++)
        for (size_t c = 0; c < in; c++) {
            const size_t k = block * lanes + lane;
            const float *w = p->weight + (p->backward ? c * out + k : k * in + c) * 9;
            double g[9], u[PRODUCTS];
            for (int i = 0; i < 9; i++)
                g[i] = w[p->backward ? 8 - i : i];
            transform_kernel(g, u);
            for (size_t xi = 0; xi < PRODUCTS; xi++)
                target[(xi * p->channels + c) * lanes + lane] = (float)u[xi];
        }
}

static pack *make_pack(const gc_conv *conv, const float *weight, gc_engine engine, int backward)
{
    const size_t width = engine.kernels->width;
    const size_t lanes = 2 * width;
    const size_t blocks = gc_divide_up(gc_winograd_outputs(conv, backward), lanes);
    packing p = {.conv = conv,
                 .weight = weight,
                 .backward = backward,
                 .width = width,
                 .channels = gc_divide_up(gc_winograd_inputs(conv, backward), width) * width};
    pack *made = gc_alloc(sizeof *made);
    p.u = gc_alloc(blocks * PRODUCTS * p.channels * lanes * sizeof *p.u);
    if (made == NULL || p.u == NULL) {
        gc_free(made);
        gc_free(p.u);
        return NULL;
    }
    gc_parallel(engine.workers, blocks, pack_block, &p);
    *made = (pack){.backward = backward, .width = width, .u = p.u};
    return made;
}

int gc_winograd_prepare(gc_winograd_packs *packs, const gc_conv *conv, const float *weight,
                        gc_engine engine, int backward)
{
    const size_t width = engine.kernels->width;
    if (find_pack(packs, backward, width) != NULL)
        return 1;
    gc_lock(GC_LOCK_WEIGHTS);
    int there = find_pack(packs, backward, width) != NULL; /* made while this thread waited */
    if (!there) {
        pack *made = make_pack(conv, weight, engine, backward);
        there = made != NULL;
        if (there) {
            made->next = atomic_load(&packs->first);
            atomic_store_explicit(&packs->first, made, memory_order_release);
        }
    }
    gc_unlock(GC_LOCK_WEIGHTS);
    return there;
}

const float *gc_winograd_u(const gc_winograd_packs *packs, int backward, gc_engine engine)
{
    return find_pack(packs, backward, engine.kernels->width)->u;
}
