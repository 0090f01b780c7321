/* sgemm.c: the only caller of OpenBLAS.
 *
 * CBLAS is declared here instead of included: its few functions that are needed are the same
 * in every OpenBLAS, whose symbols may carry a prefix (GC_BLAS_PREFIX, `scipy_` in the build
 * that PyPI offers). */
#include "layers/sgemm.h"

#include "base/threads.h"

#ifdef GC_BLAS_PREFIX
#define JOIN_(prefix, name) prefix##name
#define JOIN(prefix, name) JOIN_(prefix, name)
#define BLAS(name) JOIN(GC_BLAS_PREFIX, name)
#else
#define BLAS(name) name
#endif

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

extern void BLAS(cblas_sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k,
                              float alpha, const float *a, int lda, const float *b, int ldb,
                              float beta, float *c, int ldc);
extern char *BLAS(openblas_get_config)(void);
extern int BLAS(openblas_get_num_threads)(void);
extern void BLAS(openblas_set_num_threads)(int threads);

/* Multiplications that a thread takes at a time. */
static const double PART = 8e6;
enum { LEAST_COLUMNS = 64 };

typedef struct product {
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
    const size_t count = left < p->columns ? left : p->columns;
    BLAS(cblas_sgemm)(ROW_MAJOR, p->transpose_a ? TRANSPOSE : NO_TRANSPOSE,
                      p->transpose_b ? TRANSPOSE : NO_TRANSPOSE, (int)p->m, (int)count,
                      (int)p->k, 1.0f, p->a, (int)p->lda,
                      p->b + first * (p->transpose_b ? p->ldb : 1), (int)p->ldb, 0.0f,
                      p->c + first, (int)p->ldc);
}

/* OpenBLAS's own threads, once woken, spin for a while and take the processors from ours. So it
 * runs on one thread, and ours share out the columns of C. Its count of threads is the whole
 * process's, where others may use it too: it is put back after each product. */
void gc_sgemm(gc_engine engine, int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
              const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc)
{
    if (engine.kernels->width == 1) { /* the reference level */
        gc_gemm_reference(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, c, ldc);
        return;
    }
    product p = {.transpose_a = transpose_a,
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
    p.columns = columns < LEAST_COLUMNS ? LEAST_COLUMNS
                : columns < (double)n   ? (size_t)columns / LEAST_COLUMNS * LEAST_COLUMNS
                                        : n;
    gc_lock(GC_LOCK_BLAS);
    const int before = BLAS(openblas_get_num_threads)();
    if (before != 1)
        BLAS(openblas_set_num_threads)(1);
    gc_parallel(engine.workers, (n + p.columns - 1) / p.columns, some_columns, &p);
    if (before != 1)
        BLAS(openblas_set_num_threads)(before);
    gc_unlock(GC_LOCK_BLAS);
}

const char *gc_blas_config(void)
{
    return BLAS(openblas_get_config)();
}
