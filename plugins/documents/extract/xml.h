/* One part of a .docx as a stream of elements. Names come without their prefix. A DOCTYPE, and so every entity, is refused. One thread. */
#ifndef DOCUMENTS_EXTRACT_XML_H
#define DOCUMENTS_EXTRACT_XML_H

#include "zip.h"

typedef struct xml_handler {
    void (*begin)(void *user, const char *name, const char *const *attributes);
    void (*end)(void *user, const char *name);
    void (*text)(void *user, const char *p, size_t n);   /* these three may be NULL */
    const mt_status *status;                             /* of the user: no longer MT_OK ends the reading */
    void *user;
} xml_handler;

/* As zip_read; MT_INVALID and MT_TOO_LARGE (depth) come with a reason, the user's own status without. */
mt_status xml_read(zip *z, const char *part, const xml_handler *handler, char reason[DOC_REASON]);

/* The value of the attribute of this name without its prefix, or "". Valid during begin. */
const char *xml_attribute(const char *const *attributes, const char *name);

#endif
