/* Mean pooling and normalization, written so that the compiler vectorizes them. Pure. */
#ifndef EMBEDDER_ONNX_POOLING_H
#define EMBEDDER_ONNX_POOLING_H

#include <mortise/types.h>

/* Divides v[0..dim) by its Euclidean length; a vector of zeros (or not finite) becomes zeros. */
void pooling_normalize(float *v, size_t dim);
/* out[rows][dim] = the mean over the positions with mask 1 of hidden[rows][length][dim]. */
void pooling_mean(const float *hidden, const int64_t *mask, size_t rows, size_t length, size_t dim, float *out);

#endif
