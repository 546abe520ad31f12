// The transport suite over gRPC with threads for ranks, what is particular to it, and strangers at its ports.
#include "comm/grpc/grpc.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/collectives.h"
#include "comm/grpc/connection.h"
#include "comm/grpc/frame.h"
#include "comm/grpc/stream.h"
#include "tests/support/free_port.h"
#include "tests/support/transport_cases.h"
#include "tests/support/transport_suite.h"

namespace thinwire::comm {
namespace {

using test::comm_error_of;
using test::Line;
using testing::HasSubstr;

LaunchEnvironment environment_of(int rank, int world, int port) {
  LaunchEnvironment environment;
  environment.rank = environment.local_rank = rank;
  environment.world = environment.local_world = world;
  environment.source = "WORLD_SIZE";
  environment.meeting =
      Meeting{.host = "127.0.0.1", .port = port, .num_ports = 1, .run = "test", .source = "MASTER_ADDR and MASTER_PORT", .is_local = true};
  return environment;
}

// Each rank's body on a thread of its own, with its transport. The first exception is rethrown when all have ended.
void run_grpc_ranks(int world, const std::function<void(Transport&)>& body) {
  const int port = test::free_port();
  std::mutex mutex;
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      log::set_rank(rank);
      try {
        const auto transport = make_grpc_transport(environment_of(rank, world, port), {});
        body(*transport);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

class GrpcSuite : public testing::TestWithParam<std::tuple<test::TransportCase, int>> {};

TEST_P(GrpcSuite, Holds) {
  const auto& [one, num_ranks] = GetParam();
  run_grpc_ranks(num_ranks, one.run);
}

INSTANTIATE_TEST_SUITE_P(Every, GrpcSuite,
                         testing::Combine(testing::ValuesIn(test::transport_cases().begin(), test::transport_cases().end()),
                                          testing::Values(1, 2, 4)),
                         [](const auto& of) { return std::get<0>(of.param).name + std::to_string(std::get<1>(of.param)) + "Ranks"; });

Op send_to(int peer, ConstBytes bytes) { return {Op::Kind::send, peer, {const_cast<std::byte*>(bytes.data()), bytes.size()}}; }
Op receive_from(int peer, MutableBytes bytes) { return {Op::Kind::recv, peer, {bytes.data(), bytes.size()}}; }

std::vector<std::byte> pattern(size_t num_bytes, size_t seed) {
  std::vector<std::byte> bytes(num_bytes);
  for (size_t i = 0; i < num_bytes; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 256 + i / 65536 + seed);
  return bytes;
}

// Longer than a part, than the window, and not a multiple of either.
TEST(Grpc, LongMessagesArriveWhole) {
  run_grpc_ranks(2, [](Transport& transport) {
    Line line(transport, "long");
    const int own = line.wire.rank(), other = 1 - own;
    size_t seed = 0;
    for (const size_t num_bytes : {kPartBytes - 1, kPartBytes, kPartBytes + 1, kWindowBytes + 12345, 3 * kWindowBytes}) {
      ++seed;
      const auto out = pattern(num_bytes, seed + static_cast<size_t>(own));
      std::vector<std::byte> in(num_bytes + 1);
      Op ops[] = {send_to(other, out), receive_from(other, in)};
      line.wire.run(ops, "exchange");
      ASSERT_EQ(ops[1].received, num_bytes);
      in.resize(num_bytes);
      EXPECT_TRUE(in == pattern(num_bytes, seed + static_cast<size_t>(other)));
    }
  });
}

// A sender that nobody receives from is held back by the window, and an abort still overtakes what waits.
TEST(Grpc, AnAbortOvertakesMessagesThatNobodyReceives) {
  run_grpc_ranks(2, [](Transport& transport) {
    Line line(transport, "full"), control(transport, "control");
    const std::vector<std::byte> out(4 * kWindowBytes);
    if (line.wire.rank() == 0) {
      Op send = send_to(1, out);
      const Ticket ticket = line.channel->post({&send, 1});
      const Stopwatch waited;
      while (waited.seconds() < 0.3) ASSERT_EQ(line.channel->poll(ticket).state, Status::State::pending);
      EXPECT_EQ(line.channel->waiting_for(ticket), std::vector<int>{1});
      barrier(control.wire);
      line.channel->abort(ExitCode::data, "shard 4 is corrupt");
      EXPECT_EQ(line.channel->poll(ticket).state, Status::State::failed);
    } else {
      barrier(control.wire);
      Status health;
      const Stopwatch waited;
      while ((health = line.channel->health()).state == Status::State::pending && waited.seconds() < 20) std::this_thread::yield();
      EXPECT_EQ(health.why, "rank 0: shard 4 is corrupt");
      EXPECT_EQ(health.code, ExitCode::data);
    }
  });
}

TEST(Grpc, WhatAMemberSentBeforeItLeftStillArrivesAndThenItIsMissed) {
  run_grpc_ranks(2, [](Transport& transport) {
    const std::vector<std::byte> out = pattern(100'000, 3);
    if (transport.world_rank() == 1) {
      Line leaving(transport, "line");
      Op send = send_to(0, out);
      leaving.wire.run({&send, 1}, "send");
      return;
    }
    Line waiting(transport, "line");
    std::vector<std::byte> in(out.size());
    Op receive = receive_from(1, in);
    waiting.wire.run({&receive, 1}, "receive");
    EXPECT_TRUE(in == out);
    EXPECT_THAT(comm_error_of([&] { waiting.wire.run({&receive, 1}, "receive"); }).what(), HasSubstr("rank 1 left"));
  });
}

TEST(Grpc, ARankThatNeverOpensTheChannelIsMissedAtOnce) {
  run_grpc_ranks(2, [](Transport& transport) {
    if (transport.world_rank() == 1) return;
    Line line(transport, "line");
    const Stopwatch waited;
    EXPECT_THAT(comm_error_of([&] { barrier(line.wire); }).what(), HasSubstr("rank 1"));
    EXPECT_LT(waited.seconds(), test::kPatience_s / 2);
  });
}

TEST(Grpc, AnEpochIsAChannelOfItsOwn) {
  run_grpc_ranks(2, [](Transport& transport) {
    const auto old_epoch = transport.open({.epoch = 1, .members = {0, 1}}, "line"),
               new_epoch = transport.open({.epoch = 2, .members = {0, 1}}, "line");
    Line control(transport, "control");
    std::byte byte{};
    if (transport.world_rank() == 0) {
      Op send = send_to(1, {&byte, 1});
      old_epoch->post({&send, 1});
      barrier(control.wire);
    } else {
      Op receive = receive_from(0, {&byte, 1});
      const Ticket ticket = new_epoch->post({&receive, 1});
      barrier(control.wire);
      EXPECT_EQ(new_epoch->poll(ticket).state, Status::State::pending);
      EXPECT_EQ(new_epoch->waiting_for(ticket), std::vector<int>{0});
    }
    barrier(control.wire);
  });
}

TEST(Grpc, RefusesGroupsThatCannotBe) {
  const auto transport = make_grpc_transport(environment_of(0, 1, 1), {});
  EXPECT_THROW(transport->open({.members = {1}}, "without me"), BrokenInvariant);
  EXPECT_THROW(transport->open({.members = {0, 0}}, "twice"), BrokenInvariant);
}

// --- at the start ---

TEST(GrpcStart, NamesTheRanksThatDidNotCome) {
  CommOptions hurried;
  hurried.start_timeout_s = 1;
  const int port = test::free_port();
  std::vector<std::string> said(2);
  std::vector<std::thread> threads;
  for (const int rank : {0, 2}) {
    threads.emplace_back([&, rank] {
      said[rank == 0 ? 0 : 1] = comm_error_of([&] { make_grpc_transport(environment_of(rank, 4, port), hurried); }).what();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(said[0], HasSubstr("ranks 1,3 of 4 did not come"));
  EXPECT_THAT(said[1], HasSubstr("rank 0: ranks 1,3 of 4 did not come"));
}

TEST(GrpcStart, SaysThatRankZeroDoesNotAnswer) {
  CommOptions hurried;
  hurried.start_timeout_s = 0.5;
  const int port = test::free_port();
  const CommError error = comm_error_of([&] { make_grpc_transport(environment_of(1, 2, port), hurried); });
  EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(std::to_string(port)), HasSubstr("MASTER_ADDR and MASTER_PORT"), HasSubstr("rank 0")));
}

TEST(GrpcStart, TwoProcessesOfOneRankAreNamed) {
  const int port = test::free_port();
  std::vector<std::string> said(3);
  std::vector<std::thread> threads;
  CommOptions hurried;
  hurried.start_timeout_s = 2;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      try {
        make_grpc_transport(environment_of(i == 0 ? 0 : 1, 3, port), hurried);
      } catch (const CommError& e) {
        said[static_cast<size_t>(i)] = e.what();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(said[1] + said[2], HasSubstr("two processes say that they are rank 1 of 3"));
  EXPECT_THAT(said[0], HasSubstr("rank 2 of 3 did not come"));
}

TEST(GrpcStart, APortInUseIsNamedWithTheReason) {
  const test::Listener other;
  const CommError error = comm_error_of([&] { make_grpc_transport(environment_of(0, 2, other.port()), {}); });
  EXPECT_THAT(error.what(),
              testing::AllOf(HasSubstr("cannot listen at 127.0.0.1:" + std::to_string(other.port())),
                             HasSubstr("another process listens there"), HasSubstr("MASTER_PORT"), HasSubstr("lo 127.0.0.1")));
}

TEST(GrpcStart, WithoutAMeetingItSaysWhatToSet) {
  LaunchEnvironment environment = environment_of(0, 4, 1);
  environment.meeting.reset();
  try {
    make_grpc_transport(environment, {});
    FAIL() << "accepted";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), testing::AllOf(HasSubstr("MASTER_ADDR"), HasSubstr("comm.grpc.store"), HasSubstr("4 ranks")));
  }
}

TEST(GrpcStart, AnInterfaceThatThereIsNotIsNamed) {
  CommOptions options;
  options.grpc.address = "wlan77";
  options.start_timeout_s = 5;
  try {
    make_grpc_transport(environment_of(0, 2, test::free_port()), options);
    FAIL() << "accepted";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(), testing::AllOf(HasSubstr("wlan77"), HasSubstr("lo 127.0.0.1")));
  }
}

// --- strangers ---

class Stranger final : public StreamListener {
 public:
  void on_frame(Incoming) override { ++frames; }
  void on_written() override {}
  void on_end(const std::string&) override { ended.set_value(); }
  std::atomic<int> frames = 0;
  std::promise<void> ended;
};

grpc::ByteBuffer frame_of(const FrameHeader& header, ConstBytes payload) {
  const auto head = encode(header);
  std::vector<std::byte> bytes(head.begin(), head.end());
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return to_buffer(bytes);
}

void be_refused(int port, grpc::ByteBuffer greeting) {
  const auto alive = std::make_shared<int>();
  const auto stranger = std::make_shared<Stranger>();
  auto ended = stranger->ended.get_future();
  const auto stream = open_stream(connect_to("127.0.0.1", port), stranger, alive);
  stream->write(std::move(greeting));
  ASSERT_EQ(ended.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(stranger->frames, 0) << "nothing is told to strangers";
  while (alive.use_count() > 1) std::this_thread::yield();
}

void send_raw(int port, const std::string& text) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in there = {};
  there.sin_family = AF_INET;
  there.sin_port = htons(static_cast<uint16_t>(port));
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&there), sizeof there), 0);
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  close(fd);
}

TEST(GrpcStrangers, AreRefusedAndDisturbNobody) {
  const int link_port = test::free_port();
  std::promise<void> is_up, go_on;
  auto may_go_on = go_on.get_future().share();
  std::atomic<int> up = 0;
  const int port = test::free_port();
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      log::set_rank(rank);
      CommOptions options;
      if (rank == 0) options.grpc.ports = std::to_string(link_port);
      const auto transport = make_grpc_transport(environment_of(rank, 2, port), options);
      Line line(*transport, "line");
      barrier(line.wire);
      if (++up == 2) is_up.set_value();
      may_go_on.wait();
      EXPECT_NO_THROW(barrier(line.wire));
    });
  }
  is_up.get_future().wait();
  using Kind = FrameHeader::Kind;
  Hello hello;
  hello.from = 1;
  hello.session = "guessed";
  hello.line = "0/0/line/0";
  testing::internal::CaptureStderr();
  be_refused(link_port, frame_of({Kind::hello}, encode(hello)));
  hello.version = 99;
  be_refused(link_port, frame_of({Kind::hello}, encode(hello)));
  be_refused(link_port, frame_of({Kind::bye}, {}));
  be_refused(link_port, frame_of({Kind::message, 0, uint64_t{1} << 40}, pattern(1000, 1)));
  be_refused(link_port, to_buffer(pattern(3, 1)));
  be_refused(link_port, to_buffer(pattern(2'000'000, 1)));
  send_raw(link_port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  send_raw(link_port, std::string(10'000, '\xff'));
  const std::string said = testing::internal::GetCapturedStderr();
  go_on.set_value();
  for (auto& rank : ranks) rank.join();
  EXPECT_THAT(said, testing::AllOf(HasSubstr("[rank 0 "), HasSubstr("refused a connection from"), HasSubstr("another run"),
                                   HasSubstr("version 99"), HasSubstr("no greeting")));
}

}  // namespace
}  // namespace thinwire::comm
