/* Which engine has a model: what was found out is kept, so that the second question costs a look into a short table. */
#ifndef EMBEDDING_ROUTES_H
#define EMBEDDING_ROUTES_H

#include <mortise/interfaces.h>
#include <pthread.h>

enum { ROUTES_MAX = 64, MODEL_NAME_MAX = 100 };

typedef struct route {
    char model[MODEL_NAME_MAX + 1];
    mt_slice engine;            /* the provider's slug; lives as long as the host */
} route;

/* Any thread; no lock is held while an engine is asked. */
typedef struct routes {
    pthread_rwlock_t lock;
    unsigned n;
    route items[ROUTES_MAX];
} routes;

void routes_init(routes *r);
void routes_dispose(routes *r);

/* The engine that has the model: the first active one whose describe knows it. MT_NOT_FOUND with the problem set. Does not suspend. */
mt_status routes_find(routes *r, mt_call *c, mt_slice model, mt_slice *engine);
/* After the engine has failed: asks again. True when *engine has become another one, which is worth a second try. */
bool routes_moved(routes *r, mt_call *c, mt_slice model, mt_slice *engine);

#endif
