/* llama.cpp, opened with dlopen: one a process, never closed (its threads and globals do not come apart again). */
#ifndef LLM_LLAMA_API_H
#define LLM_LLAMA_API_H

#include <llama.h>

#include <mortise/types.h>

#define LLAMA_FUNCTIONS(X)                                                                                                                  \
    X(ggml_backend_load_all_from_path) X(llama_backend_init) X(llama_log_set) X(llama_model_default_params) X(llama_model_load_from_file)   \
    X(llama_model_free) X(llama_model_get_vocab) X(llama_model_n_ctx_train) X(llama_model_chat_template) X(llama_model_size)                \
    X(llama_context_default_params) X(llama_init_from_model) X(llama_free) X(llama_get_memory) X(llama_memory_seq_rm)                       \
    X(llama_memory_seq_cp) X(llama_n_ctx_seq) X(llama_batch_init) X(llama_batch_free) X(llama_decode) X(llama_get_logits_ith)               \
    X(llama_tokenize) X(llama_token_to_piece) X(llama_vocab_is_eog) X(llama_vocab_n_tokens) X(llama_chat_apply_template)                    \
    X(llama_sampler_chain_default_params) X(llama_sampler_chain_init) X(llama_sampler_chain_add) X(llama_sampler_init_greedy)               \
    X(llama_sampler_init_dist) X(llama_sampler_init_top_k) X(llama_sampler_init_top_p) X(llama_sampler_init_temp)                           \
    X(llama_sampler_init_grammar) X(llama_sampler_apply) X(llama_sampler_accept) X(llama_sampler_free)

typedef struct llama_api {
#define X(name) __typeof__(&name) name;
    LLAMA_FUNCTIONS(X)
#undef X
} llama_api;

enum { LLAMA_REASON = 400 };

/* The functions, opened and set up by the first who asks. log gets llama.cpp's own lines. Any thread.
 * MT_NOT_FOUND with a sentence in reason: it is not set up, or another release. */
mt_status llama_api_open(const char *folder, void (*log)(mt_slice line), const llama_api **out, char reason[LLAMA_REASON]);

#endif
