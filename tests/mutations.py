"""Mutation run: insert one fault at a time into the core and check that the quick tests find it.

    python tests/mutations.py [NAME ...]

Works on a copy of the repository in a temporary folder, with the packages of the current Python
(`pip install -e ".[test]"`). Each fault replaces an exact text in one file; only changed files are
compiled again. NAME selects the faults whose names contain it.

Exit status 1 if a fault survives its tests, or if its text does not occur exactly once in its file.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 300
"""Seconds for the tests of one fault; a fault that makes them hang counts as found."""

CORE = ("tests/test_core.py", "tests/test_pooled.py", "tests/test_reproducible.py")
INPUT_MAJOR = ("tests/test_input_major.py",)
RELEVANCE = ("tests/test_relevance.py",)
SEQUENCES = ("tests/test_sequences.py",)
KERNELS = ("C",)
"""Run tests/c/test_kernels.c instead of pytest."""


@dataclass(frozen=True)
class Fault:
    """A fault: in a file of csrc/, `old` is replaced by `new`."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = CORE


FAULTS = [
    # --- Winograd ---
    Fault(
        "Winograd: a sign in the transform of the input",
        "kernels/winograd.c",
        "odd_b = B * d3 - A * d1",
        "odd_b = B * d3 + A * d1",
    ),
    Fault(
        "Winograd: a sign in the transform of the output",
        "kernels/winograd_output.c",
        "o[2] = A2 * sum_a + B2 * sum_b;",
        "o[2] = A2 * sum_a - B2 * sum_b;",
    ),
    Fault(
        "Winograd: the kernels of the gradient are not rotated",
        "kernels/winograd_weights.c",
        "from[k->rotated ? TAPS - 1 - tap : tap]",
        "from[tap]",
    ),
    Fault(
        "Winograd: the last column of tiles is stored beyond the map's edge",
        "kernels/winograd_output.c",
        "t.width = w->in.width - t.x < STEP ? w->in.width - t.x : STEP;",
        "t.width = STEP;",
    ),
    Fault(
        "Winograd: a row of windows beyond a map of odd height is pooled",
        "kernels/winograd_output.c",
        "if (i < t.height / 2 && j < t.width / 2)",
        "if (i < (t.height + 1) / 2 && j < t.width / 2)",
    ),
    Fault(
        "Winograd: the second set of gradients uses wrong bits of the ReLU",
        "kernels/winograd_output.c",
        "gc_record_index(o->blocks, o->height, o->width, t.image % f->recorded,",
        "gc_record_index(o->blocks, o->height, o->width, t.image,",
    ),
    Fault(
        "Winograd: a last row that no pooling window covers gets a gradient",
        "layers/winograd.c",
        "unpools ? out->height / 2 * 2 : out->height",
        "out->height",
    ),
    Fault(
        "Winograd: threads that divide the outputs omit the last tiles",
        "layers/winograd.c",
        "share = gc_divide_up(tiles.to, r->plan.cuts)",
        "share = tiles.to / r->plan.cuts",
    ),
    Fault(
        "Winograd: rows of the previous convolution begin one row too low",
        "layers/winograd.c",
        "(ptrdiff_t)(first * STEP + ready) - 1",
        "(ptrdiff_t)(first * STEP + ready)",
    ),
    Fault(
        "streamed gradient: a last column that no pooling window covers is not zeroed",
        "layers/unpool.c",
        "u->pooled.width * 2, to + i * floats);",
        "u->shape.width, to + i * floats);",
    ),
    Fault(
        "streamed gradient: the second image uses the bits of the first",
        "layers/unpool.c",
        "image, block, 2 * y, 0)",
        "0, block, 2 * y, 0)",
    ),
    Fault(
        "streamed gradient: a strip that begins between the rows of a window omits its first row",
        "layers/unpool.c",
        "from = first < 0 ? 0 : (size_t)first / 2;",
        "from = first < 0 ? 0 : (size_t)(first + 1) / 2;",
    ),
    # --- direct convolutions ---
    Fault(
        "direct: the gradient of a strip ignores the dilation",
        "layers/direct.c",
        "before = (c->kernel[0] - 1) * c->dilation[0];",
        "before = c->kernel[0] - 1;",
    ),
    Fault(
        "direct: the gradient uses rows between two strides",
        "layers/direct.c",
        "if (padded < down || (padded - down) % c->stride[0] != 0)",
        "if (padded < down)",
    ),
    Fault(
        "direct: forward ignores the dilation of rows",
        "layers/direct.c",
        "(channel * p->strip_rows + ky * c->dilation[0]) * p->padded_width",
        "(channel * p->strip_rows + ky) * p->padded_width",
    ),
    Fault(
        "direct: the last rows of the picture are treated as padding",
        "layers/direct.c",
        "padded - p->conv->padding[0][0] < p->in.height",
        "padded < p->in.height",
    ),
    # --- convolutions as products ---
    Fault(
        "products: each group gets the bias of the first",
        "layers/conv.c",
        "bias + group % r->conv->groups * r->channels",
        "bias",
    ),
    Fault(
        "products: a padded 1x1 convolution uses its map as the matrix",
        "layers/conv.c",
        "return !gc_is_padded(c->padding);",
        "return 1;",
    ),
    Fault(
        "products: each block of positions writes the ReLU's bits of the first",
        "layers/conv.c",
        "bits == NULL ? NULL : bits + k * row_bytes + first / 8",
        "bits == NULL ? NULL : bits + k * row_bytes",
    ),
    Fault(
        "products: the first output inside the padding is rounded down",
        "kernels/columns.c",
        "(-a.shift + a.stride - 1) / a.stride",
        "-a.shift / a.stride",
    ),
    # --- depthwise convolution ---
    Fault(
        "depthwise: beyond the border, a column of the map is read",
        "kernels/depthwise.c",
        "(column < r->x_columns ? column : 0)",
        "(column < r->x_columns ? column : 1)",
    ),
    Fault(
        "depthwise: the rows of taps above the map are not skipped in the weights",
        "kernels/depthwise.c",
        "rows->count * r->taps->before + skipped * r->taps->count",
        "rows->count * r->taps->before",
    ),
    Fault(
        "depthwise: the bit of a value at the limit",
        "kernels/depthwise.c",
        "gc_greater(value, zero) & gc_greater(most, value)",
        "gc_greater(value, zero) & ~gc_greater(value, most)",
        KERNELS,
    ),
    Fault(
        "depthwise: backward, the taps of a stride and a dilation with a common divisor",
        "layers/depthwise.c",
        "dilation / gc_common_divisor(stride, dilation)",
        "dilation",
    ),
    Fault(
        "depthwise: the bits of another picture",
        "layers/depthwise.c",
        "        image %= r->recorded;\n",
        "        image = 0;\n",
    ),
    # --- products over packed inputs ---
    Fault(
        "packed: backward, the first tap of each remainder is the first of all",
        "layers/packed_plan.c",
        "start % stride != f->first[d] * dilation % stride",
        "0 && start % stride != f->first[d] * dilation % stride",
    ),
    Fault(
        "packed: inputs below the map are read",
        "kernels/packed.c",
        "(size_t)y < g->in.height && (size_t)x < g->in.width",
        "(size_t)x < g->in.width",
    ),
    Fault(
        "backward: the memory of a single last gradient is not the planned one",
        "network/backward.c",
        "p->schedule.at_a_time == 1)",
        "p->count == 1)",
    ),
    Fault(
        "depthwise: a strip without rows that no output reads",
        "layers/depthwise.c",
        "band * stride + (rows > stride ? rows : stride)",
        "band * stride + rows",
    ),
    Fault(
        "packed: the last channels with a gradient are left out",
        "layers/packed.c",
        "b.from < b.to && b.to > r->present[image].to",
        "b.from < b.to && b.to >= r->present[image].to",
    ),
    Fault(
        "packed: bits of streamed rows are those of other rows",
        "layers/packed_source.c",
        "2 * pair, rows->begin, 0)",
        "2 * pair, rows->own, 0)",
    ),
    Fault(
        "packed: the sums of the second vector are not computed",
        "kernels/packed.c",
        "if (b->count == 1)",
        "if (b->count >= 1)",
    ),
    Fault(
        "depthwise: a streamed band has no rows above it",
        "layers/depthwise.c",
        ".begin = gc_min(read, own)",
        ".begin = own",
    ),
    Fault(
        "packed: a group's outputs read the inputs of the first group",
        "layers/packed_plan.c",
        ".from = first / p->outs * p->ins / p->lanes,",
        ".from = 0,",
    ),
    Fault(
        "schedule: a fused sum adds the layer's own input",
        "network/schedule.c",
        "const size_t added = inputs[inputs[0] == step->layer];",
        "const size_t added = inputs[0];",
    ),
    Fault(
        "ReLU6: bits ignore the limit",
        "kernels/blocked.h",
        "gc_greater(x, (gc_vec){0}) & gc_greater(limits, x)",
        "gc_greater(x, (gc_vec){0})",
    ),
    # --- pooling ---
    Fault(
        "pooling: in ceil mode a window may begin in the padding after the map",
        "layers/pool.c",
        "(windows - 1) * p->stride[d] >= size[d] + p->padding[d][0]",
        "(windows - 1) * p->stride[d] > size[d] + p->padding[d][0]",
    ),
    Fault(
        "pooling: windows beyond the end divide by their full size",
        "layers/pool.c",
        "end = gc_min(start + p->kernel[axis], size + padding + p->padding[axis][1])",
        "end = start + p->kernel[axis]",
    ),
    Fault(
        "pooling: the last pixels of an adaptive window are omitted",
        "layers/pool.c",
        "spans[i].end = gc_divide_up((i + 1) * size, count);",
        "spans[i].end = (i + 1) * size / count;",
    ),
    Fault(
        "pooling: incomplete windows of a blocked map are omitted in ceil mode",
        "layers/pool.c",
        "&& (!p->ceil_mode || (in->height % 2 == 0 && in->width % 2 == 0));",
        ";",
    ),
    Fault(
        "pooling: the position of a maximum on the right is recorded as on the left",
        "kernels/pool.c",
        "(take ? right_down + 1 : left_down)",
        "(take ? right_down : left_down)",
    ),
    Fault(
        "pooling: of equal values, one in the lower row may be chosen",
        "kernels/pool.c",
        "(equal & (right_down < left_down))",
        "(equal & 0)",
    ),
    Fault(
        "pooling: the second set of gradients goes to wrong maxima",
        "layers/pool_blocked.c",
        "recorded = plane % p->recorded;",
        "recorded = plane;",
    ),
    Fault(
        "pooling: the second set of gradients goes to wrong maxima, windows of any size",
        "layers/pool_blocked.c",
        "plane % (p->recorded * p->in.blocks)",
        "plane",
    ),
    Fault(
        "pooling: a global maximum is recorded for the wrong image",
        "layers/pool_blocked.c",
        "plane / p->in.blocks % images * p->channels",
        "plane / p->in.blocks * 0 * p->channels",
    ),
    Fault(
        "pooling: the number of a maximum is stored in 8 bits if a window has more positions",
        "layers/pool.c",
        "window <= 1u << 8 ? 1",
        "window <= 1u << 16 ? 1",
    ),
    Fault(
        "pooling: backward, windows at the border count as whole ones",
        "kernels/blocked_pool.c",
        "if (p->columns[j].end - p->columns[j].begin != p->window)",
        "if (p->columns[j].end - p->columns[j].begin > p->window)",
    ),
    # --- relevance ---
    Fault(
        "relevance: the second set uses the denominators of the first image",
        "layers/relevance.c",
        "const size_t image = n % step->images * r->out_floats;",
        "const size_t image = 0 * r->out_floats;",
        RELEVANCE,
    ),
    Fault(
        "relevance: the bias is added once for each term",
        "layers/relevance.c",
        "count == 0 && step->rule->bias ? group->bias : none",
        "step->rule->bias ? group->bias : none",
        RELEVANCE,
    ),
    Fault(
        "relevance: layers of two rules run in one step",
        "network/schedule.c",
        "&& one->row->masks == other->row->masks;",
        "&& one->row != NULL;",
        RELEVANCE,
    ),
    Fault(
        "relevance: a negative denominator gets a positive epsilon",
        "kernels/relevance.c",
        "z < 0.0f ? z - epsilon : z + epsilon",
        "z + epsilon",
        KERNELS,
    ),
    # --- ReLU ---
    Fault(
        "ReLU: on plain maps guided backprop uses the deconvnet's rule",
        "kernels/relu.c",
        "if (!(masks & GC_MASK_INPUT)) {",
        "if (masks & GC_MASK_GRADIENT) {",
    ),
    Fault(
        "ReLU: on blocked maps the deconvnet's rule passes negative gradients",
        "kernels/blocked.h",
        "if (masks & GC_MASK_GRADIENT)",
        "if (masks == (GC_MASK_INPUT | GC_MASK_GRADIENT))",
    ),
    Fault(
        "ReLU: NaN becomes zero",
        "kernels/relu.c",
        "const float y = x < 0.0f ? 0.0f : x;",
        "const float y = x > 0.0f ? x : 0.0f;",
        KERNELS,
    ),
    # --- blocked maps ---
    Fault(
        "blocked maps: the border to the right is not zero",
        "layers/blocked.c",
        "memset(to + right, 0, (floats - right) * sizeof *to);",
        "",
    ),
    Fault(
        "blocked maps: the border below is not zero",
        "layers/blocked.c",
        "is_last ? shape->rows : piece.row + piece.rows + 1",
        "piece.row + piece.rows + 1",
    ),
    Fault(
        "blocked maps: one channel of an incomplete last block is not converted",
        "layers/blocked.c",
        "*channels = gc_min(w->channels - first, width);",
        "*channels = gc_min(w->channels - first, width - 1);",
    ),
    # --- linear layers and softmax ---
    Fault(
        "linear: each part of the outputs writes the ReLU's bits of the first",
        "layers/linear.c",
        "f->bits + f->images[n] * f->bit_bytes + first / 8",
        "f->bits + f->images[n] * f->bit_bytes",
    ),
    Fault(
        "input-major weights: the ReLU's bits of a divided batch go to other images",
        "layers/linear.c",
        "f->bits + f->images[n] * f->bit_bytes",
        "f->bits + n * f->bit_bytes",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: they are used for every image",
        "layers/linear.c",
        "return (double)active <= share * (double)in;",
        "return share > 0.0 || active == in;",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: small inputs count as zero",
        "kernels/dense.c",
        "if (t->dy[n * t->dy_stride + row] != 0.0f)",
        "if (t->dy[n * t->dy_stride + row] > 0.1f || t->dy[n * t->dy_stride + row] < -0.1f)",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: the gradient of zero inputs is omitted though it is wanted",
        "network/schedule.c",
        "while (s->active[below] && is_internal(s, below)) {",
        "while (s->active[below]) {",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: the gradient of zero inputs is omitted for deconvnet's rule",
        "network/schedule.c",
        "return (gc_schedule_rule(s, below)->row->masks & GC_MASK_INPUT) != 0;",
        "return 1;",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: a gradient uses the active inputs of another image",
        "layers/linear_gradient.c",
        "r->active + vector % r->images * gc_active_bytes(r->dense.out)",
        "r->active + (vector + 1) % r->images * gc_active_bytes(r->dense.out)",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: no fingerprint is compared",
        "layers/linear_packs.c",
        "if (row_fingerprint(c->layer, data, row) == expected)",
        "if (1)",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: only rows of the first image are compared",
        "layers/linear_packs.c",
        "gc_is_active(c->active + c->vectors[n] % c->images * bytes, row)",
        "gc_is_active(c->active + c->vectors[0] % c->images * bytes, row)",
        INPUT_MAJOR,
    ),
    Fault(
        "input-major weights: a row's fingerprint does not depend on its number",
        "layers/linear_packs.c",
        "row_bytes(layer), row + 1);",
        "row_bytes(layer), 1);",
        INPUT_MAJOR,
    ),
    Fault(
        "linear: columns of the gradient after the first part are omitted",
        "layers/linear_gradient.c",
        "gc_parallel(engine.workers, gc_divide_up(dense->in, r.columns), some_columns, &r);",
        "gc_parallel(engine.workers, 1, some_columns, &r);",
    ),
    Fault(
        "softmax: the gradient uses the scores of the first picture",
        "layers/softmax.c",
        "record = offset_of(v, i % v->recorded);",
        "record = offset_of(v, i % v->stride);",
    ),
    # --- activations ---
    Fault(
        "activations: channels that fill up the last block are not zero",
        "layers/activation.c",
        "(width - used) * sizeof(float));",
        "0);",
    ),
    Fault(
        "activations: every picture uses the record of the first",
        "layers/activation.c",
        "block % r->recorded * r->block_bytes",
        "block % r->blocks * r->block_bytes",
    ),
    Fault(
        "PReLU: each block has the slopes of the first",
        "layers/activation.c",
        "w->block % r->blocks * *period;",
        "0 * *period;",
    ),
    Fault(
        "leaky ReLU: the deconvnet rule uses the derivative",
        "kernels/activation.c",
        "masks & GC_MASK_INPUT ? derivative : one;",
        "derivative;",
        KERNELS,
    ),
    Fault(
        "activations: exp loses the second part of ln 2",
        "kernels/exponential.h",
        "- m * 2.12194440e-4f)",
        "- m * 0.0f)",
        KERNELS,
    ),
    # --- sums and concatenations ---
    Fault(
        "concatenation: the gradient of every input is that of the first",
        "layers/join.c",
        "s->starts[s->input] + channel}",
        "s->starts[0] + channel}",
    ),
    Fault(
        "concatenation: a block is copied although it begins in the middle of another",
        "layers/channels.c",
        "if (map == GC_NO_MAP || origins[0].channel % width != 0)",
        "if (map == GC_NO_MAP)",
    ),
    Fault(
        "concatenation: a map of other channels in its last block is the beginning of a larger one",
        "network/places.c",
        "        || !gc_are_whole_blocks(0, s->tape->shapes[number].channels,\n"
        "                                s->tape->shapes[other].channels, s->engine))",
        "        )",
    ),
    Fault(
        "concatenation: an input that is there twice is in place twice",
        "network/places.c",
        "               && p->offset[input] == p->offset[layer] + offset);",
        "               );",
    ),
    Fault(
        "concatenation: its memory is given back before the last step that reads a part of it",
        "network/schedule.c",
        "            s->last_reader[home] = s->last_reader[i];",
        "            s->last_reader[home] = s->last_reader[home];",
    ),
    Fault(
        "concatenation: with several images, layers read a part of larger maps as if without gaps",
        "network/places.c",
        "i < s->tape->network->count && s->at_a_time > 1; i++) {",
        "i < s->tape->network->count && s->at_a_time > 8; i++) {",
    ),
    Fault(
        "concatenation: a gradient is added to memory that another layer has, too",
        "network/backward.c",
        "const int is_free = dy.memory != NULL && is_own(p, step->last);",
        "const int is_free = dy.memory != NULL;",
    ),
    Fault(
        "concatenation: layers read gradients with gaps as if without",
        "network/backward.c",
        "        close_gaps(p, step->last);\n",
        "",
    ),
    Fault(
        "slice: channels that were cut off stay in the last block",
        "layers/channels.c",
        "if (origins[l].map == GC_NO_MAP ? channel < w->s->from[map].channels",
        "if (origins[l].map == GC_NO_MAP ? 0",
    ),
    Fault(
        "affine: the channels that fill up the last block are shifted",
        "layers/affine.c",
        "values != NULL && first + l < channels && l < GC_MAX_WIDTH; l++)\n"
        "        lanes[l] = values[first + l];",
        "values != NULL && l < GC_MAX_WIDTH; l++)\n"
        "        lanes[l] = values[(first + l) % channels];",
    ),
    Fault(
        "product: the gradient uses the factors of the first picture",
        "layers/join.c",
        ".images = step->batch,",
        ".images = 1,",
    ),
    Fault(
        "sum: the third input and later ones are not added",
        "layers/copy.c",
        "for (; i < c->input_count; i++)",
        "for (; i < gc_min(c->input_count, 2); i++)",
    ),
    # --- normalisation over channels ---
    Fault(
        "local response: the gradient's windows are those of the forward pass",
        "kernels/norm.c",
        "gc_store(p.terms + window->after + b * GC_WIDTH,",
        "gc_store(p.terms + window->before + b * GC_WIDTH,",
    ),
    Fault(
        "layer normalisation: lanes without a channel count in the variance",
        "kernels/norm.c",
        "only_channels(m, b, gc_load(x + b * a->plane + i * GC_WIDTH) - means[i]);",
        "gc_load(x + b * a->plane + i * GC_WIDTH) - means[i];",
        KERNELS,
    ),
    Fault(
        "local response: every picture has the values of the first",
        "layers/norm.c",
        "n->x + image % n->batch * n->image + at",
        "n->x + at",
    ),
    Fault(
        "layer normalisation: the gradient uses the inputs of the first pictures",
        "layers/norm.c",
        "n->x + part % n->batch * channels,",
        "n->x,",
    ),
    # --- a pass forward ---
    Fault(
        "forward: a layer is fused with a ReLU though others read it",
        "network/schedule.c",
        "is_internal(s, number) && layer_of(s, reader)->type",
        "!s->held[number] && layer_of(s, reader)->type",
    ),
    Fault(
        "forward: a kept layer is fused",
        "network/schedule.c",
        "s->held[i] = tape->kept[i] || i == start;",
        "s->held[i] = i == start;",
    ),
    Fault(
        "forward: pooling of any size is run as 2x2 pooling",
        "network/schedule.c",
        "if (pool != 0 && is_blocked_2x2(s, pool))",
        "if (pool != 0)",
    ),
    Fault(
        "forward: a map's memory is reused before its last reader",
        "network/schedule.c",
        "if (!s->held[first->inputs[k]])",
        "if (!s->held[first->inputs[k]] && s->last_reader[first->inputs[k]] == GC_NO_STEP)",
    ),
    Fault(
        "forward: a layer overwrites a map that others read",
        "network/schedule.c",
        "layer->type->identity && s->last_reader[layer->inputs[0]] == n",
        "layer->type->identity",
    ),
    # --- a pass backward ---
    Fault(
        "backward: a ReLU that two layers read is fused with one of them",
        "network/schedule.c",
        "layer->type == type && is_internal(s, number)",
        "layer->type == type && !s->held[number]",
    ),
    Fault(
        "backward: a ReLU whose gradient is wanted is fused",
        "network/schedule.c",
        "layer->type == type && is_internal(s, number)",
        "layer->type == type && s->readers[number].count == 1",
    ),
    Fault(
        "backward: the gradient of the last reader replaces those of the others",
        "network/backward.c",
        "if (so_far.memory != NULL)\n        add(",
        "if (0)\n        add(",
    ),
    Fault(
        "backward: a gradient that two layers share is written",
        "network/backward.c",
        "return p->next[layer] != layer;",
        "return 0;",
    ),
    Fault(
        "backward: a second group of pictures is masked by the first's ReLUs",
        "network/backward.c",
        "image = p->first % tape->batch;",
        "image = 0;",
    ),
    Fault(
        "backward: a group may extend into the next set",
        "network/backward.c",
        "at_a_time < batch ? batch - p->first % batch : all - p->first",
        "all - p->first",
    ),
    # --- the pooled gradient ---
    Fault(
        "pooled gradient: a padded average is assumed to preserve sums",
        "network/pooled.c",
        "(!pool->include_pad || !gc_is_padded(pool->padding))",
        "1",
    ),
    Fault(
        "pooled gradient: an average with a divisor of its own is assumed to preserve sums",
        "network/pooled.c",
        "pool->divisor == 0 && ",
        "",
    ),
    Fault(
        "pooled gradient: the mean is over the positions of another layer",
        "network/pooled.c",
        "(float)q.positions / (float)gc_positions(*to)",
        "1.0f",
    ),
    Fault(
        "pooled gradient: of a map with two readers, only the last one is used",
        "network/pooled.c",
        "if (r.count != 1)",
        "if (r.count == 0)",
    ),
    # --- sequences ---
    Fault(
        "LSTM: the gradient of the forget gate has the derivative of the input gate",
        "kernels/lstm.c",
        "by_c * load_lanes(before, lanes) * s.f.derivative",
        "by_c * load_lanes(before, lanes) * s.i.derivative",
        KERNELS,
    ),
    Fault(
        "LSTM: the gradient by the cell before passes the wrong gate",
        "kernels/lstm.c",
        "store_lanes(dc, by_c * s.f.value, lanes);",
        "store_lanes(dc, by_c * s.i.value, lanes);",
        KERNELS,
    ),
    Fault(
        "LSTM: the gradient of a negative logistic function",
        "kernels/logistic.h",
        ".rest = gc_select(positive, e, one) / sum",
        ".rest = gc_select(positive, one, e) / sum",
        KERNELS,
    ),
    Fault(
        "LSTM: the gradient by the last cell is ignored",
        "layers/lstm.c",
        "copy_state(size, dc, dc0);",
        "copy_state(size, NULL, dc0);",
        SEQUENCES,
    ),
    Fault(
        "LSTM: backward, all sequences have the state of the first",
        "layers/lstm.c",
        "r->dc0 + (first + i) * hidden,",
        "r->dc0,",
        SEQUENCES,
    ),
    Fault(
        "products: the rows of all parts are those of the first",
        "layers/products.c",
        "part / p->pieces * ROWS, first",
        "part / p->pieces, first",
        SEQUENCES,
    ),
    Fault(
        "products: all parts of a row add the bias of the first",
        "layers/products.c",
        "p->bias + first, c + i",
        "p->bias, c + i",
        SEQUENCES,
    ),
    Fault(
        "tables: one row too many is read",
        "layers/rows.c",
        "if (numbers[i] >= rows)",
        "if (numbers[i] > rows)",
        SEQUENCES,
    ),
    Fault(
        "tables: the gradients of all rows go to the first",
        "layers/rows.c",
        "dtable + numbers[i] * width",
        "dtable",
        SEQUENCES,
    ),
    Fault(
        "attention: the gradients of all maps have the first weight",
        "kernels/maps.c",
        "(positions, weights[c], 0.0f, dout,",
        "(positions, weights[0], 0.0f, dout,",
        KERNELS,
    ),
    # --- the rest ---
    Fault(
        "resize: the region's beginning is ignored",
        "layers/maps.c",
        "source = (centre - begin) * (double)size / extent - 0.5;",
        "source = centre * (double)size / extent - 0.5;",
    ),
    Fault(
        "working memory: a gap is used without a check that it is large enough",
        "base/arena.c",
        "(gap = gap_above(arena, number, offset)) < bytes;",
        "(gap = gap_above(arena, number, offset)) == 0;",
    ),
    Fault(
        "threads: the last part of the work is omitted",
        "base/threads.c",
        "        if (part >= parts)\n            return;\n        run(work, part, worker);",
        "        if (part + 1 >= parts)\n            return;\n        run(work, part, worker);",
    ),
]


