#include "comm/mpi/abort_line.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "comm/mpi/call.h"

namespace thinwire::comm {

namespace {
constexpr int kAbortTag = 0;
constexpr size_t kMaxTextBytes = 2000;  // small enough to go out at once, without a handshake
constexpr auto kPatience = std::chrono::milliseconds(500);

// The code as int32, then the text.
struct NoticeInFlight {
  std::vector<std::byte> bytes;
  std::vector<MPI_Request> requests;
};

bool all_sent(NoticeInFlight& notice) {
  int done = 0;
  MPI_Testall(static_cast<int>(notice.requests.size()), notice.requests.data(), &done, MPI_STATUSES_IGNORE);
  return done != 0;
}
}  // namespace

AbortLine::AbortLine(MPI_Comm channel_comm) {
  require_mpi(MPI_Comm_dup(channel_comm, &comm_), "MPI_Comm_dup");
  require_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

void AbortLine::tell_all(ExitCode code, std::string_view why) {
  int rank = 0, size = 1;
  MPI_Comm_rank(comm_, &rank);
  MPI_Comm_size(comm_, &size);
  why = why.substr(0, kMaxTextBytes);
  auto notice = std::make_unique<NoticeInFlight>();
  notice->bytes.resize(sizeof(int32_t) + why.size());
  ByteWriter writer(notice->bytes);
  writer.write(static_cast<int32_t>(code));
  writer.write(bytes_of(why));
  for (int peer = 0; peer < size; ++peer) {
    if (peer == rank) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(notice->bytes.data(), static_cast<int>(notice->bytes.size()), MPI_BYTE, peer, kAbortTag, comm_, &request);
    notice->requests.push_back(request);
  }
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!all_sent(*notice)) {
    if (std::chrono::steady_clock::now() > give_up) {
      (void)notice.release();  // MPI may read it for as long as the process lives
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

std::optional<AbortLine::Notice> AbortLine::listen() {
  int waits = 0;
  MPI_Status status;
  require_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kAbortTag, comm_, &waits, &status), "MPI_Iprobe");
  if (!waits) return std::nullopt;
  std::byte bytes[sizeof(int32_t) + kMaxTextBytes];
  int num_bytes = 0;
  require_mpi(MPI_Recv(bytes, sizeof bytes, MPI_BYTE, status.MPI_SOURCE, kAbortTag, comm_, &status), "MPI_Recv");
  require_mpi(MPI_Get_count(&status, MPI_BYTE, &num_bytes), "MPI_Get_count");
  const std::string source = "abort notice of member " + std::to_string(status.MPI_SOURCE);
  ByteReader reader({bytes, static_cast<size_t>(std::max(num_bytes, 0))}, source);
  const auto code = reader.read<int32_t>("code");
  const ConstBytes text = reader.take(reader.remaining(), "text");
  const bool is_failure = code > 0 && code < 256;
  return Notice{status.MPI_SOURCE, is_failure ? static_cast<ExitCode>(code) : ExitCode::comm,
                std::string(reinterpret_cast<const char*>(text.data()), text.size())};
}

void AbortLine::free() { MPI_Comm_free(&comm_); }

}  // namespace thinwire::comm
