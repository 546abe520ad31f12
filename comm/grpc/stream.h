// One gRPC stream of frames between two ranks, whichever of them opened it. Internal to grpc.
//
// Runs on gRPC's threads: a listener's functions are called there, one at a time, and must not wait. Thread-safe.
#pragma once
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace thinwire::comm {

// A received frame: what gRPC read, never copied into one piece.
class Incoming {
 public:
  explicit Incoming(grpc::ByteBuffer& buffer);
  size_t size() const { return bytes_; }
  // Copies to.size() bytes from `offset`; there are so many.
  void copy(size_t offset, MutableBytes to) const;

 private:
  std::vector<grpc::Slice> slices_;
  size_t bytes_ = 0;
};

class StreamListener {
 public:
  virtual ~StreamListener() = default;
  virtual void on_frame(Incoming frame) = 0;
  virtual void on_written() = 0;                    // the last write() is over; its bytes may still be under way
  virtual void on_end(const std::string& why) = 0;  // once; nothing follows. `why` is empty when the peer closed it in peace
};

class Stream {
 public:
  virtual ~Stream() = default;
  // One at a time: on_written() comes before the next, unless the stream ends. Does nothing once it has ended.
  virtual void write(grpc::ByteBuffer frame) = 0;
  virtual void close() = 0;              // after what is being written; on_end() follows
  virtual void cancel() = 0;             // at once: on_end() follows
  virtual std::string peer() const = 0;  // its address
};

// Opens a stream to whoever serves at the channel's other end. Keeps the listener until on_end() has returned, and `alive` until gRPC's
// thread has left the stream for good: the last owner of a stream must be no thread of gRPC's, since with a process's last channel these
// threads are joined.
std::shared_ptr<Stream> open_stream(const std::shared_ptr<grpc::Channel>& channel, std::shared_ptr<StreamListener> listener,
                                    std::shared_ptr<void> alive);

// A stream that a peer opened: it reads one frame, which `greeting` judges; listen() then lets it go on.
class AcceptedStream : public Stream {
 public:
  virtual void listen(std::shared_ptr<StreamListener> listener) = 0;
};
class StreamServer {
 public:
  virtual ~StreamServer() = default;
  virtual void on_greeting(std::shared_ptr<AcceptedStream> stream, Incoming frame) = 0;  // on gRPC's threads
  virtual void on_silent_end(AcceptedStream& stream) = 0;                                // of a stream that nobody listens to
};
// The reactor of a call to kStreamMethod; gRPC deletes it in time.
grpc::ServerGenericBidiReactor* accept_stream(grpc::CallbackServerContext& context, StreamServer& server,
                                              std::shared_ptr<AcceptedStream>& accepted);

inline constexpr const char* kStreamMethod = "/thinwire.Link/Open";

}  // namespace thinwire::comm
