/* vec.h: the vector of the level that is being compiled, and the few operations that compilers do
 * not find by themselves.
 *
 * Vectors are the compiler's own extension (gcc and clang): +, -, * work on them as on floats.
 * Everything else in the kernels is plain C that the compiler vectorises for its level. */
#ifndef GC_KERNELS_VEC_H
#define GC_KERNELS_VEC_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(GC_NEON) /* by the build: every arm64 has NEON, in the baseline too */
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define GC_WASM
#endif

#if defined(__AVX512VL__) || defined(__aarch64__)
#define GC_REGISTERS 32 /* for vectors */
#else
#define GC_REGISTERS 16
#endif

/* Floats in a vector; and the tiles whose products with two vectors of outputs fill the
 * registers: 2 * GC_TILES accumulators, two weights, one value; NEON keeps a vector of values for
 * each tile. */
#if defined(__AVX512VL__)
enum { GC_WIDTH = 16, GC_TILES = 14 };
#elif defined(__AVX2__)
enum { GC_WIDTH = 8, GC_TILES = 6 };
#elif defined(GC_NEON)
enum { GC_WIDTH = 4, GC_TILES = 8 };
#else
enum { GC_WIDTH = 4, GC_TILES = 6 };
#endif

/* The width that levels.h states: flags from elsewhere (-march=native in CFLAGS) must not change
 * it. */
_Static_assert((int)GC_WIDTH == GC_LEVEL_WIDTH, "compiler flags do not fit the level");

typedef float gc_vec __attribute__((vector_size(GC_WIDTH * sizeof(float))));

#define GC_INLINE static inline __attribute__((always_inline))

/* Before a loop with a constant number of rounds, up to 16: unroll all of it. With gcc's pragma,
 * clang may leave a loop, and then keeps sums in memory. */
#if defined(__clang__)
#define GC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GC_UNROLL _Pragma("GCC unroll 16")
#endif

GC_INLINE gc_vec gc_load(const void *x) /* of floats; need not be aligned, even to one */
{
    gc_vec v;
    __builtin_memcpy(&v, x, sizeof v);
    return v;
}

GC_INLINE void gc_store(float *x, gc_vec v)
{
    __builtin_memcpy(x, &v, sizeof v);
}

/* Store at an aligned address what no one reads soon, past the caches. Other threads may read it
 * after gc_stream_end. */
GC_INLINE void gc_stream(float *x, gc_vec v)
{
#if defined(__AVX512VL__)
    _mm512_stream_ps(x, (__m512)v);
#elif defined(__AVX2__)
    _mm256_stream_ps(x, (__m256)v);
#elif defined(__x86_64__)
    _mm_stream_ps(x, (__m128)v);
#else
    gc_store(x, v);
#endif
}

GC_INLINE void gc_stream_end(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

typedef uint32_t gc_uvec __attribute__((vector_size(GC_WIDTH * sizeof(uint32_t))));
typedef uint16_t gc_hvec __attribute__((vector_size(GC_WIDTH * sizeof(uint16_t))));

GC_INLINE gc_uvec gc_load_halves(const uint16_t *x)
{
    gc_hvec v;
    __builtin_memcpy(&v, x, sizeof v);
    return __builtin_convertvector(v, gc_uvec);
}

typedef uint8_t gc_byte_vec __attribute__((vector_size(GC_WIDTH)));

/* Numbers below 256, a byte each. */
GC_INLINE gc_uvec gc_load_bytes(const uint8_t *x)
{
#if defined(__AVX512VL__)
    return (gc_uvec)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)x));
#elif defined(__AVX2__)
    return (gc_uvec)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)x));
#elif defined(GC_NEON)
    uint32_t bytes;
    __builtin_memcpy(&bytes, x, sizeof bytes);
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
#else
    gc_byte_vec v;
    __builtin_memcpy(&v, x, sizeof v);
    return __builtin_convertvector(v, gc_uvec);
#endif
}

GC_INLINE void gc_store_bytes(uint8_t *x, gc_uvec v)
{
#if defined(__AVX512VL__)
    _mm_storeu_si128((__m128i *)x, _mm512_cvtepi32_epi8((__m512i)v));
#elif defined(__AVX2__)
    const __m128i low = _mm256_castsi256_si128((__m256i)v);
    const __m128i halves = _mm_packus_epi32(low, _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64((__m128i *)x, _mm_packus_epi16(halves, halves));
#elif defined(GC_NEON)
    const uint16x4_t halves = vmovn_u32(v);
    const uint32_t bytes =
        vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(halves, halves))), 0);
    __builtin_memcpy(x, &bytes, sizeof bytes);
