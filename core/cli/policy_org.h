/* The verbs of `mortise policy` that concern an organization's own policies. */
#ifndef MTI_CLI_POLICY_ORG_H
#define MTI_CLI_POLICY_ORG_H

#include "cli/internal.h"

int mti_policy_list(mti_cli *cli);
int mti_policy_enable(mti_cli *cli);
int mti_policy_shadow(mti_cli *cli);
int mti_policy_disable(mti_cli *cli);
int mti_policy_decisions(mti_cli *cli);
int mti_policy_replay_file(mti_cli *cli);
int mti_policy_explain(mti_cli *cli);

/* A file's text; e says it when it cannot be read. out is initialized. */
mt_status mti_policy_read(const char *path, mti_buf *out, mti_error *e);

#endif
