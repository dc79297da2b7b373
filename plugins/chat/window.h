/* Which of the earlier messages a model is given, and what a follow-up question is looked for with. Pure: any thread. */
#ifndef CHAT_WINDOW_H
#define CHAT_WINDOW_H

#include "text/language.h"

/* How many of the newest messages fit into budget tokens; tokens[0] is the newest. Nothing is skipped: what is older than the first that does not
   fit stays out too. */
size_t window_fit(const uint32_t *tokens, size_t n, uint32_t budget);
/* Tokens left for history: the model's context without what the turn needs, at most most; 0 when there is no room. */
uint32_t window_budget(uint32_t context, uint32_t needed, uint32_t most);
/* Whether the question leans on the one before it: it begins with "and", "but", "what about" …, says "it", "they", "that one" …, or has at most
   one content word. */
bool window_follows_up(mt_slice question, mt_language language);

#endif
