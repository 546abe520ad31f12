#include <climits>

#include "base/check.h"
#include "base/hash.h"
#include "comm/group.h"
#include "comm/mpi/call.h"
#include "comm/mpi/channel.h"
#include "comm/mpi/mpi.h"

namespace thinwire::comm {

namespace {
class MpiTransport final : public Transport {
 public:
  explicit MpiTransport(size_t message_limit_bytes) : limit_bytes_(message_limit_bytes) {
    check(limit_bytes_ > 0 && limit_bytes_ <= INT_MAX, "a part's length is a positive int");
    require_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    require_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  }
  int world_rank() const override { return rank_; }
  int world_size() const override { return size_; }
  std::string_view name() const override { return "mpi"; }

  std::unique_ptr<Channel> open(const Group& group, std::string_view name) override {
    index_in(group, rank_, size_);
    // Threads that open different channels at the same time must not meet in each other's: the tag keeps them apart.
    constexpr uint64_t kSmallestTagLimit = 32767;  // what every MPI allows
    const int tag = static_cast<int>(hash64(name, group.epoch) % kSmallestTagLimit);
    MPI_Group world = MPI_GROUP_NULL, members = MPI_GROUP_NULL;
    MPI_Comm comm = MPI_COMM_NULL;
    require_mpi(MPI_Comm_group(MPI_COMM_WORLD, &world), "MPI_Comm_group");
    require_mpi(MPI_Group_incl(world, static_cast<int>(group.members.size()), group.members.data(), &members), "MPI_Group_incl");
    const int error = MPI_Comm_create_group(MPI_COMM_WORLD, members, tag, &comm);
    MPI_Group_free(&members);
    MPI_Group_free(&world);
    require_mpi(error, "MPI_Comm_create_group");
    return std::make_unique<MpiChannel>(comm, group.members, limit_bytes_);
  }

 private:
  const size_t limit_bytes_;
  int rank_ = 0, size_ = 1;
};
}  // namespace

std::unique_ptr<Transport> make_mpi_transport(size_t message_limit_bytes) { return std::make_unique<MpiTransport>(message_limit_bytes); }

}  // namespace thinwire::comm
