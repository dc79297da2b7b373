#include "scan.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* A word (lower case) that is called as a function. */
typedef struct call_rule {
    const char *word, *rule, *message;
    severity severity;
} call_rule;

static const call_rule calls[] = {
    {"eval", "code_execution", "eval() runs a text as code", SEVERITY_HIGH},
    {"exec", "code_execution", "exec() runs a text as code", SEVERITY_HIGH},
    {"new function", "code_execution", "new Function() runs a text as code", SEVERITY_HIGH},
    {"pickle.loads", "code_execution", "pickle runs code that is in its input", SEVERITY_HIGH},
    {"os.system", "code_execution", "os.system() runs a text in a shell", SEVERITY_MEDIUM},
    {"md5", "weak_hash", "MD5 is broken: use SHA-256, or argon2id for passwords", SEVERITY_MEDIUM},
    {"sha1", "weak_hash", "SHA-1 is broken: use SHA-256, or argon2id for passwords", SEVERITY_MEDIUM},
    {"createhash('md5'", "weak_hash", "MD5 is broken: use SHA-256", SEVERITY_MEDIUM},
    {"createhash(\"md5\"", "weak_hash", "MD5 is broken: use SHA-256", SEVERITY_MEDIUM},
    {"createhash('sha1'", "weak_hash", "SHA-1 is broken: use SHA-256", SEVERITY_MEDIUM},
    {"createhash(\"sha1\"", "weak_hash", "SHA-1 is broken: use SHA-256", SEVERITY_MEDIUM}};

/* A token that announces itself: its prefix, then at least so many letters and digits. */
static const struct { const char *prefix; unsigned rest; } tokens[] = {
    {"AKIA", 16}, {"ghp_", 36}, {"sk_live_", 16}, {"xoxb-", 10}, {"-----BEGIN RSA PRIVATE KEY", 0}, {"-----BEGIN PRIVATE KEY", 0},
    {"-----BEGIN EC PRIVATE KEY", 0}, {"-----BEGIN OPENSSH PRIVATE KEY", 0}};

static const char *const secret_words[] = {"password", "passwd", "secret", "api_key", "apikey", "access_token", "auth_token", "private_key"};
static const char *const harmless[] = {"example", "changeme", "your", "xxxx", "${", "{{", "<", "env", "placeholder", "redacted", "****"};
static const char *const sql_words[] = {"select ", "insert into ", "update ", "delete from "};
static const char *const severities[] = {"low", "medium", "high", "critical"};

typedef struct scan {
    scan_report report;
    void *arg;
    unsigned line;
    bool stopped;
} scan;

static void tell(scan *s, const char *rule, severity severity, const char *message)
{
    finding f = {.rule = rule, .severity = severity, .line = s->line};
    snprintf(f.message, sizeof f.message, "%s", message);
    s->stopped = !s->report(s->arg, &f);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool contains_any(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcasestr(text, words[i]))
            return true;
    return false;
}
#define CONTAINS(text, words) contains_any(text, words, sizeof(words) / sizeof *(words))

/* --- secrets --- */

static bool announces_token(const char *line)
{
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        const char *p = strstr(line, tokens[i].prefix);
        if (!p || (p > line && is_word(p[-1])))
            continue;
        p += strlen(tokens[i].prefix);
        unsigned n = 0;
        while (isalnum((unsigned char)p[n]))
            n++;
        if (n >= tokens[i].rest)
            return true;
    }
    return false;
}

/* word … = "literal" or word: 'literal', eight characters or more that do not look like a place to fill in. */
static bool assigns_literal(const char *after)
{
    char value[128];
    const char *p = after;
    while (is_word(*p) || *p == '"' || *p == '\'' || *p == ']' || *p == ' ')
        p++;
    if (*p != '=' && *p != ':')
        return false;
    p++;
    p += strspn(p, " =>");
    if (*p != '"' && *p != '\'')
        return false;
    const char *end = strchr(p + 1, *p);
    if (!end || end - p - 1 < 8)
        return false;
    snprintf(value, sizeof value, "%.*s", (int)(end - p - 1), p + 1);
    return !CONTAINS(value, harmless) && !strchr(value, ' ');
}

