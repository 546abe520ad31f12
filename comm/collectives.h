// Collectives on bytes, written on send and receive alone, so that every transport has them and all agree to the last bit.
//
// Each is called by all members in the same order. N = wire.size(). Costs are per rank: steps and bytes sent. Empty messages are sent like
// others; with one member nothing happens. A peer's message of an impossible size is a CommError, and the channel is then dead.
// Where a `Memory` can be given, it says where the bytes of all buffers lie, and what they wait for; nothing here reads them.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "comm/wire.h"

namespace thinwire::comm {

// Everyone has entered before anyone leaves. Dissemination: ceil(log2 N) steps of one byte.
void barrier(Wire& wire);

// Root's bytes in everyone's buffer (equal sizes). Binomial tree: ceil(log2 N) steps, at most ceil(log2 N) * n bytes at the root.
void broadcast(Wire& wire, MutableBytes bytes, int root, Memory memory = {});

// Every member's message, by rank; sizes may differ and need not be known: `into[r]` has room for rank r's and is cut to its true size.
// into[own rank] is left alone: its owner has it. One step, (N - 1) * n bytes.
void all_gather(Wire& wire, ConstBytes mine, std::span<MutableBytes> into, Memory memory = {});

// For messages of unknown size up to max_bytes_each (a peer that sends more is a CommError). Returns every rank's message, own included.
std::vector<std::vector<std::byte>> all_gather(Wire& wire, ConstBytes mine, size_t max_bytes_each);

// to[r] goes to rank r; what rank r has for us arrives in from[r], cut to its true size. Own entries are left alone.
// One step, the sum of |to[r]|.
void all_to_all(Wire& wire, std::span<const ConstBytes> to, std::span<MutableBytes> from, Memory memory = {});

// Sum of everyone's n floats, in place, added in rank order 0, 1, ..., N-1 by the owner of each slice: the same bits on every rank,
// transport and run. Two-shot (scatter slices to their owners, gather the sums): 2 steps, 2 n (N - 1) / N floats.
void sum_in_rank_order(Wire& wire, std::span<float> values);

// The slice [begin, end) of n elements that rank `owner` of N adds up: multiples of `align`, the remainder to the last owners.
struct Slice {
  size_t begin, end;
  size_t size() const { return end - begin; }
};
Slice owned_slice(size_t num_elems, int owner, int num_owners, size_t align = 1);

}  // namespace thinwire::comm
