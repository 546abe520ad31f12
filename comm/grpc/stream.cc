#include "comm/grpc/stream.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

#include "base/check.h"

namespace thinwire::comm {

Incoming::Incoming(grpc::ByteBuffer& buffer) {
  if (!buffer.Dump(&slices_).ok()) slices_.clear();
  for (const auto& slice : slices_) bytes_ += slice.size();
}

void Incoming::copy(size_t offset, MutableBytes to) const {
  check(offset <= bytes_ && to.size() <= bytes_ - offset, "the frame holds what is copied");
  for (const auto& slice : slices_) {
    if (to.empty()) return;
    if (offset >= slice.size()) {
      offset -= slice.size();
      continue;
    }
    const size_t num_bytes = std::min(slice.size() - offset, to.size());
    std::memcpy(to.data(), slice.begin() + offset, num_bytes);
    to = to.subspan(num_bytes);
    offset = 0;
  }
}

namespace {

// The client's half. gRPC asks that it lives until OnDone, so it holds itself till then.
class OpenedStream final : public Stream, public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  OpenedStream(std::shared_ptr<StreamListener> listener, std::shared_ptr<void> alive)
      : listener_(std::move(listener)), alive_(std::move(alive)) {}

  void start(const std::shared_ptr<grpc::Channel>& channel, const std::shared_ptr<OpenedStream>& self) {
    self_ = self;
    grpc::GenericStub stub(channel);
    stub.PrepareBidiStreamingCall(&context_, kStreamMethod, {}, this);
    AddHold();  // for writes, which start outside of gRPC's calls to us
    StartRead(&in_);
    StartCall();
  }

  void write(grpc::ByteBuffer frame) override {
    const std::lock_guard lock(mutex_);
    check(!is_writing_, "one write at a time");
    is_writing_ = true;
    out_ = std::move(frame);  // kept when it is too late: its memory may not be let go of here, where the caller holds locks
    if (!is_closed_) StartWrite(&out_);
  }
  void close() override {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    is_closed_ = true;
    if (!is_writing_) end_writes();
  }
  void cancel() override {
    context_.TryCancel();
    close();
  }
  std::string peer() const override { return context_.peer(); }

  void OnReadDone(bool ok) override {
    if (!ok) return close();
    listener_->on_frame(Incoming(in_));
    StartRead(&in_);
  }
  void OnWriteDone(bool) override {
    out_.Clear();
    {
      const std::lock_guard lock(mutex_);
      is_writing_ = false;
      if (is_closed_) return end_writes();
    }
    listener_->on_written();
  }
  void OnDone(const grpc::Status& status) override {
    const auto alive = std::move(alive_);  // goes last
    const auto listener = std::move(listener_);
    const auto self = std::move(self_);
    listener->on_end(status.ok() ? "" : status.error_message().empty() ? "the connection broke" : status.error_message());
  }

 private:
  void end_writes() {  // under mutex_, once
    if (std::exchange(has_ended_writes_, true)) return;
    StartWritesDone();
    RemoveHold();
  }

  grpc::ClientContext context_;
  std::shared_ptr<StreamListener> listener_;
  std::shared_ptr<void> alive_;
  std::shared_ptr<OpenedStream> self_;
  grpc::ByteBuffer in_, out_;
  std::mutex mutex_;
  bool is_writing_ = false, is_closed_ = false, has_ended_writes_ = false;
};

class ServedStream final : public AcceptedStream, public grpc::ServerGenericBidiReactor {
 public:
  ServedStream(grpc::CallbackServerContext& context, StreamServer& server) : context_(context), peer_(context.peer()), server_(server) {}

  void start(const std::shared_ptr<ServedStream>& self) {
    self_ = self;
    StartRead(&in_);
  }

  void listen(std::shared_ptr<StreamListener> listener) override {
    {
      const std::lock_guard lock(mutex_);
      if (!is_done_) {
        listener_ = std::move(listener);
        if (!is_closed_) StartRead(&in_);
        return;
      }
    }
    listener->on_end(kBroke);
  }
  void write(grpc::ByteBuffer frame) override {
    const std::lock_guard lock(mutex_);
    check(!is_writing_, "one write at a time");
    is_writing_ = true;
    out_ = std::move(frame);  // kept when it is too late: its memory may not be let go of here, where the caller holds locks
    if (!is_closed_) StartWrite(&out_);
  }
  void close() override {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_closed_, true)) return;
    if (!is_writing_) Finish(grpc::Status::OK);
  }
  void cancel() override {
    {
      const std::lock_guard lock(mutex_);
      if (!is_done_) context_.TryCancel();  // the context lives until OnDone
    }
    close();
  }
  std::string peer() const override { return peer_; }

  void OnReadDone(bool ok) override {
    if (!ok) {
      has_read_all_ = true;
      return close();
    }
    const auto listener = listening();
    if (listener == nullptr) return server_.on_greeting(self_, Incoming(in_));
    listener->on_frame(Incoming(in_));
    const std::lock_guard lock(mutex_);
    if (!is_closed_) StartRead(&in_);
  }
  void OnWriteDone(bool) override {
    out_.Clear();
    std::shared_ptr<StreamListener> listener;
    {
      const std::lock_guard lock(mutex_);
      is_writing_ = false;
      if (is_closed_) return Finish(grpc::Status::OK);
      listener = listener_;
    }
    if (listener != nullptr) listener->on_written();
  }
  void OnCancel() override {
    was_cancelled_ = true;
    close();
  }
  void OnDone() override {
    std::shared_ptr<StreamListener> listener;
    {
      const std::lock_guard lock(mutex_);
      is_done_ = true;
      listener = std::move(listener_);
    }
    if (listener != nullptr) {
      listener->on_end(was_cancelled_ || !has_read_all_ ? kBroke : "");
    } else {
      server_.on_silent_end(*this);
    }
    const auto self = std::move(self_);
  }

 private:
  static constexpr const char* kBroke = "the connection broke";
  std::shared_ptr<StreamListener> listening() {
    const std::lock_guard lock(mutex_);
    return listener_;
  }

  grpc::CallbackServerContext& context_;
  const std::string peer_;
  StreamServer& server_;
  std::shared_ptr<ServedStream> self_;
  grpc::ByteBuffer in_, out_;
  std::mutex mutex_;
  std::shared_ptr<StreamListener> listener_;
  bool is_writing_ = false, is_closed_ = false, is_done_ = false;
  std::atomic<bool> was_cancelled_ = false, has_read_all_ = false;
};
}  // namespace

std::shared_ptr<Stream> open_stream(const std::shared_ptr<grpc::Channel>& channel, std::shared_ptr<StreamListener> listener,
                                    std::shared_ptr<void> alive) {
  auto stream = std::make_shared<OpenedStream>(std::move(listener), std::move(alive));
  stream->start(channel, stream);
  return stream;
}

grpc::ServerGenericBidiReactor* accept_stream(grpc::CallbackServerContext& context, StreamServer& server,
                                              std::shared_ptr<AcceptedStream>& accepted) {
  auto stream = std::make_shared<ServedStream>(context, server);
  accepted = stream;
  stream->start(stream);
  return stream.get();
}

}  // namespace thinwire::comm
