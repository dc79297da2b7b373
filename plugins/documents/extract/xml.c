/* expat, fed by zip_read. */
#include "xml.h"

#include <expat.h>
#include <stdio.h>

#include "extract_limits.h"

typedef struct reading {
    XML_Parser parser;
    const xml_handler *to;
    int depth;
    mt_status status;
    char *reason;
} reading;

static const char *local(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

const char *xml_attribute(const char *const *attributes, const char *name)
{
    for (; *attributes; attributes += 2)
        if (!strcmp(local(*attributes), name))
            return attributes[1];
    return "";
}

static void stop(reading *r, mt_status status)
{
    r->status = status;
    XML_StopParser(r->parser, XML_FALSE);
}

static void look_at_user(reading *r)
{
    if (r->status == MT_OK && *r->to->status != MT_OK)
        stop(r, *r->to->status);
}

static void on_begin(void *user, const char *name, const char **attributes)
{
    reading *r = user;
    if (++r->depth > EXTRACT_XML_DEPTH) {
        stop(r, doc_fail(r->reason, MT_TOO_LARGE, "The .docx has more than %d elements inside each other.", EXTRACT_XML_DEPTH));
        return;
    }
    if (r->to->begin)
        r->to->begin(r->to->user, local(name), attributes);
    look_at_user(r);
}

static void on_end(void *user, const char *name)
{
    reading *r = user;
    r->depth--;
    if (r->to->end)
        r->to->end(r->to->user, local(name));
    look_at_user(r);
}

static void on_text(void *user, const char *p, int n)
{
    reading *r = user;
    if (r->to->text)
        r->to->text(r->to->user, p, (size_t)n);
    look_at_user(r);
}

static void on_doctype(void *user, const char *name, const char *system, const char *public, int internal)
{
    reading *r = user;
    stop(r, doc_fail(r->reason, MT_INVALID, "The .docx declares XML entities, which no word processor writes: save it again with one."));
}

static mt_status on_piece(void *user, const char *p, size_t n)
{
    reading *r = user;
    if (XML_Parse(r->parser, p, (int)n, 0) == XML_STATUS_OK || r->status != MT_OK)
        return r->status;
    return r->status = doc_fail(r->reason, MT_INVALID, "The .docx holds broken XML (%s): open it in a word processor and save it again.",
                                XML_ErrorString(XML_GetErrorCode(r->parser)));
}

mt_status xml_read(zip *z, const char *part, const xml_handler *handler, char reason[DOC_REASON])
{
    reading r = {.parser = XML_ParserCreate(NULL), .to = handler, .reason = reason};
    if (!r.parser)
        return doc_fail(reason, MT_NO_MEMORY, "Out of memory.");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_begin, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    mt_status s = zip_read(z, part, on_piece, &r, reason);
    if (s == MT_OK && XML_Parse(r.parser, "", 0, 1) != XML_STATUS_OK)
        s = r.status != MT_OK ? r.status : doc_fail(reason, MT_INVALID, "The .docx ends in the middle: it is damaged. Save it again.");
    XML_ParserFree(r.parser);
    return s;
}
