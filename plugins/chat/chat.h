/* What the files of the plugin share: one question on its way to its answer. */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include <mortise/hooks.h>
#include <mortise/json.h>

typedef struct turn {
    mt_call *c;
    mt_slice query, agent_id, session_id;    /* null slices: none */
    mt_slice system, model;
    double temperature;
    bool stream;
    mt_slice message_id;
    mt_slice passages;                       /* JSON array from retrieval, those that count as found */
    mt_handle passages_doc;
    int64_t n_passages;
    mt_slice messages;                       /* JSON array for the model */
    char *answer;                            /* in the call's arena */
    size_t answer_len, answer_cap;
    mt_slice finish;
    double confidence;
    mt_slice sources;                        /* JSON array with "cited" */
} turn;

/* Retrieval, the hook, the model; fills everything up to sources. Streams tokens when the turn streams. Suspends. */
mt_status turn_prepare(turn *t);
mt_status turn_generate(turn *t);

/* sources.c: which of the passages the answer cites, and what that makes of the confidence. */
mt_status turn_judge(turn *t);
/* 0 for what unrelated text scores, 1 from where near-copies score; linear between. Pure. */
double confidence_of(double score);
/* Whether text cites [number]. Pure. */
bool cites(const char *text, size_t len, int64_t number);

#endif
