#include "trainer/host_memory.h"

#include <ATen/ATen.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstring>

namespace thinwire::trainer {

namespace {
MutableBytes bytes_of(const at::Tensor& tensor) { return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()}; }
}  // namespace

MutableBytes HostMemory::of(const at::Tensor& tensor) {
  const auto given = tensor.detach();
  if (given.is_cpu()) return of(bytes_of(given));
  if (kind_ == Kind::live) {
    copies_.emplace_back(tensor, given.cpu());
    return bytes_of(copies_.back().second);
  }
  const at::Tensor copy = room(given.nbytes(), given.is_cuda());
  // On the stream that computes, behind what changed it last.
  copy.view(given.scalar_type()).view(given.sizes()).copy_(given, given.is_cuda());
  if (std::find(devices_.begin(), devices_.end(), given.device()) == devices_.end()) devices_.push_back(given.device());
  return bytes_of(copy);
}

MutableBytes HostMemory::of(MutableBytes on_host) {
  if (kind_ == Kind::live) return on_host;
  const MutableBytes copy = bytes_of(room(on_host.size(), false));
  if (!on_host.empty()) std::memcpy(copy.data(), on_host.data(), on_host.size());
  return copy;
}

MutableBytes HostMemory::of(const exchange::StatePiece& piece) {
  if (piece.home->is_host()) return of(piece.memory);
  const size_t num_bytes = piece.memory.size();
  const MutableBytes copy = kind_ == Kind::live ? pieces_.emplace_back(Piece{piece, std::vector<std::byte>(num_bytes)}).bytes
                                                : bytes_of(room(num_bytes, at::hasCUDA()));
  piece.home->fetch(copy, piece.memory.data());
  return copy;
}

void HostMemory::store() {
  for (const auto& [tensor, copy] : copies_) tensor.detach().copy_(copy);
  for (const Piece& copy : pieces_) copy.of.home->store(copy.of.memory.data(), copy.bytes);
}

void HostMemory::end_snapshot() {
  for (const c10::Device& device : devices_) c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
  devices_.clear();
}

at::Tensor HostMemory::room(size_t num_bytes, bool pinned) {
  const auto bytes = static_cast<int64_t>(num_bytes);
  if (next_room_ == rooms_.size()) rooms_.emplace_back();
  Room& room = rooms_[next_room_++];
  if (!room.bytes.defined() || room.bytes.numel() < bytes || room.is_pinned != pinned) {
    room = {at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(pinned)), pinned};
  }
  return room.bytes.narrow(0, 0, bytes);
}

}  // namespace thinwire::trainer
