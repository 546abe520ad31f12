#include "comm/rendezvous/store.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/stopwatch.h"
#include "comm/grpc/connection.h"
#include "comm/rendezvous/interfaces.h"
#include "comm/rendezvous/meeting.h"
#include "comm/rendezvous/node_list.h"
#include "comm/rendezvous/store_wire.h"
#include "tests/support/free_port.h"
#include "tests/support/transport_cases.h"

namespace thinwire::comm {
namespace {

using test::comm_error_of;
using testing::HasSubstr;

Meeting meeting_at(int port, int num_ports = 1, const std::string& run = "run 1") {
  return {.host = "127.0.0.1", .port = port, .num_ports = num_ports, .run = run, .source = "a test", .is_local = true};
}

class StoreTest : public testing::Test {
 protected:
  const Meeting meeting_ = meeting_at(test::free_port());
  StoreServer server_{meeting_, "127.0.0.1"};
  Store store_{meeting_, 10};
};

TEST_F(StoreTest, GivesWhatWasSetAndAddsUp) {
  store_.set("a", "1");
  store_.set("a", std::string("2\0x", 3));
  EXPECT_EQ(store_.get("a", 1), std::string("2\0x", 3));
  EXPECT_EQ(store_.add("n", 5), 5);
  EXPECT_EQ(store_.add("n", -7), -2);
  EXPECT_EQ(store_.get("n", 1), "-2");
}

TEST_F(StoreTest, AGetWaitsUntilAnotherSets) {
  std::promise<void> asked;
  auto waiting = std::async(std::launch::async, [&] {
    Store other(meeting_, 10);
    asked.set_value();
    return other.get("late", 30);
  });
  asked.get_future().wait();
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  store_.set("late", "here");
  EXPECT_EQ(waiting.get(), "here");
}

TEST_F(StoreTest, AGetEndsWithItsDeadline) {
  const Stopwatch waited;
  EXPECT_EQ(store_.get("never", 0.2), std::nullopt);
  EXPECT_GE(waited.seconds(), 0.19);
  EXPECT_LT(waited.seconds(), 10);
}

TEST_F(StoreTest, WhatCannotBeAddedIsRefusedAndStays) {
  store_.set("text", "abc");
  EXPECT_THAT(comm_error_of([&] { store_.add("text", 1); }).what(), HasSubstr("'text'"));
  EXPECT_EQ(store_.get("text", 1), "abc");
  store_.set("n", std::to_string(INT64_MAX));
  EXPECT_THAT(comm_error_of([&] { store_.add("n", 1); }).what(), HasSubstr("'n'"));
}

TEST_F(StoreTest, AnotherRunIsRefusedAndChangesNothing) {
  const CommError error = comm_error_of([&] { Store stranger(meeting_at(meeting_.port, 1, "run 2"), 0.3); });
  EXPECT_THAT(error.what(), HasSubstr("another run"));
  EXPECT_EQ(store_.get("store", 1), "0");  // ours asked once
}

TEST_F(StoreTest, HostileRequestsAreRefusedAndTheStoreGoesOn) {
  const auto ask = [&](std::vector<std::byte> bytes, const char* method) {
    grpc::GenericStub stub(connect_to("127.0.0.1", meeting_.port));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const grpc::ByteBuffer out = to_buffer(bytes);
    grpc::ByteBuffer in;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, {}, &out, &in, [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    return status.ok() ? parse_store_reply(to_bytes(in, kMostRequestBytes)).kind : StoreReply::Kind::over;
  };
  const auto good = encode(StoreRequest{StoreRequest::Kind::set, "run 1", "k", "v"});
  for (size_t num_bytes = 0; num_bytes < good.size(); ++num_bytes)
    EXPECT_EQ(ask({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(num_bytes)}, kStoreMethod), StoreReply::Kind::refused)
        << num_bytes;
  auto lying = good;
  store_le(&lying[8], uint32_t{0xfffffff0});
  EXPECT_EQ(ask(lying, kStoreMethod), StoreReply::Kind::refused);
  EXPECT_EQ(ask(encode(StoreRequest{StoreRequest::Kind::set, "run 1", std::string(kMostKeyBytes + 1, 'k'), "v"}), kStoreMethod),
            StoreReply::Kind::refused);
  EXPECT_EQ(ask(std::vector<std::byte>(5'000'000), kStoreMethod), StoreReply::Kind::over);  // beyond gRPC's own limit
  EXPECT_EQ(ask(good, "/other.Service/Method"), StoreReply::Kind::over);
  store_.set("k2", "v2");
  EXPECT_EQ(store_.get("k2", 1), "v2");
}

TEST(Store, RankZeroTakesTheNextPortAndOthersFindIt) {
  const test::Listener taken;
  const Meeting meeting = meeting_at(taken.port(), 8);
  StoreServer server(meeting, "127.0.0.1");
  EXPECT_GT(server.port(), taken.port());
  Store store(meeting, 20);
  EXPECT_EQ(store.address(), "127.0.0.1:" + std::to_string(server.port()));
}

TEST(Store, WhoWaitsIsToldWhenRankZeroEnds) {
  const Meeting meeting = meeting_at(test::free_port());
  auto server = std::make_unique<StoreServer>(meeting, "127.0.0.1");
  Store store(meeting, 10);
  auto waiting = std::async(std::launch::async, [&] { return comm_error_of([&] { store.get("never", 60); }); });
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  server.reset();
  EXPECT_THAT(waiting.get().what(), HasSubstr("rank 0"));
}

TEST(Store, IsAwaitedByWhoComesFirst) {
  const Meeting meeting = meeting_at(test::free_port());
  auto early = std::async(std::launch::async, [&] { return Store(meeting, 30).address(); });
  EXPECT_EQ(early.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  StoreServer server(meeting, "127.0.0.1");
  EXPECT_EQ(early.get(), "127.0.0.1:" + std::to_string(meeting.port));
}

TEST(Meeting, RostersComeBackAndOthersAreRefused) {
  const Roster roster{"secret", {{"10.0.0.1", 4000, "a"}, {"fe80::1", 4001, "b"}}};
  const Roster back = parse_roster(encode(roster), 2);
  EXPECT_EQ(back.session, "secret");
  EXPECT_EQ(back.members[1].ip, "fe80::1");
  EXPECT_EQ(back.members[1].port, 4001);
  EXPECT_THAT(comm_error_of([&] { parse_roster(encode(roster), 3); }).what(), testing::AllOf(HasSubstr("2 ranks"), HasSubstr("told of 3")));
  for (const char* text :
       {"", "{", "[]", R"({"session": 1, "members": []})", R"({"session": "s", "members": [{"ip": "x", "port": 1, "host": "h"}]})",
        R"({"session": "s", "members": [{"ip": "10.0.0.1", "port": 99999, "host": "h"}]})"}) {
    EXPECT_THROW(parse_roster(text, 1), CorruptData) << text;
  }
}

TEST(NodeList, TheFirstHostIsFound) {
  EXPECT_EQ(first_host("node1"), "node1");
  EXPECT_EQ(first_host("node1,node2"), "node1");
  EXPECT_EQ(first_host("node[01-03,07],login"), "node01");
  EXPECT_EQ(first_host("rack[2,4]-node[9-11]"), "rack2-node9");
  EXPECT_EQ(first_host("n[003].cluster.org"), "n003.cluster.org");
  for (const char* text : {"", ",a", "node[", "node[]", "node[a-b]", "node]", "a b", "node[1x]"})
    EXPECT_THROW(first_host(text), ConfigError) << text;
}

TEST(Addresses, AreFoundAndChosen) {
  EXPECT_EQ(resolve("127.0.0.1"), std::vector<std::string>{"127.0.0.1"});
  EXPECT_EQ(resolve("localhost").front(), "127.0.0.1");
  EXPECT_THAT(comm_error_of([] { resolve("no-such-host.invalid"); }).what(), HasSubstr("'no-such-host.invalid'"));
  EXPECT_EQ(address_towards("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(own_address("auto", "127.0.0.1", false), "127.0.0.1");
  EXPECT_EQ(own_address("lo", "10.0.0.1", true), "127.0.0.1");
  EXPECT_EQ(own_address("127.0.0.0/8", "10.0.0.1", true), "127.0.0.1");
  EXPECT_EQ(own_address("10.9.8.7", "10.0.0.1", true), "10.9.8.7");
  EXPECT_THROW(own_address("10.0.0.0/99", "10.0.0.1", true), ConfigError);
  EXPECT_THROW(own_address("203.0.113.0/24", "10.0.0.1", true), ConfigError);
  EXPECT_EQ(with_port("::1", 5), "[::1]:5");
  const test::Listener taken;
  EXPECT_EQ(why_not_listen("127.0.0.1", taken.port()), "another process listens there");
  EXPECT_EQ(why_not_listen("127.0.0.1", test::free_port()), "");
}

TEST(Addresses, PortsAndHostsAreParsed) {
  EXPECT_EQ(parse_ports("any").last, 0);
  EXPECT_EQ(parse_ports("40000").last, 40000);
  EXPECT_EQ(parse_ports("40000-40100").last, 40100);
  for (const char* text : {"", "0", "70000", "5-4", "4-", "x", "1-2-3"}) EXPECT_THROW(parse_ports(text), ConfigError) << text;
  EXPECT_EQ(parse_host_port("node1:29500", "x").host, "node1");
  EXPECT_EQ(parse_host_port("[::1]:29500", "x").host, "::1");
  for (const char* text : {"", "node1", "node1:", ":1", "::1:5", "node1:0", "[]:1"})
    EXPECT_THROW(parse_host_port(text, "x"), ConfigError) << text;
}

}  // namespace
}  // namespace thinwire::comm
