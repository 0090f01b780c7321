/* columns.c: im2col and its transpose, col2im.
 *
 * A convolution is a matrix product if every patch under the kernel is copied to a column
 * (Chellapilla et al. 2006):
 *
 *     y[k][p] = sum over r = (c, ky, kx) of w[k][r] * columns[r][p]
 *     columns[r][p] = x[c][oy * stride + ky * dilation - padding][ox * ... + kx * ...]
 *
 * and the gradient is the transpose: columns = w^T dy, added back to the pixels they came
 * from. Both work on a block of output positions p, so that the columns stay in the cache. */
#include <string.h>

#include "kernels/level.h"

/* One kernel row or column along an axis: output o reads input o * stride + shift, which is inside
 * the map for the outputs [begin, end). */
typedef struct axis {
    ptrdiff_t stride, shift;
    size_t begin, end;
} axis;

static axis make_axis(const gc_window *w, int direction, size_t tap, size_t size,
                      size_t out_size)
{
    axis a = {.stride = (ptrdiff_t)w->stride[direction],
              .shift = (ptrdiff_t)(tap * w->dilation[direction])
                       - (ptrdiff_t)w->padding[direction]};
    const ptrdiff_t first = a.shift >= 0 ? 0 : (-a.shift + a.stride - 1) / a.stride;
    const ptrdiff_t limit = (ptrdiff_t)size - a.shift; /* o * stride < limit */
    const ptrdiff_t last = limit <= 0 ? 0 : (limit + a.stride - 1) / a.stride;
    a.end = (size_t)last < out_size ? (size_t)last : out_size;
    a.begin = (size_t)first < a.end ? (size_t)first : a.end;
    return a;
}

static size_t clamp(size_t value, size_t low, size_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* A piece of one output row: outputs [begin, end) of row `row`; output `begin` is entry number
 * `entry` of the block. All zero before the first piece. */
typedef struct segment {
    size_t row, begin, end, entry;
} segment;

/* Step to the next piece of the positions first .. first + count; 0: there is none. */
static int next_segment(const gc_window *w, size_t first, size_t count, segment *s)
{
    s->entry += s->end - s->begin;
    if (s->entry >= count)
        return 0;
    const size_t position = first + s->entry;
    s->row = position / w->out_width;
    s->begin = position % w->out_width;
    s->end = clamp(s->begin + (count - s->entry), s->begin, w->out_width);
    return 1;
}

static void gather(const gc_window *w, axis vertical, axis horizontal, const float *plane,
                   size_t first, size_t count, float *row)
{
    for (segment s = {0}; next_segment(w, first, count, &s);) {
        float *out = row + s.entry;
        if (s.row < vertical.begin || s.row >= vertical.end) {
            memset(out, 0, (s.end - s.begin) * sizeof *out);
            continue;
        }
        const size_t begin = clamp(horizontal.begin, s.begin, s.end);
        const size_t end = clamp(horizontal.end, begin, s.end);
        const ptrdiff_t y = (ptrdiff_t)s.row * vertical.stride + vertical.shift;
        const float *in = plane + (size_t)y * w->width;
        memset(out, 0, (begin - s.begin) * sizeof *out);
        if (horizontal.stride == 1 && end > begin)
            memcpy(out + (begin - s.begin), in + ((ptrdiff_t)begin + horizontal.shift),
                   (end - begin) * sizeof *out);
        else
            for (size_t x = begin; x < end; x++)
                out[x - s.begin] = in[(ptrdiff_t)x * horizontal.stride + horizontal.shift];
        memset(out + (end - s.begin), 0, (s.end - end) * sizeof *out);
    }
}

static void scatter(const gc_window *w, axis vertical, axis horizontal, const float *row,
                    size_t first, size_t count, float *plane)
{
    for (segment s = {0}; next_segment(w, first, count, &s);) {
        if (s.row < vertical.begin || s.row >= vertical.end)
            continue;
        const size_t begin = clamp(horizontal.begin, s.begin, s.end);
        const size_t end = clamp(horizontal.end, begin, s.end);
        const ptrdiff_t y = (ptrdiff_t)s.row * vertical.stride + vertical.shift;
        const float *in = row + s.entry;
        float *out = plane + (size_t)y * w->width;
        if (horizontal.stride == 1)
            for (size_t x = begin; x < end; x++)
                out[(ptrdiff_t)x + horizontal.shift] += in[x - s.begin];
        else
            for (size_t x = begin; x < end; x++)
                out[(ptrdiff_t)x * horizontal.stride + horizontal.shift] += in[x - s.begin];
    }
}

void GC_KERNEL(im2col)(const gc_window *window, const float *map, size_t first, size_t count,
                       float *columns)
{
    for (size_t c = 0; c < window->channels; c++) {
        const float *plane = map + c * window->height * window->width;
        for (size_t ky = 0; ky < window->kernel[0]; ky++) {
            const axis vertical = make_axis(window, 0, ky, window->height, window->out_height);
            for (size_t kx = 0; kx < window->kernel[1]; kx++, columns += count)
                gather(window, vertical,
                       make_axis(window, 1, kx, window->width, window->out_width), plane,
                       first, count, columns);
        }
    }
}

void GC_KERNEL(col2im)(const gc_window *window, const float *columns, size_t first,
                       size_t count, float *map)
{
    for (size_t c = 0; c < window->channels; c++) {
        float *plane = map + c * window->height * window->width;
        for (size_t ky = 0; ky < window->kernel[0]; ky++) {
            const axis vertical = make_axis(window, 0, ky, window->height, window->out_height);
            for (size_t kx = 0; kx < window->kernel[1]; kx++, columns += count)
                scatter(window, vertical,
                        make_axis(window, 1, kx, window->width, window->out_width), columns,
                        first, count, plane);
        }
    }
}
