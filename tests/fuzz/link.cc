// What strangers may send to a rank's ports: frames and hellos of a link, requests to the store, rosters.
#include "comm/grpc/frame.h"
#include "comm/rendezvous/meeting.h"
#include "comm/rendezvous/store.h"
#include "target.h"

namespace thinwire::fuzz {
namespace {

using namespace comm;

Hello example() {
  Hello hello;
  hello.from = 3;
  hello.session = "0123456789abcdef";
  hello.line = "0/abc/bulk 1/0";
  hello.host = "node7";
  return hello;
}

Bytes behind(const FrameHeader& header, ConstBytes payload) {
  const auto head = encode(header);
  Bytes frame(head.size() + payload.size());
  ByteWriter writer(frame);
  writer.write(ConstBytes(head));
  writer.write(payload);
  return frame;
}

// As a line does with each frame.
void run_link(ConstBytes input) {
  if (input.size() < kFrameHeaderBytes) return;
  const ConstBytes payload = input.subspan(kFrameHeaderBytes);
  try {
    const FrameHeader header = parse_header(input.first(kFrameHeaderBytes), payload.size());
    if (header.kind == FrameHeader::Kind::message) require(payload.size() <= header.value, "a first part is no longer than its message");
    if (header.kind == FrameHeader::Kind::abort) require(printable(payload).size() <= kMostTextBytes, "a reason is short");
    if (header.kind != FrameHeader::Kind::hello) return;
    const Hello hello = parse_hello(payload);
    require(parse_hello(encode(hello)) == hello, "a hello that is accepted can be said again");
  } catch (const CorruptData&) {
  }
}

void run_store(ConstBytes input) {
  try {
    const StoreRequest request = parse_store_request(input);
    require(request.key.size() <= kMostKeyBytes && request.value.size() <= kMostValueBytes, "keys and values are bounded");
    const auto again = encode(request);
    require(Bytes(input.begin(), input.end()) == again, "there is one way to write a request");
  } catch (const CorruptData&) {
  }
}

void run_roster(ConstBytes input) {
  try {
    const Roster roster = parse_roster({reinterpret_cast<const char*>(input.data()), input.size()}, 2);
    require(roster.members.size() == 2, "a roster has a member for each rank");
  } catch (const CorruptData&) {
  } catch (const CommError&) {  // another world, or rank 0's refusal
  }
}
}  // namespace

Target link_target() {
  using Kind = FrameHeader::Kind;
  return {"link", run_link, [] {
            return std::vector<Bytes>{behind({Kind::hello}, encode(example())),
                                      behind({Kind::message, 0, 100}, Bytes(60)),
                                      behind({Kind::part, 0, 60}, Bytes(40)),
                                      behind({Kind::credit, 0, 1000}, {}),
                                      behind({Kind::abort, 5}, bytes_of(std::string_view("rank 1: lost"))),
                                      behind({Kind::bye}, {})};
          }};
}

Target store_target() {
  using Kind = StoreRequest::Kind;
  return {"store", run_store, [] {
            return std::vector<Bytes>{encode(StoreRequest{Kind::set, "run", "rank/1", "{}"}),
                                      encode(StoreRequest{Kind::add, "run", "claims/1", "1"})};
          }};
}

Target roster_target() {
  return {"roster", run_roster, [] {
            const std::string text = encode(Roster{"secret", {{"10.0.0.1", 4000, "a"}, {"fe80::1", 4001, "b"}}});
            const ConstBytes bytes = bytes_of(std::string_view(text));
            return std::vector<Bytes>{Bytes(bytes.begin(), bytes.end())};
          }};
}

}  // namespace thinwire::fuzz
