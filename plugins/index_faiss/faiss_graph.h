/* The functions of graph.h by FAISS. */
#ifndef INDEX_FAISS_FAISS_GRAPH_H
#define INDEX_FAISS_FAISS_GRAPH_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "flat", "ivf", "ivfpq" or "hnsw", for every graph made from now on; false for another name. Call it before any graph is made. */
bool faiss_graph_choose(const char *kind);

#ifdef __cplusplus
}
#endif

#endif
