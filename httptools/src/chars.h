/* chars.h - which bytes may stand where in a head, and how far they go.
 *
 * Each chars_skip function gives the first byte from `at` to `end` that is not
 * of its class, each chars_all function says whether there is none. They look
 * at 16 bytes together where there are so many.
 */
#ifndef HTTPTOOLS_CHARS_H
#define HTTPTOOLS_CHARS_H

#include "compat.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* What a byte may be part of; compare RFC 9110 5.6.2 and 5.5. */
enum {
    CHARS_NAME = 1 << 0,  /* tchar */
    CHARS_VALUE = 1 << 1, /* field-vchar, SP, HTAB */
    CHARS_TARGET = 1 << 2 /* visible, but for '#', which llhttp counts */
};
extern const uint8_t CHARS[256];

/* memcmp() == 0, without the call for what is as short as most tokens are. */
static inline bool
chars_equal(const char *a, const char *b, size_t len)
{
    uint64_t words[2];
    uint32_t halves[2];

    if (len < 4) {
        return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] &&
                            a[len - 1] == b[len - 1]);
    }
    if (len < 8) { /* the two parts may overlap, as below */
        memcpy(&halves[0], a, 4);
        memcpy(&halves[1], b, 4);
        if (halves[0] != halves[1]) {
            return false;
        }
        memcpy(&halves[0], a + len - 4, 4);
        memcpy(&halves[1], b + len - 4, 4);
        return halves[0] == halves[1];
    }
    if (len > 32) {
        return memcmp(a, b, len) == 0;
    }
    for (size_t i = 0; i < len - 8; i += 8) {
        memcpy(&words[0], a + i, 8);
        memcpy(&words[1], b + i, 8);
        if (words[0] != words[1]) {
            return false;
        }
    }
    memcpy(&words[0], a + len - 8, 8);
    memcpy(&words[1], b + len - 8, 8);
    return words[0] == words[1];
}

static inline const char *
chars_skip(const char *at, const char *end, unsigned wanted)
{
    while (at < end && (CHARS[(unsigned char)*at] & wanted)) {
        at++;
    }
    return at;
}

#ifdef __SSE2__

static inline __m128i
chars_between(__m128i bytes, char first, char last)
{
    return _mm_and_si128(
        _mm_cmpgt_epi8(bytes, _mm_set1_epi8((char)(first - 1))),
        _mm_cmplt_epi8(bytes, _mm_set1_epi8((char)(last + 1))));
}

/* A bit for each byte that ends it; in a name what is rare seems to: all but
 * letters and '-'. */
static inline unsigned
chars_end_name(__m128i bytes)
{
    __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    __m128i letters = _mm_cmpgt_epi8(
        _mm_add_epi8(lower, _mm_set1_epi8(INT8_MAX - 'z')),
        _mm_set1_epi8('a' - 1 + INT8_MAX - 'z')); /* 'z' is the largest */
    __m128i hyphens = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(letters, hyphens)) ^
           0xffff;
}

static inline unsigned
chars_end_value(__m128i bytes)
{
    __m128i below = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)),
                                   bytes); /* the space */
    __m128i tabs = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i dels = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(_mm_andnot_si128(tabs, below), dels));
}

static inline unsigned
chars_end_target(__m128i bytes)
{
    __m128i visible = chars_between(bytes, '!', '~');
    __m128i hashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#'));

    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(hashes, visible)) ^
           0xffff;
}

static inline const char *
chars_skip_blocks(const char *at,
                  const char *end,
                  unsigned (*find)(__m128i bytes),
                  unsigned wanted)
{
    while (end - at >= 16) {
        unsigned mask = find(_mm_loadu_si128((const __m128i_u *)at));

        if (mask != 0) {
            return at + __builtin_ctz(mask);
        }
        at += 16;
    }
    return chars_skip(at, end, wanted);
}

static inline const char *
chars_skip_name(const char *at, const char *end)
{
    at = chars_skip_blocks(at, end, chars_end_name, CHARS_NAME);
    return at < end && *at == ':' ? at : chars_skip(at, end, CHARS_NAME);
}

static inline const char *
chars_skip_value(const char *at, const char *end)
{
    return chars_skip_blocks(at, end, chars_end_value, CHARS_VALUE);
}

static inline const char *
chars_skip_target(const char *at, const char *end)
{
    return chars_skip_blocks(at, end, chars_end_target, CHARS_TARGET);
}

/* 8 to 16 bytes, those in the middle twice. */
static inline __m128i
chars_load_short(const char *at, const char *end)
{
    return _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i_u *)at),
                              _mm_loadl_epi64((const __m128i_u *)(end - 8)));
}

static inline bool
chars_all(const char *at,
          const char *end,
          unsigned (*find)(__m128i bytes),
          unsigned wanted)
{
    for (; end - at >= 16; at += 16) {
        if (find(_mm_loadu_si128((const __m128i_u *)at)) != 0) {
            return chars_skip(at, end, wanted) == end;
        }
    }
    return (end - at >= 8 && find(chars_load_short(at, end)) == 0) ||
           chars_skip(at, end, wanted) == end;
}

static inline bool
chars_all_name(const char *at, const char *end)
{
    return chars_all(at, end, chars_end_name, CHARS_NAME);
}

static inline bool
chars_all_value(const char *at, const char *end)
{
    return chars_all(at, end, chars_end_value, CHARS_VALUE);
}

#else

static inline const char *
chars_skip_name(const char *at, const char *end)
{
    return chars_skip(at, end, CHARS_NAME);
}

static inline const char *
chars_skip_value(const char *at, const char *end)
{
    return chars_skip(at, end, CHARS_VALUE);
}

static inline const char *
chars_skip_target(const char *at, const char *end)
{
    return chars_skip(at, end, CHARS_TARGET);
}

static inline bool
chars_all_name(const char *at, const char *end)
{
    return chars_skip(at, end, CHARS_NAME) == end;
}

static inline bool
chars_all_value(const char *at, const char *end)
{
    return chars_skip(at, end, CHARS_VALUE) == end;
}

#endif

#endif
