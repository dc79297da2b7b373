/* A hook's payload as JSON: cases, recorded decisions, explanations. */
#ifndef MTI_POLICY_PAYLOAD_H
#define MTI_POLICY_PAYLOAD_H

#include "bus/catalogue.h"
#include "json/json.h"
#include "loop/call.h"

/* The payload of a hook, in the call's arena, from an object of its fields and of the names that
 * every ctx has (which go into the call); MT_INVALID names in why what it has not. */
mt_status mti_policy_payload_make(const mti_hook_info *hook, mt_call *c, const json_t *ctx,
                                  void **payload, char *why, size_t size);
/* The same backwards. */
void mti_policy_payload_write(const mti_hook_info *hook, const mt_call *c, const void *payload,
                              mti_buf *out);

#endif
