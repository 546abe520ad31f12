// Whether this is a sanitizer's tree: there the long tests take fewer rounds. What they assert in full is asserted in the release tree; a
// sanitizer looks for what goes wrong on the way.
#pragma once

namespace thinwire::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace thinwire::test
