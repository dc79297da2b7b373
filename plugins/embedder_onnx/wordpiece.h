/* The uncased BERT tokenizer: text to WordPiece ids, equal to the reference tokenizer of the model but for special tokens, which
   are never read from text ("[SEP]" in a document is just brackets and letters). */
#ifndef EMBEDDER_ONNX_WORDPIECE_H
#define EMBEDDER_ONNX_WORDPIECE_H

#include <mortise/types.h>

#define WORDPIECE_REASON 160

typedef struct wordpiece wordpiece;

/* Loads vocab.txt: one token a line, its id the line number from 0. *out is the caller's to destroy. MT_NOT_FOUND, MT_INVALID (no
   [UNK], [CLS], [SEP] or [PAD], a line too long), MT_TOO_LARGE (over 16 MiB), MT_NO_MEMORY, with one sentence in reason. Blocks on the disk. */
mt_status wordpiece_load(wordpiece **out, const char *path, char reason[WORDPIECE_REASON]);
/* The same from memory, which is not kept. */
mt_status wordpiece_parse(wordpiece **out, const char *p, size_t n, char reason[WORDPIECE_REASON]);
void wordpiece_destroy(wordpiece *w);

/* The ids of p[0..n) without [CLS] and [SEP]: writes at most cap of them and answers how many there are, but stops reading as soon
   as more than `cap` are known when `stop` is set. Bytes that are not UTF-8 are dropped. ids may be NULL when cap is 0. No
   allocation; a wordpiece is read-only after loading, so any number of threads may use it. About 10 ns a byte. */
size_t wordpiece_encode(const wordpiece *w, const char *p, size_t n, int32_t *ids, size_t cap, bool stop);
/* How many ids p[0..n) has, without [CLS] and [SEP]. The signature fits a chunker's counter: user is the wordpiece. */
size_t wordpiece_count(void *user, const char *p, size_t n);

/* The ids that frame and fill a row. */
int32_t wordpiece_cls(const wordpiece *w);
int32_t wordpiece_sep(const wordpiece *w);
int32_t wordpiece_pad(const wordpiece *w);
size_t wordpiece_vocab_size(const wordpiece *w);

#endif
