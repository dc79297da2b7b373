#include "bus/catalogue.h"

int mti_hook_find(mt_slice name)
{
    for (unsigned i = 0; i < mti_hook_count; i++)
        if (mt_slice_eq(name, mt_str(mti_hook_catalogue[i].name)))
            return (int)i;
    return -1;
}