def read(folder: Path, fault: Fault) -> str | None:
    """The text of a fault's file, or None if `old` does not occur exactly once."""
    path = folder / "csrc" / fault.file
    text = path.read_text("utf-8") if path.exists() else ""
    return text if text.count(fault.old) == 1 else None


class Build:
    """The extension, built in place in a copy of the tree, and how each file was compiled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder / "build", ignore_errors=True)
        command = [sys.executable, "setup.py", "build_ext", "--inplace"]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if process.returncode != 0:
            raise SystemExit(process.stdout + process.stderr)
        lines = [shlex.split(line) for line in process.stdout.splitlines()]
        self._compile = [line for line in lines if "-c" in line and "-o" in line]
        (link,) = (line for line in lines if "-o" in line and "-c" not in line)
        library = Path(link[link.index("-o") + 1])
        link[link.index("-o") + 1] = str(Path("gradcam", library.name))
        self._link = link
        self._before = ""

    def again(self, file: str) -> None:
        """Compile a file and the one before it, or all files for a header, and link."""
        changed = {file, self._before} - {""}
        self._before = file
        names = {str(Path("csrc", each)) for each in changed}
        for command in self._compile:
            if any(name.endswith(".h") for name in names) or names & set(command):
                subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        # The old extension is removed: a process may still have it mapped.
        (self.folder / self._link[self._link.index("-o") + 1]).unlink()
        subprocess.run(self._link, cwd=self.folder, check=True, capture_output=True)


def passes(folder: Path, tests: tuple[str, ...]) -> bool:
    """Whether the tests pass; an error before they run exits the program."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    if tests == KERNELS:
        program = "build/plain/test_kernels"
        make = ["make", "-s", "-C", "tests/c", f"PYTHON={sys.executable}", program]
        subprocess.run(make, cwd=folder, check=True, capture_output=True)
        command = [str(folder / "tests" / "c" / program)]
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return False
    if tests != KERNELS and process.returncode > 1:  # pytest itself; crashes are negative
        raise SystemExit(process.stdout + process.stderr)
    return process.returncode == 0


