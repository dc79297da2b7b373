#include "bus/catalogue.h"

int mti_hook_find(mt_slice name)
{
    for (unsigned i = 0; i < mti_hook_count; i++)
        if (mt_slice_eq(name, mt_str(mti_hook_catalogue[i].name)))
            return (int)i;
    return -1;
}

static size_t common_size(const mti_hook_info *hook, const void *given)
{
    uint32_t size = *(const uint32_t *)given;
    return size < hook->size ? size : hook->size;
}

void *mti_payload_begin(const mti_hook_info *hook, void *given, void *room)
{
    uint32_t size = *(const uint32_t *)given;
    if (size < hook->least)
        return NULL;
    if (size == hook->size)
        return given;
    memset(room, 0, hook->size);
    memcpy(room, given, common_size(hook, given));
    *(uint32_t *)room = hook->size;
    return room;
}

void mti_payload_end(const mti_hook_info *hook, void *given, const void *whole)
{
    size_t n = common_size(hook, given);
    if (whole != given)
        memcpy((char *)given + sizeof(uint32_t), (const char *)whole + sizeof(uint32_t), n - sizeof(uint32_t));
}
