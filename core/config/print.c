/* The configuration for people and programs, and the option table as Markdown. */
#include "config/config.h"

#include <ctype.h>
#include <stdio.h>

static const char *const type_names[] = {
    [MTI_OPT_STRING] = "string", [MTI_OPT_INT] = "int",           [MTI_OPT_BOOL] = "bool",
    [MTI_OPT_SIZE] = "size",     [MTI_OPT_DURATION] = "duration", [MTI_OPT_ENUM] = "enum",
    [MTI_OPT_SECRET] = "secret",
};

static const char *shown(const mti_config *c, const mti_option *o)
{
    const char *text = mti_config_str(c, o->name);
    if (o->type == MTI_OPT_SECRET)
        return *text ? "set" : "";
    return text;
}

static void print_table(const mti_config *c, mti_buf *out)
{
    size_t n, width[2] = {4, 5};
    const mti_option *o = mti_options(&n);
    for (size_t i = 0; i < n; i++) {
        size_t name = strlen(o[i].name), text = strlen(shown(c, &o[i]));
        width[0] = name > width[0] ? name : width[0];
        width[1] = text > width[1] && text <= 48 ? text : width[1];
    }
    mti_buf_addf(out, "%-*s  %-*s  origin\n", (int)width[0], "name", (int)width[1], "value");
    for (size_t i = 0; i < n; i++)
        mti_buf_addf(out, "%-*s  %-*s  %s\n", (int)width[0], o[i].name, (int)width[1],
                     *shown(c, &o[i]) ? shown(c, &o[i]) : "-", mti_config_origin(c, o[i].name));
}

static void add_member(mti_buf *out, const char *name, const char *text)
{
    mti_buf_addf(out, "\"%s\":", name);
    mti_buf_add_json(out, mt_str(text));
}

static void print_json(const mti_config *c, mti_buf *out)
{
    size_t n;
    const mti_option *o = mti_options(&n);
    mti_buf_adds(out, "{\"items\":[");
    for (size_t i = 0; i < n; i++) {
        mti_buf_adds(out, i ? ",\n{" : "\n{");
        add_member(out, "name", o[i].name);
        mti_buf_addc(out, ',');
        add_member(out, "value", shown(c, &o[i]));
        mti_buf_addc(out, ',');
        add_member(out, "origin", mti_config_origin(c, o[i].name));
        mti_buf_addc(out, ',');
        add_member(out, "type", type_names[o[i].type]);
        mti_buf_addc(out, '}');
    }
    mti_buf_adds(out, "\n]}\n");
}

void mti_config_print(const mti_config *c, bool json, mti_buf *out)
{
    if (json)
        print_json(c, out);
    else
        print_table(c, out);
}

static void add_env_names(mti_buf *out, const mti_option *o)
{
    mti_buf_adds(out, "`MORTISE_");
    for (const char *p = o->name; *p; p++)
        mti_buf_addc(out, *p == '.' ? '_' : (char)toupper((unsigned char)*p));
    mti_buf_adds(out, "`");
    for (const char *p = o->env; p && *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        mti_buf_addf(out, ", `%.*s`", (int)len, p);
        p += len;
    }
}

void mti_options_markdown(mti_buf *out)
{
    size_t n;
    const mti_option *o = mti_options(&n);
    mti_buf_adds(out, "# Options\n\nGenerated from options.c by `mortise config --markdown`.\n\n"
                      "| name | type | default | flag | environment | what it does "
                      "|\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        mti_buf_addf(out, "| %s | %s", o[i].name, type_names[o[i].type]);
        if (o[i].values) {
            mti_buf_adds(out, " ");
            for (const char *p = o[i].values; *p; p++)
                mti_buf_adds(out, *p == '|' ? ", " : (char[]){*p, 0});
        }
        mti_buf_addf(out, " | %s | `--%s", *o[i].fallback ? o[i].fallback : "-", o[i].name);
        if (o[i].flag)
            mti_buf_addf(out, "`, `--%s", o[i].flag);
        mti_buf_adds(out, "` | ");
        add_env_names(out, &o[i]);
        mti_buf_addf(out, " | %s |\n", o[i].help);
    }
}
