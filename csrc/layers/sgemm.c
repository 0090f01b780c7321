/* sgemm.c: the only caller of OpenBLAS.
 *
 * The few functions of CBLAS are declared here instead of included: they are the same in every
 * OpenBLAS. */
#include "layers/sgemm.h"

#include "base/threads.h"
#include "base/watch.h"

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

extern void GC_BLAS(cblas_sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k,
                                 float alpha, const float *a, int lda, const float *b, int ldb,
                                 float beta, float *c, int ldc);
extern char *GC_BLAS(openblas_get_config)(void);
extern int GC_BLAS(openblas_get_parallel)(void); /* 2: built with OpenMP */
extern int GC_BLAS(openblas_get_num_threads)(void);
extern void GC_BLAS(openblas_set_num_threads)(int threads);

/* OpenBLAS's threads spin for a while after their work and slow down the threads of the pool. So
 * OpenBLAS runs on one thread, and the pool shares out the work. If OpenBLAS was built with OpenMP,
 * which would start a team for each thread of the pool, its own threads share out the work. Its
 * number of threads is that of the whole process, which may use OpenBLAS elsewhere: it is restored
 * after each use. */
gc_blas gc_blas_begin(gc_engine engine)
{
    const int openmp = GC_BLAS(openblas_get_parallel)() == 2;
    const int threads = openmp ? (int)engine.workers : 1;
    if (!gc_lock_or_stop(GC_LOCK_BLAS))
        return (gc_blas){0};
    const gc_blas blas = {.workers = openmp ? 1 : engine.workers,
                          .threads = GC_BLAS(openblas_get_num_threads)()};
    if (blas.threads != threads)
        GC_BLAS(openblas_set_num_threads)(threads);
    return blas;
}

void gc_blas_end(gc_blas blas)
{
    if (blas.workers == 0)
        return;
    GC_BLAS(openblas_set_num_threads)(blas.threads);
    gc_unlock(GC_LOCK_BLAS);
}

static void multiply(gc_engine engine, int transpose_a, int transpose_b, size_t m, size_t n,
                     size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                     size_t ldc)
{
    if (engine.kernels->is_reference)
        gc_gemm_reference(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, c, ldc);
    else
        GC_BLAS(cblas_sgemm)(ROW_MAJOR, transpose_a ? TRANSPOSE : NO_TRANSPOSE,
                             transpose_b ? TRANSPOSE : NO_TRANSPOSE, (int)m, (int)n, (int)k,
                             1.0f, a, (int)lda, b, (int)ldb, 0.0f, c, (int)ldc);
}

/* Multiplications between two calls of gc_should_stop. Rows are divided by whole blocks of
 * OpenBLAS, so that every value has the same sums, in the same order. */
static const double MAX_PRODUCTS = 1e9, MAX_REFERENCE_PRODUCTS = 5e7;
enum { ROW_BLOCK = 256 };

static size_t rows_at_a_time(gc_engine engine, size_t m, size_t n, size_t k)
{
    const int reference = engine.kernels->is_reference;
    const size_t block = reference ? 1 : ROW_BLOCK;
    const double blocks = (reference ? MAX_REFERENCE_PRODUCTS : MAX_PRODUCTS)
                          / ((double)n * (double)k * (double)block);
    return blocks * (double)block >= (double)m ? m : blocks < 1.0 ? block : (size_t)blocks * block;
}

void gc_sgemm_alone(gc_engine engine, int transpose_a, int transpose_b, size_t m, size_t n,
                    size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                    size_t ldc)
{
    const size_t rows = rows_at_a_time(engine, m, n, k);
    for (size_t first = 0; first < m && !gc_should_stop(); first += rows)
        multiply(engine, transpose_a, transpose_b, gc_min(m - first, rows), n, k,
                 a + first * (transpose_a ? 1 : lda), lda, b, ldb, c + first * ldc, ldc);
}

/* Multiplications of a part, and the minimum number of columns of C. */
static const double PART = 8e6;
enum { MIN_COLUMNS = 64 };

typedef struct product {
    gc_engine engine;
    int transpose_a, transpose_b;
    size_t m, n, k, lda, ldb, ldc;
    const float *a, *b;
    float *c;
    size_t columns; /* of C in a part */
} product;

static void some_columns(void *argument, size_t part, size_t worker)
{
    (void)worker;
    const product *p = argument;
    const size_t first = part * p->columns, left = p->n - first;
    gc_sgemm_alone(p->engine, p->transpose_a, p->transpose_b, p->m,
                   gc_min(left, p->columns), p->k, p->a, p->lda,
                   p->b + first * (p->transpose_b ? p->ldb : 1), p->ldb, p->c + first, p->ldc);
}

void gc_sgemm(gc_engine engine, int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
              const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc)
{
    product p = {.engine = engine,
                 .transpose_a = transpose_a,
                 .transpose_b = transpose_b,
                 .m = m,
                 .n = n,
                 .k = k,
                 .lda = lda,
                 .ldb = ldb,
                 .ldc = ldc,
                 .a = a,
                 .b = b,
                 .c = c};
    const double columns = PART / ((double)m * (double)k);
    p.columns = columns < MIN_COLUMNS ? MIN_COLUMNS
                : columns < (double)n ? (size_t)columns / MIN_COLUMNS * MIN_COLUMNS
                                      : n;
    const gc_blas blas = gc_blas_begin(engine);
    gc_parallel(blas.workers, gc_divide_up(n, p.columns), some_columns, &p);
    gc_blas_end(blas);
}

const char *gc_blas_config(void)
{
    return GC_BLAS(openblas_get_config)();
}
