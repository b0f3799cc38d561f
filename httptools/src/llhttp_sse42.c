/* llhttp's state machine a second time, for processors that have SSE4.2: it
 * then looks at 16 bytes of a header at once. module.c chooses.
 *
 * Both copies share the parser's struct (its state is a number, the same in
 * both) and our hooks; so what the machine defines itself is renamed here.
 */
#include "llhttp_sse42.h"

#if LLHTTP_SSE42

#pragma GCC target("sse4.2")

#define llhttp__internal__c_and_flags llhttp_sse42__c_and_flags
#define llhttp__internal__c_is_equal_content_length                           \
    llhttp_sse42__c_is_equal_content_length
#define llhttp__internal__c_is_equal_method llhttp_sse42__c_is_equal_method
#define llhttp__internal__c_is_equal_upgrade llhttp_sse42__c_is_equal_upgrade
#define llhttp__internal__c_load_header_state llhttp_sse42__c_load_header_state
#define llhttp__internal__c_load_http_major llhttp_sse42__c_load_http_major
#define llhttp__internal__c_load_http_minor llhttp_sse42__c_load_http_minor
#define llhttp__internal__c_load_initial_message_completed                    \
    llhttp_sse42__c_load_initial_message_completed
#define llhttp__internal__c_load_method llhttp_sse42__c_load_method
#define llhttp__internal__c_load_type llhttp_sse42__c_load_type
#define llhttp__internal__c_mul_add_content_length                            \
    llhttp_sse42__c_mul_add_content_length
#define llhttp__internal__c_mul_add_content_length_1                          \
    llhttp_sse42__c_mul_add_content_length_1
#define llhttp__internal__c_mul_add_status_code                               \
    llhttp_sse42__c_mul_add_status_code
#define llhttp__internal__c_or_flags llhttp_sse42__c_or_flags
#define llhttp__internal__c_or_flags_1 llhttp_sse42__c_or_flags_1
#define llhttp__internal__c_or_flags_17 llhttp_sse42__c_or_flags_17
#define llhttp__internal__c_or_flags_18 llhttp_sse42__c_or_flags_18
#define llhttp__internal__c_or_flags_20 llhttp_sse42__c_or_flags_20
#define llhttp__internal__c_or_flags_5 llhttp_sse42__c_or_flags_5
#define llhttp__internal__c_or_flags_6 llhttp_sse42__c_or_flags_6
#define llhttp__internal__c_or_flags_7 llhttp_sse42__c_or_flags_7
#define llhttp__internal__c_or_flags_8 llhttp_sse42__c_or_flags_8
#define llhttp__internal__c_store_header_state                                \
    llhttp_sse42__c_store_header_state
#define llhttp__internal__c_store_http_major llhttp_sse42__c_store_http_major
#define llhttp__internal__c_store_http_minor llhttp_sse42__c_store_http_minor
#define llhttp__internal__c_store_method llhttp_sse42__c_store_method
#define llhttp__internal__c_test_flags llhttp_sse42__c_test_flags
#define llhttp__internal__c_test_flags_2 llhttp_sse42__c_test_flags_2
#define llhttp__internal__c_test_flags_3 llhttp_sse42__c_test_flags_3
#define llhttp__internal__c_test_flags_4 llhttp_sse42__c_test_flags_4
#define llhttp__internal__c_test_lenient_flags                                \
    llhttp_sse42__c_test_lenient_flags
#define llhttp__internal__c_test_lenient_flags_1                              \
    llhttp_sse42__c_test_lenient_flags_1
#define llhttp__internal__c_test_lenient_flags_2                              \
    llhttp_sse42__c_test_lenient_flags_2
#define llhttp__internal__c_test_lenient_flags_20                             \
    llhttp_sse42__c_test_lenient_flags_20
#define llhttp__internal__c_test_lenient_flags_21                             \
    llhttp_sse42__c_test_lenient_flags_21
#define llhttp__internal__c_test_lenient_flags_23                             \
    llhttp_sse42__c_test_lenient_flags_23
#define llhttp__internal__c_test_lenient_flags_25                             \
    llhttp_sse42__c_test_lenient_flags_25
#define llhttp__internal__c_test_lenient_flags_3                              \
    llhttp_sse42__c_test_lenient_flags_3
#define llhttp__internal__c_test_lenient_flags_4                              \
    llhttp_sse42__c_test_lenient_flags_4
#define llhttp__internal__c_test_lenient_flags_7                              \
    llhttp_sse42__c_test_lenient_flags_7
#define llhttp__internal__c_test_lenient_flags_8                              \
    llhttp_sse42__c_test_lenient_flags_8
#define llhttp__internal__c_update_content_length                             \
    llhttp_sse42__c_update_content_length
#define llhttp__internal__c_update_finish llhttp_sse42__c_update_finish
#define llhttp__internal__c_update_finish_1 llhttp_sse42__c_update_finish_1
#define llhttp__internal__c_update_finish_3 llhttp_sse42__c_update_finish_3
#define llhttp__internal__c_update_header_state                               \
    llhttp_sse42__c_update_header_state
#define llhttp__internal__c_update_header_state_1                             \
    llhttp_sse42__c_update_header_state_1
#define llhttp__internal__c_update_header_state_3                             \
    llhttp_sse42__c_update_header_state_3
#define llhttp__internal__c_update_header_state_6                             \
    llhttp_sse42__c_update_header_state_6
#define llhttp__internal__c_update_header_state_7                             \
    llhttp_sse42__c_update_header_state_7
#define llhttp__internal__c_update_header_state_8                             \
    llhttp_sse42__c_update_header_state_8
#define llhttp__internal__c_update_http_major llhttp_sse42__c_update_http_major
#define llhttp__internal__c_update_http_minor llhttp_sse42__c_update_http_minor
#define llhttp__internal__c_update_initial_message_completed                  \
    llhttp_sse42__c_update_initial_message_completed
#define llhttp__internal__c_update_status_code                                \
    llhttp_sse42__c_update_status_code
#define llhttp__internal__c_update_type llhttp_sse42__c_update_type
#define llhttp__internal__c_update_type_1 llhttp_sse42__c_update_type_1
#define llhttp__internal__c_update_upgrade llhttp_sse42__c_update_upgrade
#define llhttp__internal_execute llhttp_sse42_execute
#define llhttp__internal_init llhttp_sse42_init

/* The file is not ours to correct. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* It is the point of this file to compile that one. */
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include <../src/llhttp.c>

#endif
