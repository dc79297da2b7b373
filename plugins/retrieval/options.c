/* The defaults, chosen by measured quality (mortise bench quality): see README.md. */
#include "retrieval.h"

void options_default(search_options *o)
{
    *o = (search_options){.mode = MT_SLICE("hybrid"), .fusion = MT_SLICE("weighted"), .rerank = MT_SLICE(""), .language = MT_SLICE(""),
                          .collapse = MT_SLICE("none"), .text_weight = 0.3, .rrf_k = 60, .candidates = 50, .limit = 10};
}

static void read_text(mt_call *c, mt_handle doc, mt_slice pointer, mt_slice *out)
{
    mt_slice v = mt_json_text(c, doc, pointer);
    if (v.p)
        *out = v;
}

void options_read(mt_call *c, mt_handle doc, search_options *o)
{
    mt_slice highlight = mt_json_text(c, doc, MT_SLICE("/highlight"));
    read_text(c, doc, MT_SLICE("/mode"), &o->mode);
    read_text(c, doc, MT_SLICE("/fusion"), &o->fusion);
    read_text(c, doc, MT_SLICE("/rerank"), &o->rerank);
    read_text(c, doc, MT_SLICE("/language"), &o->language);
    read_text(c, doc, MT_SLICE("/collapse"), &o->collapse);
    o->text_weight = mt_json_number(c, doc, MT_SLICE("/text_weight"), o->text_weight);
    o->rrf_k = mt_json_number(c, doc, MT_SLICE("/rrf_k"), o->rrf_k);
    o->min_score = mt_json_number(c, doc, MT_SLICE("/min_score"), o->min_score);
    o->candidates = (uint32_t)mt_json_number(c, doc, MT_SLICE("/candidates"), o->candidates);
    o->limit = (uint32_t)mt_json_number(c, doc, MT_SLICE("/limit"), o->limit);
    o->offset = (uint32_t)mt_json_number(c, doc, MT_SLICE("/offset"), o->offset);
    if (highlight.p)
        o->highlight = mt_slice_eq(highlight, MT_SLICE("true"));
}

void options_write(mt_writer *w, const search_options *o)
{
    mt_write_text(w, "mode", o->mode);
    mt_write_text(w, "fusion", o->fusion);
    mt_write_double(w, "text_weight", o->text_weight);
    mt_write_int(w, "rrf_k", (int64_t)o->rrf_k);
    mt_write_int(w, "candidates", o->candidates);
    mt_write_text(w, "rerank", o->rerank);
    mt_write_text(w, "language", o->language);
    mt_write_double(w, "min_score", o->min_score);
}