static void scan_secrets(scan *s, const char *line)
{
    if (announces_token(line)) {
        tell(s, "hard_coded_secret", SEVERITY_CRITICAL, "A key or token stands in the source: revoke it and read it from the environment");
        return;
    }
    for (size_t i = 0; i < sizeof secret_words / sizeof *secret_words; i++)
        for (const char *p = line; (p = strcasestr(p, secret_words[i])); p++)
            if (assigns_literal(p + strlen(secret_words[i]))) {
                tell(s, "hard_coded_secret", SEVERITY_HIGH, "A password or secret stands in the source: read it from the environment");
                return;
            }
}

/* --- SQL --- */

/* Whether the literal from open is put together with values: f"…{x}", `…${x}`, "…" + x, "…" % x, "…".format(x). */
static bool is_composed(const char *line, const char *open)
{
    char quote = *open;
    const char *end = strchr(open + 1, quote), *hole = strchr(open, '{');
    bool f_string = open > line && (open[-1] == 'f' || open[-1] == 'F');
    if (hole && (!end || hole < end) && (f_string || (quote == '`' && hole[-1] == '$')))
        return true;
    if (!end || quote == '`')
        return false;
    const char *p = end + 1 + strspn(end + 1, " ");
    return *p == '+' || *p == '%' || (*p == '.' && (p[1] == '.' || p[1] == ' ')) || strncmp(p, ".format(", 8) == 0;
}

static void scan_sql(scan *s, const char *line)
{
    for (size_t i = 0; i < sizeof sql_words / sizeof *sql_words; i++)
        for (const char *p = line; (p = strcasestr(p, sql_words[i])); p++)
            if (p > line && strchr("\"'`", p[-1]) && is_composed(line, p - 1)) {
                tell(s, "sql_concatenation", SEVERITY_HIGH, "SQL is put together from strings: use parameters");
                return;
            }
}

/* --- calls --- */

/* A hash may be a method (hashlib.md5); regex.exec() and its like run no code. */
static bool is_called(const char *line, const char *word, bool method)
{
    size_t n = strlen(word);
    bool whole = strchr(word, '(') != NULL;
    for (const char *p = line; (p = strcasestr(p, word)); p += n) {
        bool begins = p == line || (!is_word(p[-1]) && (method || p[-1] != '.'));
        const char *after = p + n + strspn(p + n, " ");
        if (begins && (whole || *after == '('))
            return true;
    }
    return false;
}

static bool is_comment(const char *line)
{
    line += strspn(line, " \t");
    return line[0] == '#' || (line[0] == '/' && (line[1] == '/' || line[1] == '*')) || line[0] == '*' || (line[0] == '-' && line[1] == '-');
}

static void scan_calls(scan *s, const char *line)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (is_called(line, calls[i].word, !strcmp(calls[i].rule, "weak_hash"))) {
            tell(s, calls[i].rule, calls[i].severity, calls[i].message);
            return;
        }
}

void scan_source(mt_slice source, scan_report report, void *arg)
{
    scan s = {.report = report, .arg = arg};
    line_reader r = {.rest = source};
    while (!s.stopped && line_next(&r)) {
        s.line = r.line;
        scan_secrets(&s, r.text);
        if (!s.stopped && !is_comment(r.text))
            scan_sql(&s, r.text);
        if (!s.stopped && !is_comment(r.text))
            scan_calls(&s, r.text);
    }
}

/* --- lines and severities --- */

bool line_next(line_reader *r)
{
    if (!r->rest.len)
        return false;
    const char *nl = memchr(r->rest.p, '\n', r->rest.len);
    size_t whole = nl ? (size_t)(nl - r->rest.p) : r->rest.len, n = whole;
    if (!r->in_line)
        r->line++;
    if (n > sizeof r->text - 1)
        n = sizeof r->text - 1;
    for (size_t i = 0; i < n; i++)
        r->text[i] = r->rest.p[i] ? r->rest.p[i] : ' ';
    r->text[n] = 0;
    r->in_line = n < whole;
    if (!r->in_line && nl)
        n++;
    r->rest = (mt_slice){r->rest.p + n, r->rest.len - n};
    return true;
}

severity severity_parse(mt_slice text, severity fallback)
{
    for (int i = 0; i < 4; i++)
        if (mt_slice_eq(text, mt_str(severities[i])))
            return (severity)i;
    return fallback;
}

const char *severity_name(severity s)
{
    return severities[s];
}

double severity_cost(severity s)
{
    static const double costs[] = {2, 5, 15, 30};
    return costs[s];
}
