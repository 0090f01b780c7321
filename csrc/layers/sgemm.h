/* sgemm.h: the matrix product, and what the core says about its BLAS. */
#ifndef GC_LAYERS_SGEMM_H
#define GC_LAYERS_SGEMM_H

#include "layers/layer.h"

/* The symbols of OpenBLAS may carry a prefix: `scipy_` in the build that PyPI offers. */
#ifdef GC_BLAS_PREFIX
#define GC_JOIN_(prefix, name) prefix##name
#define GC_JOIN(prefix, name) GC_JOIN_(prefix, name)
#define GC_BLAS(name) GC_JOIN(GC_BLAS_PREFIX, name)
#else
#define GC_BLAS(name) name
#endif

/* C[m][n] = op(A) op(B), row-major, op(A) m x k, op(B) k x n, leading dimensions in floats;
 * all sizes at most INT32_MAX. C need not be initialised. */
void gc_sgemm(gc_engine engine, int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
              const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc);

/* The same on the calling thread alone, between gc_blas_begin and gc_blas_end: for work whose
 * parts are shared out already. */
void gc_sgemm_alone(gc_engine engine, int transpose_a, int transpose_b, size_t m, size_t n,
                    size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                    size_t ldc);

typedef struct gc_blas {
    size_t workers; /* threads that may call gc_sgemm_alone at once; 0: the call is to end early */
    int threads;    /* of OpenBLAS, before */
} gc_blas;

gc_blas gc_blas_begin(gc_engine engine);
void gc_blas_end(gc_blas blas);

#endif
