/* chat/1 as this plugin provides it. */
#ifndef CHAT_SERVICE_H
#define CHAT_SERVICE_H

#include "chat.h"

extern const mt_chat_1_provider chat_service;

#endif