#else
    const gc_byte_vec bytes = __builtin_convertvector(v, gc_byte_vec);
    __builtin_memcpy(x, &bytes, sizeof bytes);
#endif
}

/* The upper half of a float32 as the float that it is. */
GC_INLINE gc_vec gc_widen_bfloat16(const uint16_t *x)
{
    return (gc_vec)(gc_load_halves(x) << 16);
}

/* IEEE's float of 16 bits as a float, exactly; x finite. */
GC_INLINE gc_vec gc_widen_float16(const uint16_t *x)
{
#if defined(__AVX512VL__)
    return (gc_vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
#elif defined(__F16C__)
    return (gc_vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x));
#elif defined(GC_NEON)
    return (gc_vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
#else
    /* The exponent is moved to float's bias. A subnormal is the difference of two normal floats,
     * both with the minimum exponent. */
    const gc_uvec bits = gc_load_halves(x);
    const gc_uvec size = (bits & 0x7fffu) << 13, sign = (bits & 0x8000u) << 16;
    const gc_vec minimum = (gc_vec)((gc_uvec){0} + (113u << 23)); /* 2^-14 */
    const gc_uvec small = (gc_uvec)((gc_vec)(size + (113u << 23)) - minimum);
    const gc_uvec is_small = (gc_uvec)(size < (1u << 23));
    return (gc_vec)((is_small & small) | (~is_small & (size + (112u << 23))) | sign);
#endif
}

/* All lanes `value`, in a register: one load for the several products that use it. */
GC_INLINE gc_vec gc_broadcast(float value)
{
    gc_vec v = value - (gc_vec){0};
#if defined(__x86_64__)
    __asm__("" : "+v"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* sum += x * y, in one rounding where the level has such an instruction. There are three forms of
 * it; the one that overwrites the addend is stated here, because compilers choose others and then
 * copy registers. */
GC_INLINE void gc_add_product(gc_vec *sum, gc_vec x, gc_vec y)
{
#if defined(__FMA__)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(y));
#elif defined(__wasm_relaxed_simd__) /* which compilers do not use by themselves */
    *sum = (gc_vec)wasm_f32x4_relaxed_madd((v128_t)x, (v128_t)y, (v128_t)*sum);
#else
    *sum += x * y;
#endif
}

/* GC_WIDTH values in a row, each of which multiplies several vectors. NEON multiplies by one lane
 * of a register, so they are loaded together; elsewhere each is broadcast from memory. */
#if defined(GC_NEON)
typedef gc_vec gc_factors;
typedef float gc_factor;
GC_INLINE gc_factors gc_load_factors(const float *x)
{
    gc_vec v = gc_load(x);
    __asm__("" : "+w"(v)); /* else gcc loads each lane by itself */
    return v;
}

GC_INLINE gc_factor gc_factor_of(gc_factors x, size_t lane)
{
    return x[lane];
}

GC_INLINE void gc_add_scaled(gc_vec *sum, gc_vec x, gc_factor factor)
{
    *sum += x * factor;
}
#else
typedef const float *gc_factors;
typedef gc_vec gc_factor;
GC_INLINE gc_factors gc_load_factors(const float *x)
{
    return x;
}

GC_INLINE gc_factor gc_factor_of(gc_factors x, size_t lane)
{
    return gc_broadcast(x[lane]);
}

GC_INLINE void gc_add_scaled(gc_vec *sum, gc_vec x, gc_factor factor)
{
    gc_add_product(sum, x, factor);
}
#endif

/* ---- Masks: one truth a lane ------------------------------------------------------------- */

#if defined(__AVX512VL__)
typedef __mmask16 gc_mask;
#else
typedef int32_t gc_mask __attribute__((vector_size(GC_WIDTH * sizeof(int32_t))));
#endif

/* a > b; false where one is NaN. */
GC_INLINE gc_mask gc_greater(gc_vec a, gc_vec b)
{
#if defined(__AVX512VL__)
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
#else
    return (gc_mask)(a > b);
#endif
}

GC_INLINE gc_mask gc_equal(gc_uvec a, gc_uvec b)
{
#if defined(__AVX512VL__)
    return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b);
#else
    return (gc_mask)(a == b);
#endif
}

GC_INLINE gc_uvec gc_all(uint32_t value)
{
    return value - (gc_uvec){0};
}

/* Whether `value` takes the place of `best` in a maximum: greater, or the first NaN. */
GC_INLINE gc_mask gc_takes(gc_vec value, gc_vec best)
{
#if defined(__AVX512VL__)
    return (gc_mask)(_mm512_cmp_ps_mask((__m512)value, (__m512)best, _CMP_NLE_UQ)
                     & _mm512_cmp_ps_mask((__m512)best, (__m512)best, _CMP_ORD_Q));
#else
    return (gc_mask)(~(value <= best) & (best == best));
#endif
}

/* mask ? a : b */
GC_INLINE gc_vec gc_select(gc_mask mask, gc_vec a, gc_vec b)
{
#if defined(__AVX512VL__)
    return (gc_vec)_mm512_mask_mov_ps((__m512)b, mask, (__m512)a);
#else
    return (gc_vec)((mask & (gc_mask)a) | (~mask & (gc_mask)b));
#endif
}

/* mask ? a : 0 */
GC_INLINE gc_vec gc_keep(gc_mask mask, gc_vec a)
{
#if defined(__AVX512VL__)
    return (gc_vec)_mm512_maskz_mov_ps(mask, (__m512)a);
#else
    return (gc_vec)(mask & (gc_mask)a);
#endif
}

/* Lane i of the result is lane index[i] of x. */
GC_INLINE gc_vec gc_permute(gc_vec x, gc_uvec index)
{
#if defined(__AVX512VL__)
    return (gc_vec)_mm512_permutexvar_ps((__m512i)index, (__m512)x);
#elif defined(__AVX2__)
    return (gc_vec)_mm256_permutevar8x32_ps((__m256)x, (__m256i)index);
#elif defined(GC_NEON)
    const uint8x16_t bytes = vreinterpretq_u8_u32((uint32x4_t)(index * 0x04040404u + 0x03020100u));
    return (gc_vec)vreinterpretq_f32_u8(
        vqtbl1q_u8(vreinterpretq_u8_f32((float32x4_t)x), bytes));
#elif defined(GC_WASM)
    return (gc_vec)wasm_i8x16_swizzle((v128_t)x, (v128_t)(index * 0x04040404u + 0x03020100u));
#else
    return (gc_vec){x[index[0]], x[index[1]], x[index[2]], x[index[3]]};
#endif
}

/* max(x, 0); a NaN stays one. */
GC_INLINE gc_vec gc_rectify(gc_vec x)
{
#if defined(__AVX512VL__)
    return (gc_vec)_mm512_max_ps(_mm512_setzero_ps(), (__m512)x);
#elif defined(__AVX2__)
    return (gc_vec)_mm256_max_ps(_mm256_setzero_ps(), (__m256)x);
#elif defined(GC_WASM)
    return (gc_vec)wasm_f32x4_pmax((v128_t)x, (v128_t)(gc_vec){0});
#else
    return gc_select(gc_greater((gc_vec){0}, x), (gc_vec){0}, x);
#endif
}

/* min(max(x, low), high); a NaN stays one. */
GC_INLINE gc_vec gc_clamp(gc_vec x, gc_vec low, gc_vec high)
{
#if defined(__AVX512VL__)
    return (gc_vec)_mm512_min_ps((__m512)high, _mm512_max_ps((__m512)low, (__m512)x));
#elif defined(__AVX2__)
    return (gc_vec)_mm256_min_ps((__m256)high, _mm256_max_ps((__m256)low, (__m256)x));
#else
    x = gc_select(gc_greater(low, x), low, x);
    return gc_select(gc_greater(x, high), high, x);
#endif
}

/* The bits of a vector begin at a whole byte; bit i is lane i. */
enum { GC_BIT_BYTES = (GC_WIDTH + 7) / 8 };

GC_INLINE void gc_store_bits(uint8_t *bits, gc_mask mask)
{
#if defined(__AVX512VL__)
    __builtin_memcpy(bits, &mask, sizeof mask);
#elif defined(__AVX2__)
    *bits = (uint8_t)_mm256_movemask_ps((__m256)mask);
#elif defined(GC_NEON)
    const gc_mask lanes = {1, 2, 4, 8};
    *bits = (uint8_t)vaddvq_s32((int32x4_t)(lanes & mask));
#elif defined(GC_WASM)
    *bits = (uint8_t)wasm_i32x4_bitmask((v128_t)mask);
#else
    gc_mask lanes = {1, 2, 4, 8};
    lanes &= mask;
    *bits = (uint8_t)(lanes[0] | lanes[1] | lanes[2] | lanes[3]);
#endif
}

GC_INLINE gc_mask gc_load_bits(const uint8_t *bits)
{
#if defined(__AVX512VL__)
    gc_mask mask;
    __builtin_memcpy(&mask, bits, sizeof mask);
    return mask;
#elif defined(__AVX2__)
    const gc_mask lanes = {1, 2, 4, 8, 16, 32, 64, 128};
    return (gc_mask)((lanes & (gc_mask)_mm256_set1_epi8((char)*bits)) == lanes);
#else
    const gc_mask lanes = {1, 2, 4, 8};
    return (gc_mask)((lanes & (int32_t)*bits) == lanes);
#endif
}

/* ---- Bits of plain rows -------------------------------------------------------------------- */

#if defined(GC_NEON)
/* Bit i of the sum of both: lane i of the first, i < 4, and lane i - 4 of the second. */
static const uint32x4_t GC_LOW_BITS = {1, 2, 4, 8}, GC_HIGH_BITS = {16, 32, 64, 128};
#endif

/* Bit i is set where x[i] > 0, i < 8. */
static inline uint8_t gc_positive_bits(const float *x)
{
#if defined(__AVX512VL__)
    return (uint8_t)_mm256_cmp_ps_mask(_mm256_loadu_ps(x), _mm256_setzero_ps(), _CMP_GT_OQ);
#elif defined(__AVX2__)
    return (uint8_t)_mm256_movemask_ps(
        _mm256_cmp_ps(_mm256_loadu_ps(x), _mm256_setzero_ps(), _CMP_GT_OQ));
#elif defined(GC_NEON)
    const uint32x4_t low = vandq_u32(vcgtzq_f32(vld1q_f32(x)), GC_LOW_BITS);
    const uint32x4_t high = vandq_u32(vcgtzq_f32(vld1q_f32(x + 4)), GC_HIGH_BITS);
    return (uint8_t)vaddvq_u32(vorrq_u32(low, high));
#elif defined(GC_WASM)
    const v128_t zero = wasm_f32x4_const_splat(0.0f);
    return (uint8_t)(wasm_i32x4_bitmask(wasm_f32x4_gt(wasm_v128_load(x), zero))
                     | wasm_i32x4_bitmask(wasm_f32x4_gt(wasm_v128_load(x + 4), zero)) << 4);
#else
    unsigned bits = 0;
    for (unsigned i = 0; i < 8; i++)
        bits |= (unsigned)(x[i] > 0.0f) << i;
    return (uint8_t)bits;
#endif
}

/* y[i] = bit i of bits ? x[i] : 0, i < 8; y may be x. */
static inline void gc_mask_by_bits(uint8_t bits, const float *x, float *y)
{
#if defined(__AVX512VL__)
    _mm256_storeu_ps(y, _mm256_maskz_mov_ps(bits, _mm256_loadu_ps(x)));
#elif defined(__AVX2__)
    const __m256i select = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(bits), select);
    const __m256i mask = _mm256_cmpeq_epi32(set, select);
    _mm256_storeu_ps(y, _mm256_and_ps(_mm256_castsi256_ps(mask), _mm256_loadu_ps(x)));
#elif defined(GC_NEON)
    const uint32x4_t all = vdupq_n_u32(bits);
    const uint32x4_t low = vreinterpretq_u32_f32(vld1q_f32(x));
    const uint32x4_t high = vreinterpretq_u32_f32(vld1q_f32(x + 4));
    vst1q_f32(y, vreinterpretq_f32_u32(vandq_u32(low, vtstq_u32(all, GC_LOW_BITS))));
    vst1q_f32(y + 4, vreinterpretq_f32_u32(vandq_u32(high, vtstq_u32(all, GC_HIGH_BITS))));
#else
    for (unsigned i = 0; i < 8; i++)
        y[i] = bits >> i & 1u ? x[i] : 0.0f;
#endif
}

#endif
