/* What the files of the plugin share: one question on its way to its answer. */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include <mortise/hooks.h>
#include <mortise/json.h>

#include "checker.h"

enum { PASSAGES_MAX = 64 };

typedef struct passage {
    mt_slice document_id, file_name, chunk_id, section, text, page;   /* page: JSON */
    int64_t start_char;
    double score, vector_score, text_score;  /* the last two -1 when that was not looked at */
    mt_slice json;                           /* as retrieval gave it, without "cited" */
    bool cited;
} passage;

typedef struct citation {
    size_t passage;                          /* index; cited as [index + 1] */
    int64_t start_char, end_char;            /* of the document's text */
    mt_slice quote;
    size_t answer_start, answer_end;         /* the sentence it supports, code points of the answer */
    struct citation *next;
} citation;

typedef struct event {
    mt_slice kind, data;
    struct event *next;
} event;

typedef struct turn {
    mt_call *c;
    mt_slice query, agent_id, session_id;    /* null slices: none */
    mt_slice system, model, tools;           /* tools: the agent's enabled_tools, JSON */
    mt_slice prompt_version, tool_config;
    double temperature;
    uint32_t max_tokens;
    int64_t seed;
    mt_slice stop;
    mt_slice earlier;                        /* JSON array of messages before the question; the null slice: the session's */
    mt_language language;                    /* of the question */
    mt_llm_model info;                       /* of the model that is asked */

    passage passages[PASSAGES_MAX];
    size_t n_passages;
    support *support;
    bool looked;                             /* retrieval was asked */

    mt_handle generation;                    /* 0: none runs */
    enum { TURN_ASK, TURN_READ, TURN_ENDED } state;
    bool offered;                            /* tools, in the round that runs */
    bool counted;                            /* in the metrics */
    bool tried_quotes;                       /* the extractive model was the last resort */
    mt_slice rounds;                         /* JSON messages of tool calls and results, without brackets */
    uint32_t n_rounds, n_calls;
    int64_t started_us;
    checker checker;

    event *events, *last_event;
    char *answer;                            /* what was shown */
    size_t answer_len, answer_cap;
    citation *citations, *last_citation;
    checked *unsupported, *last_unsupported;
    mt_slice finish, message_id;
    mt_llm_counts counts;                    /* of all generations of the turn; model and provider of the one that was shown */
    double confidence;
} turn;

/* --- turn.c: the machine --- */

/* Reads the agent, asks the hook, measures the model. Fails with the problem set. Suspends. */
mt_status turn_prepare(turn *t);
/* The next event: sources, token, citation, tool_call, tool_result. MT_DONE at the end, then the answer is whole. Suspends. */
mt_status turn_next(turn *t, mt_slice *kind, mt_slice *data);
void turn_close(turn *t);
/* What operators see of turns; once, when the plugin becomes active. */
mt_status turn_declare_metrics(mt_call *c);
/* An event with this JSON object. */
mt_status turn_event(turn *t, mt_slice kind, mt_writer *w);

/* --- passages.c --- */

/* Adds what retrieval finds, numbered on from what is there; *added: how many are new. Suspends. */
mt_status turn_search(turn *t, mt_slice query, mt_slice options, size_t *added);
/* The JSON array for the model: those that fit; and for sources: all, with "cited". */
mt_status turn_write_passages(const turn *t, mt_slice *json);
void turn_write_sources(const turn *t, mt_writer *w, const char *name);

/* --- prompt.c --- */

/* Earlier messages that fit, then the question, then the rounds of tools, as a JSON array. Suspends. */
mt_status turn_write_messages(turn *t, mt_slice *json);
/* What to look for: the question, with the one before it when it follows up. Suspends. */
mt_status turn_search_text(turn *t, mt_slice *text);
/* How many of the passages, the best first, the model is given. */
size_t turn_passages_fit(const turn *t);
/* The system prompt with the rules for citations. */
mt_slice turn_system(const turn *t);

/* --- tools.c --- */

bool turn_has_tools(const turn *t);
/* The tools that the agent may use, as the model is told; the null slice when it may use none any more. */
mt_slice turn_tools(turn *t);
/* Runs what the model asked for and adds the round. Suspends. */
mt_status turn_run_tools(turn *t, mt_slice calls);

/* --- answer.c --- */

/* Members of the answer: answer, language, confidence, finish, sources, citations, unsupported, usage, agent. */
void turn_write_answer(const turn *t, mt_writer *w);
void turn_write_citation(const turn *t, mt_writer *w, const char *name, const citation *q);
void turn_write_usage(const turn *t, mt_writer *w, const char *name);
/* relevance: of the best cited passage, 0 to 1; words: the share of the question's words in it, below 0 when they were not looked at; share: of the
   sentences that have support. Grows with each. Pure. */
double confidence_of(double relevance, double words, double share);
/* 0 for what unrelated text scores, 1 from where near-copies score; linear between. Pure. */
double relevance_of(double score);
mt_slice nothing_found_text(mt_language language);

static inline uint32_t turn_config(mt_call *c, mt_slice pointer, uint32_t fallback)
{
    mt_slice v = mt_config(c, pointer);
    return v.p ? (uint32_t)strtoul(v.p, NULL, 10) : fallback;
}

#endif
