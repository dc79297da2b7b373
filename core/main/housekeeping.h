/* Regular work of the host that no request asks for. */
#ifndef MTI_MAIN_HOUSEKEEPING_H
#define MTI_MAIN_HOUSEKEEPING_H

#include "plugin/host.h"

/* Starts the fiber that lets the database forget old answers and finished jobs, every ten minutes. Loop 0's thread; it ends when the host stops. */
void mti_housekeeping_start(mti_host *h);
/* Wakes it so that it ends now. Loop 0's thread. */
void mti_housekeeping_stop(void);

#endif
