/*
 * Looks at source text line by line. Knows no language: rules are words and shapes that hardly differ between languages, so a finding is a
 * place to look at, not a proof. Pure functions, any thread; nothing is allocated.
 */
#ifndef SECURITY_SCANNER_SCAN_H
#define SECURITY_SCANNER_SCAN_H

#include <mortise/types.h>

typedef enum severity { SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH, SEVERITY_CRITICAL } severity;

typedef struct finding {
    const char *rule;
    severity severity;
    unsigned line;               /* from 1 */
    char message[200];
} finding;

/* f is the callee's for the call only. False ends the scan. */
typedef bool (*scan_report)(void *arg, const finding *f);

/* hard_coded_secret, sql_concatenation, code_execution, weak_hash. */
void scan_source(mt_slice source, scan_report report, void *arg);
/* vulnerable_dependency; only in files whose name is that of a dependency list. */
void scan_dependencies(mt_slice file_name, mt_slice source, scan_report report, void *arg);

/* "low" … "critical"; fallback for another text. */
severity severity_parse(mt_slice text, severity fallback);
const char *severity_name(severity s);
/* What a finding takes off the score of 100. */
double severity_cost(severity s);

/* The next line, or piece of an overlong one, as a NUL-terminated text in out; false at the end. line counts real lines. */
typedef struct line_reader {
    mt_slice rest;
    unsigned line;
    bool in_line;
    char text[2048];
} line_reader;
bool line_next(line_reader *r);

#endif
