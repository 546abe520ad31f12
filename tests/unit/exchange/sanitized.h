// Defines THINWIRE_TEST_IS_SANITIZED under a sanitizer, where long tests take fewer rounds.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define THINWIRE_TEST_IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THINWIRE_TEST_IS_SANITIZED 1
#endif
