/* guard.h - what is refused of what llhttp accepts.
 *
 * All limits are positions, so that whether one is exceeded, and which one
 * first, does not depend on how the bytes were cut into feeds: what is over a
 * position is refused when the byte behind it is met. Nothing here runs Python
 * code; each function answers as a hook of llhttp: 0, or other than 0 to stop.
 */
#ifndef HTTPTOOLS_GUARD_H
#define HTTPTOOLS_GUARD_H

#include "events.h"

typedef unsigned char Byte; /* llhttp's, in its hooks */

/* The words for a refusal, and how a server should answer. */
typedef struct {
    const char *name;
    const char *reason;
    int status;
} RefusalInfo;
extern const RefusalInfo REFUSALS[REFUSED_COUNT];

/* Stop, for this reason, or because the limit of the phase is exceeded. */
int guard_refuse(Events *events, Refusal refusal);
int guard_refuse_phase(Events *events);

/* A token from p to endp, or the next piece of one. */
int guard_check_url(Events *events, const Byte *p, const Byte *endp);
int guard_check_name(Events *events, const Byte *p, const Byte *endp);
int guard_check_value(Events *events, const Byte *p, const Byte *endp);
int guard_check_protocol(Events *events, const Byte *p, const Byte *endp);
int guard_check_piece(Events *events, const Byte *p, const Byte *endp);

/* Whether p is over the limit of the phase. */
static inline int
guard_check(Events *events, const void *p)
{
    size_t at = events_position(events, p);

    return at <= events->phase_end && at <= events->quiet_end
               ? 0
               : guard_refuse_phase(events);
}

/* Something is reported: whitespace counts from here. */
static inline void
guard_hear(Events *events, const void *p)
{
    events->quiet_end = events_position(events, p) + MAX_QUIET;
}

/* What every span's hook does first: whether the span is refused, and that
 * something is heard of. Where there is no limit, two comparisons. */
static inline int
guard_refuses(Events *events,
              const Byte *p,
              const Byte *endp,
              int (*check)(Events *, const Byte *, const Byte *))
{
    if (events->policy.has_limits ||
        events_position(events, p) > events->quiet_end) {
        if (check(events, p, endp)) {
            return HPE_USER;
        }
    }
    guard_hear(events, endp);
    return 0;
}

#endif
