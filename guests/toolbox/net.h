/* TCP for wget and nc: one connection, nothing that blocks but net_wait and the two that make it.
 * net_component.c has WASI 0.2 below it, net_posix.c (only for tests of this code) a normal system;
 * a core module has no sockets. A text in *why tells what went wrong. */
#pragma once

#include "toolbox.h"

struct conn;
enum { kNetReadable = 1, kNetWritable = 2, kNetInput = 4 };

enum { kAddressesMax = 16, kAddressBytes = 56 };
/* A host's addresses as text, at most kAddressesMax; 0: *why. */
size_t net_lookup(const char* host, char (*texts)[kAddressBytes], double seconds, const char** why);
/* Each address of the host is tried. NULL: *why. */
struct conn* net_connect(const char* host, uint16_t port, double seconds, const char** why);
/* Listens on all addresses, takes one connection. */
struct conn* net_accept(uint16_t port, double seconds, const char** why);
/* Waits for any of `what`; kNetInput is the process's own standard input. Which are ready; 0: the
 * time is over. Seconds below zero: no end. */
int net_wait(struct conn* conn, int what, double seconds);
/* Bytes; 0: none now, -1: the end or a failure (then *why is set, else NULL). */
ssize_t net_read(struct conn* conn, char* to, size_t size, const char** why);
ssize_t net_write(struct conn* conn, const char* bytes, size_t size, const char** why);
ssize_t net_input(struct conn* conn, char* to, size_t size);
void net_end_sending(struct conn* conn);
void net_close(struct conn* conn);
