/* What finds candidates among many rows without looking at all of them: here a navigable small-world graph in layers (HNSW, Malkov and
   Yashunin 2016) over the rows' int8 codes. index_faiss has another implementation of the same functions.

   Rows are linked in their order. One thread links; searches may run meanwhile, from any number of threads. graph_reserve and
   graph_close must be alone. The rows are the owner's: it passes them each time, and they do not move while a function runs. */
#ifndef INDEX_LOCAL_GRAPH_H
#define INDEX_LOCAL_GRAPH_H

#include "scan.h"

typedef struct graph graph;

/* The name of this kind of graph and its settings: a file of another kind is rebuilt. At most 31 bytes. */
const char *graph_kind(void);

graph *graph_create(size_t dim); /* NULL without memory */
void graph_close(graph *g);      /* NULL is fine */

/* How many rows, from the first on, a search covers. */
size_t graph_linked(const graph *g);
/* What takes long and needs no rows, between graph_reserve and graph_link: the owner's lock is not held. Searches may run. False without memory. */
bool graph_prepare(graph *g);
/* Makes room for `rows` rows in all. False without memory. */
bool graph_reserve(graph *g, size_t rows);
/* Links the next rows, at least one, at most as many as are reserved and take a few milliseconds. False without memory. */
bool graph_link(graph *g, const scan_rows parts[SCAN_PARTS]);

/* What a search aims at: k of the `wanted` linked rows, with an effort (see index_query; 0: the usual; an implementation may have one effort only). */
typedef struct graph_aim {
    size_t k, wanted, effort;
} graph_aim;

/* Whether going through the graph costs less than looking at all of the wanted rows. */
bool graph_pays(const graph *g, const graph_aim *aim);
/* Offers the search what lies near to its query among the first `linked` rows (what graph_linked said when the search began: more may be by now); their
   number to *taken, when live and allowed. MT_NO_MEMORY. */
mt_status graph_search(graph *g, const scan_rows parts[SCAN_PARTS], scan_search *s, const float *query, const graph_aim *aim, size_t linked, size_t *taken);

/* A graph of the linked rows whose bits are set in `live`, numbered anew without the others. Searches may run; linking may not. NULL
   without memory. */
graph *graph_without_dead(graph *g, const scan_rows parts[SCAN_PARTS], const uint64_t *live);
/* The graph as bytes, in pieces, graph_size in all. */
size_t graph_size(const graph *g);
void graph_write(const graph *g, void (*put)(void *to, const void *p, size_t n), void *to);
/* A graph over `len` bytes that graph_write made, for at most `rows` rows; they stay where they are (a private, writable mapping) until it is
   closed. NULL when they make no sense or memory is short. */
graph *graph_open(size_t dim, size_t rows, void *bytes, size_t len);

#endif
