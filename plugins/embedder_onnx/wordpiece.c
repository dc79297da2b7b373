/* Normalization and splitting as in BERT's basic tokenizer, then longest match first in a trie kept as a hash of (node, byte). */
#include "wordpiece.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

#include "text/utf8.h"

#define VOCAB_MAX_BYTES (16u << 20)
#define TOKEN_MAX_BYTES 400
#define WORD_MAX_CHARS 100 /* longer words are [UNK], as in the reference */
#define ROOT 1u            /* of tokens that begin a word; 0 marks a free slot */
#define INNER 2u           /* of "##" tokens */

typedef struct edge {
    uint32_t key;   /* node << 8 | byte */
    uint32_t child; /* 0: free */
} edge;

struct wordpiece {
    edge *edges;
    uint32_t mask;     /* slots - 1 */
    uint32_t nodes;    /* next free node number */
    int32_t *token;    /* of each node, -1 for none */
    size_t vocab_size;
    int32_t unk, cls, sep, pad;
};

static uint32_t slot_of(uint32_t key, uint32_t mask)
{
    return (key * 0x9E3779B1u >> 7) & mask;
}

static uint32_t child_of(const wordpiece *w, uint32_t node, unsigned char byte)
{
    uint32_t key = node << 8 | byte;
    for (uint32_t i = slot_of(key, w->mask);; i = (i + 1) & w->mask) {
        if (w->edges[i].child == 0 || w->edges[i].key == key)
            return w->edges[i].child;
    }
}

static void put_edge(edge *edges, uint32_t mask, edge e)
{
    uint32_t i = slot_of(e.key, mask);
    while (edges[i].child != 0)
        i = (i + 1) & mask;
    edges[i] = e;
}

static void add_token(wordpiece *w, const char *p, size_t n, int32_t id)
{
    uint32_t node = ROOT;
    if (n > 2 && memcmp(p, "##", 2) == 0) {
        node = INNER;
        p += 2;
        n -= 2;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t child = child_of(w, node, (unsigned char)p[i]);
        if (child == 0) {
            child = w->nodes++;
            put_edge(w->edges, w->mask, (edge){node << 8 | (unsigned char)p[i], child});
        }
        node = child;
    }
    w->token[node] = id;
}

/* While loading, the hash has room for one node a byte; prefixes are shared, so a smaller one is enough afterwards. */
static bool shrink(wordpiece *w)
{
    uint32_t slots = 1024;
    while (slots < w->nodes * 2)
        slots *= 2;
    edge *small = calloc(slots, sizeof *small);
    if (!small)
        return false;
    for (uint32_t i = 0; i <= w->mask; i++)
        if (w->edges[i].child)
            put_edge(small, slots - 1, w->edges[i]);
    free(w->edges);
    w->edges = small;
    w->mask = slots - 1;
    int32_t *token = realloc(w->token, w->nodes * sizeof *token);
    w->token = token ? token : w->token;
    return true;
}

static mt_status add_lines(wordpiece *w, const char *p, size_t n, char *reason)
{
    static const char *const names[4] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]"};
    int32_t *special[4] = {&w->unk, &w->cls, &w->sep, &w->pad}, id = 0;
    for (size_t at = 0; at < n; id++) {
        const char *end = memchr(p + at, '\n', n - at);
        size_t len = end ? (size_t)(end - p) - at : n - at, next = at + len + 1;
        while (len > 0 && p[at + len - 1] == '\r')
            len--;
        if (len > TOKEN_MAX_BYTES) {
            snprintf(reason, WORDPIECE_REASON, "Line %d of the vocabulary is longer than %d bytes.", id + 1, TOKEN_MAX_BYTES);
            return MT_INVALID;
        }
        add_token(w, p + at, len, id);
        for (int i = 0; i < 4; i++)
            if (len == 5 && memcmp(p + at, names[i], 5) == 0)
                *special[i] = id;
        at = next;
    }
    w->vocab_size = (size_t)id;
    for (int i = 0; i < 4; i++) {
        if (*special[i] < 0) {
            snprintf(reason, WORDPIECE_REASON, "The vocabulary has no %s.", names[i]);
            return MT_INVALID;
        }
    }
    return MT_OK;
}

mt_status wordpiece_parse(wordpiece **out, const char *p, size_t n, char reason[WORDPIECE_REASON])
{
    *out = NULL;
    if (n > VOCAB_MAX_BYTES) {
        snprintf(reason, WORDPIECE_REASON, "The vocabulary is longer than %u MiB.", VOCAB_MAX_BYTES >> 20);
        return MT_TOO_LARGE;
    }
    uint32_t slots = 1024;
    while (slots < n * 2)
        slots *= 2;
    wordpiece *w = calloc(1, sizeof *w);
    mt_status status = MT_NO_MEMORY;
    snprintf(reason, WORDPIECE_REASON, "Out of memory.");
    if (!w)
        return status;
    *w = (wordpiece){.mask = slots - 1, .nodes = 3, .unk = -1, .cls = -1, .sep = -1, .pad = -1};
    w->edges = calloc(slots, sizeof *w->edges);
    w->token = malloc((n + 3) * sizeof *w->token);
    if (w->edges && w->token) {
        memset(w->token, 0xFF, (n + 3) * sizeof *w->token);
        status = add_lines(w, p, n, reason);
    }
    if (status == MT_OK && shrink(w)) {
        w->token[ROOT] = w->token[INNER] = -1; /* an empty line, or a lone "##", matches nothing */
        *out = w;
        return MT_OK;
    }
    wordpiece_destroy(w);
    return status == MT_OK ? MT_NO_MEMORY : status;
}

