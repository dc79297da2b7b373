/* Messages and tools in OpenAI's shape, written as Anthropic's Messages API takes them. */
#ifndef LLM_ANTHROPIC_REQUEST_H
#define LLM_ANTHROPIC_REQUEST_H

#include "llm_wire/upstream.h"

mt_status anthropic_write(mt_call *c, const mt_llm_engine_in *in, mt_handle options, mt_slice base, mt_slice key, upstream_request *out);

#endif
