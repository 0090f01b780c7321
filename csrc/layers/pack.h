/* pack.h: the transformed weights of a layer: see gradcam.h. */
#ifndef GC_LAYERS_PACK_H
#define GC_LAYERS_PACK_H

#include <stdatomic.h>

#include "layers/layer.h"

/* One form of a layer's weights. */
typedef struct gc_pack {
    struct gc_pack *next;
    gc_pack_id id;
    void *owned; /* or NULL: lent */
    const void *data;
    atomic_uchar *verified; /* [rows] of an input-major one: fingerprint was correct; or NULL */
    atomic_int damaged;     /* one was wrong: the pack is no longer used */
} gc_pack;

/* The packs of a layer, in any order. */
struct gc_packs {
    _Atomic(gc_pack *) first;
};

gc_packs *gc_packs_new(void); /* NULL: no memory */
void gc_packs_free(gc_packs *packs);

/* NULL: there is none of this kind. */
gc_pack *gc_pack_find(const gc_layer *layer, gc_pack_id id);
/* Find it, or make it. NULL: no memory, or the call is to end early. Several threads may call it
 * at once. */
gc_pack *gc_pack_prepare(const gc_layer *layer, gc_pack_id id, gc_engine engine);
/* Use the caller's pack unless the layer has one of this kind; *taken: whether it is used, and must
 * outlive the layer. 0: no memory, or the call is to end early. */
int gc_pack_lend(const gc_layer *layer, gc_pack_id id, const void *data, int *taken);

#endif
