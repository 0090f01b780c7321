/* arena.c: the working memory of one pass. Few pieces are out at a time: their list is searched. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
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

/* The piece that is out and was taken before this one, or the last one; NULL: none. */
static gc_piece *next_out(const gc_arena *arena, size_t number)
{
    return number == 0 ? NULL : &arena->pieces[number - 1];
}

/* Whether no piece that is out overlaps `bytes` from `offset` on. */
static int is_free(const gc_arena *arena, size_t offset, size_t bytes)
{
    for (const gc_piece *p = next_out(arena, arena->out); p != NULL; p = next_out(arena, p->below))
        if (p->offset < offset + bytes && offset < p->offset + p->bytes)
            return 0;
    return 1;
}

/* The lowest place of that size that is free: at the start, or right behind some piece. */
static size_t lowest_place(const gc_arena *arena, size_t bytes)
{
    size_t best = SIZE_MAX;
    if (is_free(arena, 0, bytes))
        return 0;
    const gc_piece *p = next_out(arena, arena->out);
    for (; p != NULL; p = next_out(arena, p->below)) {
        const size_t behind = p->offset + p->bytes;
        if (behind < best && is_free(arena, behind, bytes))
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
    bytes = bytes == 0 ? GC_ALIGNMENT : (bytes + GC_ALIGNMENT - 1) / GC_ALIGNMENT * GC_ALIGNMENT;
    if (!arena->rehearsing) {
        /* Not what was rehearsed: an error of the program, and writing on would be worse. */
        if (arena->next >= arena->count || bytes > arena->pieces[arena->next].bytes)
            abort();
        return address(arena, &arena->pieces[arena->next++]);
    }
    if (arena->failed || !reserve(arena)) {
        arena->failed = 1;
        return nowhere;
    }
    gc_piece *piece = &arena->pieces[arena->count++];
    *piece = (gc_piece){.offset = lowest_place(arena, bytes), .bytes = bytes, .below = arena->out};
    arena->out = arena->count;
    if (piece->offset + bytes > arena->bytes)
        arena->bytes = piece->offset + bytes;
    return address(arena, piece);
}

void gc_arena_give(gc_arena *arena, const void *piece)
{
    if (piece == NULL || !arena->rehearsing)
        return;
    for (size_t *link = &arena->out; *link != 0; link = &arena->pieces[*link - 1].below)
        if (address(arena, &arena->pieces[*link - 1]) == piece) {
            *link = arena->pieces[*link - 1].below;
            return;
        }
}
