/* sgemm.c: the only caller of OpenBLAS.
 *
 * CBLAS is declared here instead of included: its few functions that are needed are the same
 * in every OpenBLAS, whose symbols may carry a prefix (GC_BLAS_PREFIX, `scipy_` in the build
 * that PyPI offers). */
#include "layers/sgemm.h"

#include <string.h>

#include "kernels/kernels.h"

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
extern void BLAS(cblas_sgemv)(int order, int transpose, int m, int n, float alpha,
                              const float *a, int lda, const float *x, int incx, float beta,
                              float *y, int incy);
extern char *BLAS(openblas_get_config)(void);
extern int BLAS(openblas_get_num_threads)(void);
extern void BLAS(openblas_set_num_threads)(int threads);

void gc_sgemm(int transpose_a, int transpose_b, size_t m, size_t n, size_t k, const float *a,
              size_t lda, const float *b, size_t ldb, float *c, size_t ldc)
{
    if (strcmp(gc_kernels_active()->level, "reference") == 0) {
        gc_gemm_reference(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, c, ldc);
    } else if (m == 1 && !transpose_a) {
        /* One row: c = op(B)^T a reads B once, at the speed of memory. */
        const size_t rows = transpose_b ? n : k, columns = transpose_b ? k : n;
        BLAS(cblas_sgemv)(ROW_MAJOR, transpose_b ? NO_TRANSPOSE : TRANSPOSE, (int)rows,
                          (int)columns, 1.0f, b, (int)ldb, a, 1, 0.0f, c, 1);
    } else {
        BLAS(cblas_sgemm)(ROW_MAJOR, transpose_a ? TRANSPOSE : NO_TRANSPOSE,
                          transpose_b ? TRANSPOSE : NO_TRANSPOSE, (int)m, (int)n, (int)k, 1.0f,
                          a, (int)lda, b, (int)ldb, 0.0f, c, (int)ldc);
    }
}

const char *gc_blas_config(void)
{
    return BLAS(openblas_get_config)();
}

int gc_threads(void)
{
    return BLAS(openblas_get_num_threads)();
}

void gc_set_threads(int threads)
{
    BLAS(openblas_set_num_threads)(threads);
}
