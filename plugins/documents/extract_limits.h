/* The bounds of reading an uploaded file, in one place; those that an operator may want to move are also in plugin.json (config_schema). */
#ifndef DOCUMENTS_EXTRACT_LIMITS_H
#define DOCUMENTS_EXTRACT_LIMITS_H

#include "doc_text.h"

#define EXTRACT_FILE_MAX (64u << 20)          /* bytes of a file; DOC_MAX_BYTES bounds its text */
#define EXTRACT_PAGES 5000u                   /* of a PDF; configuration: /extract/pages */
#define EXTRACT_CPU_SECONDS 30u               /* of each process; /extract/cpu_seconds */
#define EXTRACT_WALL_SECONDS 60u              /* watched by the parent; /extract/wall_seconds */
#define EXTRACT_MEMORY_MIB 1024u              /* address space of each process; /extract/memory_mib */
#define EXTRACT_PATHS_MAX (16u << 20)         /* bytes of all section paths together */
#define EXTRACT_XML_DEPTH 256                 /* elements inside each other, .docx */
#define EXTRACT_ZIP_ENTRIES 10000u            /* parts of a .docx */
#define EXTRACT_INFLATED_MAX (256u << 20)     /* bytes that a .docx may unpack to, all parts that are read together */
#define EXTRACT_RATIO 200u                    /* unpacked bytes for each byte of the .docx, beyond the first EXTRACT_RATIO_FREE */
#define EXTRACT_RATIO_FREE (4u << 20)
#define EXTRACT_CSV_COLUMNS 4096u

#endif
