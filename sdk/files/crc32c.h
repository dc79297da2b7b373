/* CRC-32C (Castagnoli), with the processor's instruction where there is one. Pure: any thread. */
#ifndef MORTISE_FILES_CRC32C_H
#define MORTISE_FILES_CRC32C_H

#include <mortise/types.h>

/* Continues from `crc` (0 at first) over p[0..n). */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without the instruction: for tests and other processors. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
