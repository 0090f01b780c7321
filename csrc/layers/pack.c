/* pack.c: the transformed weights of a layer, each made once, at its first use, or lent. */
#include "layers/pack.h"

#include "base/memory.h"
#include "base/threads.h"
#include "base/watch.h"

gc_packs *gc_packs_new(void)
{
    gc_packs *packs = gc_alloc(sizeof *packs);
    if (packs == NULL)
        return NULL;
    atomic_init(&packs->first, NULL);
    return packs;
}

static void free_pack(gc_pack *pack)
{
    if (pack == NULL)
        return;
    gc_free(pack->owned);
    gc_free(pack->verified);
    gc_free(pack);
}

void gc_packs_free(gc_packs *packs)
{
    if (packs == NULL)
        return;
    for (gc_pack *p = atomic_load(&packs->first), *next; p != NULL; p = next) {
        next = p->next;
        free_pack(p);
    }
    gc_free(packs);
}

gc_pack *gc_pack_find(const gc_layer *layer, gc_pack_id id)
{
    gc_pack *p = atomic_load_explicit(&layer->packs->first, memory_order_acquire);
    while (p != NULL && (p->id.kind != id.kind || p->id.variant != id.variant))
        p = p->next;
    return p;
}

/* Called with the lock. */
static void add_pack(const gc_layer *layer, gc_pack *pack)
{
    pack->next = atomic_load(&layer->packs->first);
    atomic_store_explicit(&layer->packs->first, pack, memory_order_release);
}

/* NULL: no memory, or stopped. Called with the lock. */
static gc_pack *make_pack(const gc_layer *layer, gc_pack_id id, gc_engine engine)
{
    gc_pack *made = gc_alloc_zeroed(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->id = id;
    made->owned = gc_alloc(layer->type->pack_bytes(layer, id, engine));
    made->data = made->owned;
    if (made->owned != NULL)
        layer->type->make_pack(layer, id, engine, made->owned);
    if (made->owned == NULL || gc_stopped()) {
        free_pack(made);
        return NULL;
    }
    add_pack(layer, made);
    return made;
}

gc_pack *gc_pack_prepare(const gc_layer *layer, gc_pack_id id, gc_engine engine)
{
    gc_pack *found = gc_pack_find(layer, id);
    if (found != NULL)
        return found;
    if (!gc_lock_or_stop(GC_LOCK_WEIGHTS))
        return NULL;
    found = gc_pack_find(layer, id); /* made while this thread waited? */
    if (found == NULL)
        found = make_pack(layer, id, engine);
    gc_unlock(GC_LOCK_WEIGHTS);
    return found;
}

/* NULL: no memory. */
static gc_pack *lent_pack(const gc_layer *layer, gc_pack_id id, const void *data)
{
    gc_pack *made = gc_alloc_zeroed(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->id = id;
    made->data = data;
    if (id.kind == GC_PACK_INPUT_MAJOR) {
        made->verified = gc_alloc_zeroed(layer->linear.in, sizeof *made->verified);
        if (made->verified == NULL) {
            free_pack(made);
            return NULL;
        }
    }
    return made;
}

int gc_pack_lend(const gc_layer *layer, gc_pack_id id, const void *data, int *taken)
{
    *taken = 0;
    gc_pack *made = lent_pack(layer, id, data);
    if (made == NULL || !gc_lock_or_stop(GC_LOCK_WEIGHTS)) {
        free_pack(made);
        return 0;
    }
    *taken = gc_pack_find(layer, id) == NULL;
    if (*taken)
        add_pack(layer, made);
    gc_unlock(GC_LOCK_WEIGHTS);
    if (!*taken)
        free_pack(made);
    return 1;
}
