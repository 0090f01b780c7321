/* blas.c: what the core asks of OpenBLAS (layers/sgemm.c), in plain loops: for pages, and for tests
 * on a machine whose OpenBLAS is not at hand. */
#include "kernels/kernels.h"

enum { TRANSPOSE = 112 };

void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
char *openblas_get_config(void);
int openblas_get_parallel(void);
int openblas_get_num_threads(void);
void openblas_set_num_threads(int threads);

/* Row-major, with alpha = 1 and beta = 0, as the core calls it. */
void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc)
{
    (void)order, (void)alpha, (void)beta;
    gc_gemm_reference(transpose_a == TRANSPOSE, transpose_b == TRANSPOSE, (size_t)m, (size_t)n,
                      (size_t)k, a, (size_t)lda, b, (size_t)ldb, c, (size_t)ldc);
}

char *openblas_get_config(void)
{
    static char name[] = "stand-in";
    return name;
}

int openblas_get_parallel(void)
{
    return 1;
}

static int threads_set = 2;

int openblas_get_num_threads(void)
{
    return threads_set;
}

void openblas_set_num_threads(int threads)
{
    threads_set = threads;
}
