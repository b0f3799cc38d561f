#include "chars.h"

enum {
    NV = CHARS_NAME | CHARS_VALUE,
    VT = CHARS_VALUE | CHARS_TARGET,
    ALL = CHARS_NAME | CHARS_VALUE | CHARS_TARGET
};

const uint8_t CHARS[256] = {
    ['\t'] = CHARS_VALUE, [' '] = CHARS_VALUE,
    ['!'] = ALL,          ['"'] = VT,
    ['#'] = NV,           ['$'] = ALL,
    ['%'] = ALL,          ['&'] = ALL,
    ['\''] = ALL,         ['('] = VT,
    [')'] = VT,           ['*'] = ALL,
    ['+'] = ALL,          [','] = VT,
    ['-'] = ALL,          ['.'] = ALL,
    ['/'] = VT,           ['0' ... '9'] = ALL,
    [':' ... '@'] = VT,   ['A' ... 'Z'] = ALL,
    ['[' ... ']'] = VT,   ['^' ... '`'] = ALL,
    ['a' ... 'z'] = ALL,  ['{'] = VT,
    ['|'] = ALL,          ['}'] = VT,
    ['~'] = ALL,          [0x80 ... 0xff] = CHARS_VALUE,
};
