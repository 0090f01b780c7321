/* arena.h: the working memory of one pass, in one block planned from lifetimes.
 *
 * A pass is gone through twice by the same code. In the rehearsal nothing is computed: each piece
 * that is taken gets the lowest place that is free between its being taken and given back. Then
 * the arena has memory for all of them, or the pass ends before it has begun; and in the
 * performance the pieces, taken in the same order, are where the rehearsal has put them. */
#ifndef GC_BASE_ARENA_H
#define GC_BASE_ARENA_H

#include <stddef.h>

typedef struct gc_piece {
    size_t offset, bytes;
    size_t before, after; /* rehearsing: its neighbours in memory, by number + 1, or 0 */
    int out;              /* rehearsing: whether it is taken and not yet given back */
} gc_piece;

enum { GC_ARENA_SIZES = 64 }; /* powers of two */

typedef struct gc_arena {
    int rehearsing;
    int failed;              /* no memory for the list of pieces */
    gc_piece *pieces;        /* in the order in which they are taken */
    size_t count, capacity;
    size_t first;            /* rehearsing: the piece at the lowest offset, by number + 1, or 0 */
    /* Rehearsing: the piece before which no gap has 2^i bytes, by number + 1, or 0. */
    size_t full[GC_ARENA_SIZES];
    size_t next;             /* performing: the piece to be taken next */
    size_t bytes;            /* that all of them need */
    char *memory;
} gc_arena;

/* An arena in rehearsal. */
gc_arena gc_arena_begin(void);
/* From the rehearsal to the performance; 0: no memory, for the pieces and the bytes that the pass
 * is going to write besides. */
int gc_arena_perform(gc_arena *arena, size_t besides);
/* From the end of a performance to the beginning of the next. */
void gc_arena_again(gc_arena *arena);
void gc_arena_end(gc_arena *arena);

/* A piece, aligned to GC_ALIGNMENT; never NULL. In the rehearsal an address that identifies the
 * piece, and must not be read or written. */
void *gc_arena_take(gc_arena *arena, size_t bytes);
void gc_arena_give(gc_arena *arena, const void *piece); /* NULL is fine */

#endif
