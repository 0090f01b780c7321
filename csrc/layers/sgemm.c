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

/* Products below this many multiplications run on one thread: waking another costs more. */
static const double SMALL_PRODUCT = 4e6;

/* OpenBLAS counts its threads for the whole process, where others may use it too: the count is
 * put back after each product, and one product runs at a time. */
void gc_sgemm(gc_engine engine, int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
              const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc)
{
    if (engine.kernels->width == 1) { /* the reference level */
        gc_gemm_reference(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, c, ldc);
        return;
    }
    const int threads =
        (double)m * (double)n * (double)k < SMALL_PRODUCT ? 1 : (int)engine.workers;
    gc_lock(GC_LOCK_BLAS);
    const int before = BLAS(openblas_get_num_threads)();
    if (before != threads)
        BLAS(openblas_set_num_threads)(threads);
    BLAS(cblas_sgemm)(ROW_MAJOR, transpose_a ? TRANSPOSE : NO_TRANSPOSE,
                      transpose_b ? TRANSPOSE : NO_TRANSPOSE, (int)m, (int)n, (int)k, 1.0f, a,
                      (int)lda, b, (int)ldb, 0.0f, c, (int)ldc);
    if (before != threads)
        BLAS(openblas_set_num_threads)(before);
    gc_unlock(GC_LOCK_BLAS);
}

const char *gc_blas_config(void)
{
    return BLAS(openblas_get_config)();
}
