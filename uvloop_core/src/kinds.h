/* kinds.h - which transport serves which kind of connection. module.c alone
 * includes it: here the listener, which knows no transport, and the
 * transports, which know no listener, are joined.
 */
#ifndef UVLOOP_CORE_KINDS_H
#define UVLOOP_CORE_KINDS_H

#include "listener.h"
#include "tcp.h"
#include "unix.h"

const ListenerKind listener_kinds[] = {
    {AF_INET, tcp_accepted},
    {AF_INET6, tcp_accepted},
    {AF_UNIX, unix_accepted},
    {AF_UNSPEC, NULL},
};

#endif
