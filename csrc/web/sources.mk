# sources.mk: how the core is compiled to WebAssembly, for csrc/web/Makefile and tests/c/Makefile.
# CSRC is the folder csrc. Debian: clang-19, lld-19, wasi-libc, libclang-rt-19-dev-wasm32.
WEB_CC      := clang-19
WEB_TARGET  := --target=wasm32-wasi -nostdlibinc -isystem /usr/include/wasm32-wasi -msimd128
# One thread, no files and no clock: files of web/ replace some of base/, and OpenBLAS.
WEB_CORE    := $(wildcard $(CSRC)/layers/*.c $(CSRC)/network/*.c) \
               $(addprefix $(CSRC)/base/,arena.c fingerprint.c memory.c status.c watch.c) \
               $(CSRC)/kernels/dispatch.c $(CSRC)/kernels/reference/reference.c \
               $(addprefix $(CSRC)/web/,available.c blas.c clock.c threads.c)
WEB_LINK    := -nostdlib -fuse-ld=lld -L/usr/lib/wasm32-wasi
WEB_RUNTIME = -lc $(shell $(WEB_CC) -print-resource-dir)/lib/wasi/libclang_rt.builtins-wasm32.a
