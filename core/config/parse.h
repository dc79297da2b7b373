/* The text of an option's value, checked and read. Pure functions, any thread. */
#ifndef MTI_CONFIG_PARSE_H
#define MTI_CONFIG_PARSE_H

#include "config/config.h"

/*
 * Checks text against the option's type and range. *number gets the value of an int, size (bytes),
 * duration (ms) or bool; *normal gets the text to keep: text itself, or the listed spelling of an
 * enum or bool (static). MT_INVALID with a sentence that names the option.
 */
mt_status mti_option_parse(const mti_option *o, const char *text, int64_t *number, mt_slice *normal,
                           mti_error *e);

#endif
