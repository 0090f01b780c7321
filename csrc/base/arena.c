/* arena.c: the working memory of one pass.
 *
 * In the planning run, the pieces that are taken form a list ordered by offset. A search for a gap
 * starts after all gaps that are known to be too small, so the time for thousands of pieces, as the
 * gradients of a concatenation's inputs, is proportional to their number. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

gc_arena gc_arena_begin(void)
{
    return (gc_arena){.planning = 1};
}

int gc_arena_allocate(gc_arena *arena, size_t besides)
{
    if (arena->failed || besides > SIZE_MAX - arena->bytes
        || !gc_has_memory(arena->bytes + besides))
        return 0;
    arena->memory = gc_alloc(arena->bytes);
    arena->planning = 0;
    return arena->memory != NULL;
}

void gc_arena_restart(gc_arena *arena)
{
    arena->next = 0;
}

void gc_arena_end(gc_arena *arena)
{
    gc_free(arena->pieces);
    gc_free(arena->memory);
}

static int reserve(gc_arena *arena)
{
    if (arena->count < arena->capacity)
        return 1;
    const size_t capacity = arena->capacity == 0 ? 64 : 2 * arena->capacity;
    gc_piece *pieces = gc_alloc(capacity * sizeof *pieces);
    if (pieces == NULL)
        return 0;
    if (arena->count > 0)
        memcpy(pieces, arena->pieces, arena->count * sizeof *pieces);
    gc_free(arena->pieces);
    arena->pieces = pieces;
    arena->capacity = capacity;
    return 1;
}

/* The piece with this number + 1; not for 0. */
static gc_piece *piece_of(const gc_arena *arena, size_t number)
{
    return &arena->pieces[number - 1];
}

/* The piece above another in memory, or, for 0, the lowest one. */
static size_t above(const gc_arena *arena, size_t number)
{
    return number == 0 ? arena->first : piece_of(arena, number)->after;
}

/* Where the gap above a piece begins, and its size. */
static size_t gap_above(const gc_arena *arena, size_t number, size_t *begin)
{
    const size_t next = above(arena, number);
    *begin = number == 0 ? 0 : piece_of(arena, number)->offset + piece_of(arena, number)->bytes;
    return next == 0 ? SIZE_MAX : piece_of(arena, next)->offset - *begin;
}

/* The largest i with 2^i <= bytes; bytes > 0. */
static size_t size_class(size_t bytes)
{
    size_t class = 0;
    while (bytes >>= 1)
        class++;
    return class;
}

/* The piece above which the lowest gap of that size is, or 0 for the start of the memory. */
static size_t find_gap(gc_arena *arena, size_t bytes, size_t *offset)
{
    const size_t class = size_class(bytes);
    size_t number = arena->full[class];
    int all_full = 1; /* no gap that was passed has 2^class bytes */
    for (size_t gap; (gap = gap_above(arena, number, offset)) < bytes;) {
        number = above(arena, number); /* there is one: the last gap has no end */
        all_full = all_full && gap >> class == 0;
        if (all_full)
            arena->full[class] = number;
    }
    return number;
}

static void link_piece(gc_arena *arena, size_t number, size_t below)
{
    gc_piece *piece = piece_of(arena, number);
    piece->before = below;
    piece->after = above(arena, below);
    piece->out = 1;
    if (piece->after != 0)
        piece_of(arena, piece->after)->before = number;
    if (below == 0)
        arena->first = number;
    else
        piece_of(arena, below)->after = number;
}

static void unlink_piece(gc_arena *arena, size_t number)
{
    gc_piece *piece = piece_of(arena, number);
    piece->out = 0;
    if (piece->after != 0)
        piece_of(arena, piece->after)->before = piece->before;
    if (piece->before == 0)
        arena->first = piece->after;
    else
        piece_of(arena, piece->before)->after = piece->after;
    size_t begin;
    const size_t gap = gap_above(arena, piece->before, &begin);
    for (size_t i = 0; i < GC_ARENA_SIZES; i++) {
        const size_t full = arena->full[i];
        if (full == number || (full != 0 && gap >> i > 0 && piece_of(arena, full)->offset > begin))
            arena->full[i] = piece->before;
    }
}

/* In the planning run, a piece's number stands for its address. */
static void *address(const gc_arena *arena, size_t number)
{
    return arena->planning ? (void *)(uintptr_t)(number * GC_ALIGNMENT)
                             : arena->memory + piece_of(arena, number)->offset;
}

void *gc_arena_take(gc_arena *arena, size_t bytes)
{
    bytes = bytes == 0 ? GC_ALIGNMENT : gc_aligned(bytes);
    if (!arena->planning) {
        /* Not what was planned: a programming error. Going on would write to wrong memory. */
        if (arena->next >= arena->count || bytes > arena->pieces[arena->next].bytes)
            abort();
        return address(arena, ++arena->next);
    }
    if (arena->failed || !reserve(arena)) {
        arena->failed = 1;
        return address(arena, arena->capacity + 1); /* of no piece */
    }
    const size_t number = ++arena->count;
    gc_piece *piece = piece_of(arena, number);
    *piece = (gc_piece){.bytes = bytes};
    const size_t below = find_gap(arena, bytes, &piece->offset);
    link_piece(arena, number, below);
    if (bytes > SIZE_MAX - piece->offset) /* more than can be addressed */
        arena->failed = 1;
    else if (piece->offset + bytes > arena->bytes)
        arena->bytes = piece->offset + bytes;
    return address(arena, number);
}

void gc_arena_give(gc_arena *arena, const void *piece)
{
    if (piece == NULL || !arena->planning)
        return;
    const size_t number = (size_t)((uintptr_t)piece / GC_ALIGNMENT);
    if (number <= arena->count && piece_of(arena, number)->out)
        unlink_piece(arena, number);
}
