/* levels.h: the levels for which the kernels are compiled, slowest first. A machine that runs a
 * level also runs those before it.
 *
 *     GC_LEVEL_ENTRY(architecture, name, floats in a vector, compiler flags)
 *
 * dispatch.c includes it with GC_LEVEL_ENTRY defined, and has a function runs_<name> for each level.
 * setup.py and tests/c/Makefile read it line by line, so each entry is one line. -march is set
 * because CFLAGS may select a higher architecture. Compilers need no flag for NEON; vec.h does.
 * wasm32 is WebAssembly. A browser refuses a whole module for one instruction that it does not know,
 * so modules with relaxed SIMD are an architecture of their own, which has the levels of wasm32 too.
 * `other` is every other architecture. */
GC_LEVEL_ENTRY(x86_64, baseline, 4, "-march=x86-64")
GC_LEVEL_ENTRY(x86_64, avx2, 8, "-march=x86-64 -mavx2 -mfma -mf16c")
GC_LEVEL_ENTRY(x86_64, avx512, 16, "-march=x86-64 -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512")
GC_LEVEL_ENTRY(arm64, baseline, 4, "")
GC_LEVEL_ENTRY(arm64, neon, 4, "-DGC_NEON")
GC_LEVEL_ENTRY(wasm32, simd128, 4, "-msimd128 -mno-relaxed-simd")
GC_LEVEL_ENTRY(wasm32_relaxed, relaxed, 4, "-msimd128 -mrelaxed-simd")
GC_LEVEL_ENTRY(other, baseline, 4, "")
#undef GC_LEVEL_ENTRY
