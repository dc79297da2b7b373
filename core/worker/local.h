/* What a plugin in a worker gets without asking the host: the worker's own tables and functions. */
#ifndef MTI_WORKER_LOCAL_H
#define MTI_WORKER_LOCAL_H

#include <mortise/interfaces.h>

mt_slice mti_local_request_new_id(mt_call *c);
mt_status mti_local_request_problem(mt_call *c, int32_t status, mt_slice code, mt_slice detail, mt_slice pointer);
mt_slice mti_local_request_problem_code(mt_call *c);
mt_slice mti_local_request_problem_detail(mt_call *c);
bool mti_local_request_cancelled(mt_call *c);
mt_status mti_local_request_sleep(mt_call *c, int64_t ms);

uint32_t mti_local_db_rows(mt_call *c, mt_handle result);
mt_slice mti_local_db_value(mt_call *c, mt_handle result, uint32_t row, mt_slice column);

/* The table of an interface that is the worker's own; NULL: none of that name. */
const void *mti_local_interface(mt_slice id);

#endif