mt_status wordpiece_load(wordpiece **out, const char *path, char reason[WORDPIECE_REASON])
{
    *out = NULL;
    FILE *f = fopen(path, "rb");
    if (!f) {
        snprintf(reason, WORDPIECE_REASON, "%.100s: %s.", path, strerror(errno));
        return MT_NOT_FOUND;
    }
    char *p = malloc(VOCAB_MAX_BYTES + 1);
    size_t n = p ? fread(p, 1, VOCAB_MAX_BYTES + 1, f) : 0;
    bool failed = ferror(f);
    fclose(f);
    mt_status status = MT_NO_MEMORY;
    if (failed) {
        snprintf(reason, WORDPIECE_REASON, "%.100s cannot be read.", path);
        status = MT_INTERNAL;
    } else if (p) {
        status = wordpiece_parse(out, p, n, reason);
    } else {
        snprintf(reason, WORDPIECE_REASON, "Out of memory.");
    }
    free(p);
    return status;
}

void wordpiece_destroy(wordpiece *w)
{
    if (!w)
        return;
    free(w->edges);
    free(w->token);
    free(w);
}

/* --- encoding --- */

typedef struct encoder {
    const wordpiece *w;
    int32_t *ids;
    size_t cap, n;
    size_t len, chars; /* of the word so far; chars over WORD_MAX_CHARS are counted, not kept */
    char word[WORD_MAX_CHARS * 4];
} encoder;

static void put_id(encoder *e, int32_t id)
{
    if (e->n < e->cap)
        e->ids[e->n] = id;
    e->n++;
}

/* Longest match first; one unmatched piece makes the whole word [UNK]. */
static void end_word(encoder *e)
{
    const wordpiece *w = e->w;
    size_t len = e->len, before = e->n, at = 0;
    bool known = e->chars <= WORD_MAX_CHARS;
    if (e->chars == 0)
        return;
    for (uint32_t root = ROOT; known && at < len; root = INNER) {
        int32_t id = -1;
        size_t end = at;
        uint32_t node = root;
        for (size_t i = at; i < len && (node = child_of(w, node, (unsigned char)e->word[i])) != 0; i++) {
            if (w->token[node] >= 0) {
                id = w->token[node];
                end = i + 1;
            }
        }
        known = id >= 0;
        if (known)
            put_id(e, id);
        at = end;
    }
    if (!known) {
        e->n = before;
        put_id(e, w->unk);
    }
    e->len = e->chars = 0;
}

static void put_char(encoder *e, uint32_t cp)
{
    if (++e->chars <= WORD_MAX_CHARS)
        e->len += mt_utf8_put(cp, e->word + e->len);
}

static void put_alone(encoder *e, uint32_t cp)
{
    end_word(e);
    put_char(e, cp);
    end_word(e);
}

/* What becomes of an ASCII byte: 0 dropped, 1 white space, 2 punctuation, else itself in lower case. */
static unsigned char ascii_class(unsigned char c)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        return 1;
    if (c < 0x20 || c == 0x7F)
        return 0;
    if (c >= 'A' && c <= 'Z')
        return c + 32;
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : 2;
}

static void put_ascii(encoder *e, unsigned char c)
{
    unsigned char k = ascii_class(c);
    if (k == 1)
        end_word(e);
    else if (k == 2)
        put_alone(e, c);
    else if (k != 0) {
        if (++e->chars <= WORD_MAX_CHARS)
            e->word[e->len++] = (char)k;
    }
}

/* The blocks that BERT treats as Chinese: each character is a word. */
static bool is_cjk(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* One code point of the canonical decomposition: marks go, the rest in lower case. */
static void put_decomposed(encoder *e, uint32_t cp)
{
    if (cp < 0x80) {
        put_ascii(e, (unsigned char)cp);
        return;
    }
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    if (k == UTF8PROC_CATEGORY_MN)
        return;
    if (k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO)
        put_alone(e, cp);
    else
        put_char(e, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
}

static void put_wide(encoder *e, uint32_t cp)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    if (cp == 0xFFFD || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO)
        return; /* the reference keeps unassigned code points */
    if (k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP) {
        end_word(e);
        return;
    }
    bool cjk = is_cjk(cp);
    utf8proc_int32_t parts[32];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, parts, 32, UTF8PROC_DECOMPOSE, &boundary);
    if (cjk)
        end_word(e);
    for (utf8proc_ssize_t i = 0; i < n && i < 32; i++)
        put_decomposed(e, (uint32_t)parts[i]);
    if (cjk)
        end_word(e);
}

size_t wordpiece_encode(const wordpiece *w, const char *p, size_t n, int32_t *ids, size_t cap, bool stop)
{
    encoder e = {.w = w, .ids = ids, .cap = cap};
    for (size_t i = 0; i < n && !(stop && e.n > cap);) {
        if ((unsigned char)p[i] < 0x80) {
            put_ascii(&e, (unsigned char)p[i++]);
            continue;
        }
        uint32_t cp;
        i += mt_utf8_next(p + i, n - i, &cp);
        if (cp != MT_UTF8_BAD)
            put_wide(&e, cp);
    }
    end_word(&e);
    return e.n;
}

size_t wordpiece_count(void *user, const char *p, size_t n)
{
    return wordpiece_encode(user, p, n, NULL, 0, false);
}

int32_t wordpiece_cls(const wordpiece *w)
{
    return w->cls;
}

int32_t wordpiece_sep(const wordpiece *w)
{
    return w->sep;
}

int32_t wordpiece_pad(const wordpiece *w)
{
    return w->pad;
}

size_t wordpiece_vocab_size(const wordpiece *w)
{
    return w->vocab_size;
}
