/* Making, growing and closing a graph. */
#include "graph_parts.h"

#include <stdlib.h>

const char *graph_kind(void)
{
    return "hnsw-16-128";
}

graph *graph_create(size_t dim)
{
    graph *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->dim = dim;
    g->stride = scan_stride(dim);
    g->kernel = scan_best_kernel();
    for (size_t l = 0; l < GRAPH_LAYERS; l++) {
        g->layers[l].width = l ? WIDTH : WIDTH_0;
        g->layers[l].skip = l ? WIDTH - LINKS : 0;
    }
    return g;
}

void graph_close(graph *g)
{
    for (size_t l = 0; g && l < GRAPH_LAYERS; l++)
        free(g->layers[l].more);
    free(g);
}

size_t graph_linked(const graph *g)
{
    return atomic_load_explicit(&((graph *)(uintptr_t)g)->linked, memory_order_acquire);
}

bool graph_reserve_layer(layer *y, size_t n)
{
    if (n <= y->room)
        return true;
    size_t old = y->room - y->n_base, room = n + n / 4;
    word *more = realloc(y->more, (room - y->n_base) * y->width * sizeof *more);
    if (!more)
        return false;
    memset(more + old * y->width, 0xFF, (room - y->n_base - old) * y->width * sizeof *more);
    y->more = more;
    y->room = room;
    return true;
}

bool graph_reserve(graph *g, size_t rows)
{
    size_t need[GRAPH_LAYERS] = {rows};
    for (size_t row = graph_linked(g); row < rows; row++)
        for (size_t l = layer_of(row); l > 0; l--)
            need[l]++;
    for (size_t l = 0; l < GRAPH_LAYERS; l++)
        if (!graph_reserve_layer(&g->layers[l], l ? g->layers[l].n + need[l] : rows))
            return false;
    g->reserved = rows > g->reserved ? rows : g->reserved;
    return true;
}
