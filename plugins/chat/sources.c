/* What an answer rests on. */
#include "chat.h"

#include <stdlib.h>

/* all-MiniLM-L6-v2: unrelated English pairs score below 0.2, passages that hold the answer mostly 0.5 to 0.8. */
#define UNRELATED 0.2
#define CERTAIN 0.75

double confidence_of(double score)
{
    double x = (score - UNRELATED) / (CERTAIN - UNRELATED);
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

bool cites(const char *text, size_t len, int64_t number)
{
    char mark[24];
    int n = snprintf(mark, sizeof mark, "[%lld]", (long long)number);
    return len >= (size_t)n && memmem(text, len, mark, (size_t)n) != NULL;
}

static void write_source(turn *t, mt_writer *w, int64_t i, bool cited)
{
    static const char *const members[] = {"document_id", "file_name", "chunk_id", "section", "text"};
    static const char *const numbers[] = {"number", "score", "page", "start_char", "end_char"};
    mt_call *c = t->c;
    mt_write_object(w, NULL);
    for (size_t k = 0; k < sizeof members / sizeof *members; k++)
        mt_write_text(w, members[k], mt_json_text(c, t->passages_doc, mt_printf(c, "/%lld/%s", (long long)i, members[k])));
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        mt_write_raw(w, numbers[k], mt_json_text(c, t->passages_doc, mt_printf(c, "/%lld/%s", (long long)i, numbers[k])));
    mt_write_bool(w, "cited", cited);
    mt_write_close(w);
}

mt_status turn_judge(turn *t)
{
    mt_call *c = t->c;
    mt_writer w = mt_write_begin(c);
    double best = 0;
    mt_write_array(&w, NULL);
    for (int64_t i = 0; i < t->n_passages; i++) {
        int64_t number = (int64_t)mt_json_number(c, t->passages_doc, mt_printf(c, "/%lld/number", (long long)i), 0);
        double score = mt_json_number(c, t->passages_doc, mt_printf(c, "/%lld/score", (long long)i), 0);
        bool cited = cites(t->answer, t->answer_len, number);
        if (cited && score > best)
            best = score;
        write_source(t, &w, i, cited);
    }
    mt_write_close(&w);
    t->confidence = mt_slice_eq(t->finish, MT_SLICE("nothing_found")) ? 0 : confidence_of(best);
    return mt_write_end(&w, &t->sources);
}
