// Where what lies in a flight record: 64-bit words in the order of this host. Internal to base/flight.
//
//   header | track | track | ...        a track: header | kDepth events under way | kEnded events that have ended, a ring
//
// An event's first word is 0 while it is being written; else its kind and how many of its track began before it, so that no two writings of
// one place are alike.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/flight.h"

namespace thinwire::flight::layout {

inline constexpr uint64_t kMagic = 0x3148'4749'4c46'5754;  // "TWFLIGH1": the last digit is the version
inline constexpr size_t kMostTracks = 64;

// Of the header:
inline constexpr size_t kMagicAt = 0, kRankAt = 1, kProcessAt = 2, kStepAt = 3, kBeatAt = 4, kNumTracksAt = 5, kHostAt = 6, kHostWords = 8;
inline constexpr size_t kHeaderWords = kHostAt + kHostWords;
// Of an event:
inline constexpr size_t kKindAt = 0, kNumberAt = 1, kEventStepAt = 2, kPeerAt = 3, kBytesAt = 4, kBeginAt = 5, kEndAt = 6, kNameAt = 7,
                        kNameWords = 6;
inline constexpr size_t kEventWords = kNameAt + kNameWords;
// Of a track:
inline constexpr size_t kBegunAt = 0, kNumEndedAt = 1, kChangedAt = 2, kThreadIdAt = 3, kThreadAt = 4, kThreadWords = 2;
inline constexpr size_t kTrackHeaderWords = kThreadAt + kThreadWords;
inline constexpr size_t kTrackWords = kTrackHeaderWords + (kDepth + kEnded) * kEventWords;

constexpr size_t words_of(size_t num_tracks) { return kHeaderWords + num_tracks * kTrackWords; }
constexpr size_t track_at(size_t track) { return kHeaderWords + track * kTrackWords; }
constexpr size_t event_at(size_t event) { return kTrackHeaderWords + event * kEventWords; }  // within a track: first those under way
constexpr size_t open_at(size_t depth) { return event_at(depth); }
constexpr size_t ended_at(size_t place) { return event_at(kDepth + place); }

constexpr uint64_t marked(Kind kind, uint64_t ordinal) { return (ordinal + 1) << 8 | static_cast<uint64_t>(kind); }

}  // namespace thinwire::flight::layout
