/* arena.h: the working memory of one pass, in one block.
 *
 * A pass runs twice through the same code. In the planning run nothing is computed: each piece is
 * planned at the lowest offset that is free when it is taken, and its memory is free again when it
 * is given back. Then the arena allocates memory for all pieces, or the pass ends before it
 * computes anything. In the real run the pieces are taken in the same order, at the planned
 * offsets. */
#ifndef GC_BASE_ARENA_H
#define GC_BASE_ARENA_H

#include <stddef.h>

typedef struct gc_piece {
    size_t offset, bytes;
    size_t before, after; /* planning run: its neighbours in memory, by number + 1, or 0 */
    int out;              /* planning run: whether it is taken and not yet given back */
} gc_piece;

enum { GC_ARENA_SIZES = 8 * sizeof(size_t) }; /* powers of two that a size can have */

typedef struct gc_arena {
    int planning;
    int failed;              /* no memory for the list of pieces */
    gc_piece *pieces;        /* in the order in which they are taken */
    size_t count, capacity;
    size_t first;            /* planning run: the piece at the lowest offset, by number + 1, or 0 */
    /* Planning run: the piece before which no gap has 2^i bytes, by number + 1, or 0. */
    size_t full[GC_ARENA_SIZES];
    size_t next;             /* real run: the piece to be taken next */
    size_t bytes;            /* that all of them need */
    char *memory;
} gc_arena;

/* An arena that begins a planning run. */
gc_arena gc_arena_begin(void);
/* From the planning run to the real run; 0: no memory, for the pieces and `besides` bytes that the
 * pass will write elsewhere. */
int gc_arena_allocate(gc_arena *arena, size_t besides);
/* From the end of a real run to the beginning of the next one. */
void gc_arena_restart(gc_arena *arena);
void gc_arena_end(gc_arena *arena);

/* A piece, aligned to GC_ALIGNMENT; never NULL. In the planning run it is an address that
 * identifies the piece, and must not be read or written. */
void *gc_arena_take(gc_arena *arena, size_t bytes);
void gc_arena_give(gc_arena *arena, const void *piece); /* NULL is fine */

#endif
