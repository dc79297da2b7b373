/* Log lines: an event name and key=value fields, as logfmt or JSON, to one descriptor, one write a line. Thread-safe. */
#ifndef MTI_BASE_LOG_H
#define MTI_BASE_LOG_H

#include <mortise/types.h>

/* Level by who must act: nobody yet (debug), nobody (info), an operator soon (warn), an operator now (error). */
typedef enum mti_log_level { MTI_LOG_DEBUG, MTI_LOG_INFO, MTI_LOG_WARN, MTI_LOG_ERROR } mti_log_level;
typedef enum mti_log_format { MTI_LOG_LOGFMT, MTI_LOG_JSON } mti_log_format;

void mti_log_setup(int fd, mti_log_level min, mti_log_format format);
bool mti_log_enabled(mti_log_level level);
/* The line carries time, level, event and the fields; values are quoted as needed and cut at 2 KiB. Never pass a secret. */
void mti_log_fields(mti_log_level level, const char *event, const mt_field *fields, size_t n);
/* fmt is a list of key=%… pairs separated by single spaces, one conversion a value: mti_log(MTI_LOG_INFO, "db.up", "version=%d ms=%.1f", v, ms) */
void mti_log(mti_log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
