/* arena.c: the working memory of one pass. Pieces are few, some dozens: lists are searched. */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/memory.h"

gc_arena gc_arena_begin(void)
{
    return (gc_arena){.rehearsing = 1};
}

int gc_arena_perform(gc_arena *arena, size_t besides)
{
    if (arena->failed || besides > SIZE_MAX - arena->bytes
        || !gc_has_memory(arena->bytes + besides))
        return 0;
    arena->memory = gc_alloc(arena->bytes);
    arena->rehearsing = 0;
    return arena->memory != NULL;
}

void gc_arena_again(gc_arena *arena)
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

/* The first piece that is taken and overlaps `bytes` from `offset` on; or NULL. */
static const gc_piece *in_the_way(const gc_arena *arena, size_t offset, size_t bytes)
{
    for (size_t i = 0; i < arena->count; i++) {
        const gc_piece *piece = &arena->pieces[i];
        if (piece->taken && piece->offset < offset + bytes
            && offset < piece->offset + piece->bytes)
            return piece;
    }
    return NULL;
}

/* The lowest place of that size that is free: at the start, or right behind some piece. */
static size_t lowest_place(const gc_arena *arena, size_t bytes)
{
    size_t best = SIZE_MAX;
    if (in_the_way(arena, 0, bytes) == NULL)
        return 0;
    for (size_t i = 0; i < arena->count; i++) {
        const gc_piece *piece = &arena->pieces[i];
        const size_t behind = piece->offset + piece->bytes;
        if (piece->taken && behind < best && in_the_way(arena, behind, bytes) == NULL)
            best = behind;
    }
    return best;
}

/* Offsets become addresses behind this one in the rehearsal, so that none is NULL. */
static char *const nowhere = (char *)GC_ALIGNMENT;

static void *address(const gc_arena *arena, const gc_piece *piece)
{
    if (arena->rehearsing)
        return (void *)((uintptr_t)nowhere + piece->offset);
    return arena->memory + piece->offset;
}

void *gc_arena_take(gc_arena *arena, size_t bytes)
{
    if (!arena->rehearsing)
        return address(arena, &arena->pieces[arena->next++]);
    bytes = bytes == 0 ? GC_ALIGNMENT : (bytes + GC_ALIGNMENT - 1) / GC_ALIGNMENT * GC_ALIGNMENT;
    if (arena->failed || !reserve(arena)) {
        arena->failed = 1;
        return nowhere;
    }
    gc_piece piece = {.offset = lowest_place(arena, bytes), .bytes = bytes, .taken = 1};
    arena->pieces[arena->count++] = piece;
    if (piece.offset + bytes > arena->bytes)
        arena->bytes = piece.offset + bytes;
    return address(arena, &piece);
}

void gc_arena_give(gc_arena *arena, const void *piece)
{
    for (size_t i = 0; piece != NULL && arena->rehearsing && i < arena->count; i++)
        if (arena->pieces[i].taken && address(arena, &arena->pieces[i]) == piece) {
            arena->pieces[i].taken = 0;
            return;
        }
}
