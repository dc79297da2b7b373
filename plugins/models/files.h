/*
 * The files of organizations' models, DATA/models/ORGANIZATION: SHA256.gguf, .onnx and .vocab, stored once for the same bytes, and onnx/NAME, a folder of links
 * to them for each active ONNX model, as embedder_onnx reads it. Rows say which files stay.
 */
#ifndef MODELS_FILES_H
#define MODELS_FILES_H

#include <mortise/interfaces.h>

typedef struct models_file {
    mt_slice data;
    const char *kind;            /* "gguf", "onnx", "vocab" */
    char sha256[65], path[4096]; /* set by models_file_keep */
    int error;                   /* errno of a failure */
} models_file;

/* Hashes the bytes and keeps them, on the pool. Suspends. MT_UNAVAILABLE with the problem set when the disk refuses. */
mt_status models_file_keep(mt_call *c, models_file *f);
/* After the row that names it is written: keeps it again should a sweep have taken it in between. Suspends. */
mt_status models_file_keep_named(mt_call *c, models_file *f);
/* Frees what no row of the organization names. Suspends. */
void models_files_sweep(mt_call *c);
mt_slice models_file_path(mt_call *c, mt_slice sha256, const char *kind);

/* Makes, or takes away, the folder of an ONNX model. */
mt_status models_onnx_place(mt_call *c, mt_slice name, mt_slice manifest, mt_slice sha256, mt_slice vocab_sha256);
void models_onnx_remove(mt_call *c, mt_slice name);

/* Takes away all that an organization has. */
void models_files_forget(mt_call *c, mt_slice org);
/* Ends what a crash broke off: uploads, sweeps. Before anything else runs. */
void models_files_recover(mt_call *c);

#endif