def survives(folder: Path, build: Build, fault: Fault) -> bool:
    """Whether the tests pass with the fault; restores the file, but not its build."""
    path, text = folder / "csrc" / fault.file, read(folder, fault)
    assert text is not None
    path.write_text(text.replace(fault.old, fault.new), "utf-8")
    try:
        if fault.tests != KERNELS:
            build.again(fault.file)
        return passes(folder, fault.tests)
    finally:
        path.write_text(text, "utf-8")


def main(names: list[str]) -> int:
    chosen = [f for f in FAULTS if not names or any(name in f.name for name in names)]
    stale = [fault for fault in chosen if read(ROOT, fault) is None]
    for fault in stale:
        print(f"NOT FOUND ONCE  {fault.name}: {fault.old!r} in csrc/{fault.file}")
    survivors = []
    with tempfile.TemporaryDirectory(prefix="gradcam-mutations-") as temporary:
        folder = Path(temporary) / "tree"
        ignored = shutil.ignore_patterns(".git", "build", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT, folder, ignore=ignored)
        build = Build(folder)
        for tests in dict.fromkeys(fault.tests for fault in chosen):
            if not passes(folder, tests):
                raise SystemExit(f"{' '.join(tests)}: fails without any fault")
        for fault in chosen:
            if fault in stale:
                continue
            start = time.monotonic()
            survived = survives(folder, build, fault)
            survivors += [fault] * survived
            word = "SURVIVES" if survived else "found"
            print(f"{word:8} {time.monotonic() - start:4.0f} s  {fault.name}", flush=True)
    print(f"{len(chosen)} faults: {len(survivors)} survive, {len(stale)} could not be inserted")
    return 1 if survivors or stale or not chosen else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
