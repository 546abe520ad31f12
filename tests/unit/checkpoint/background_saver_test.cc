// Saves beside training: what they are of, who waits for them, and how their failures come out.
#include "checkpoint/background_saver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <thread>

#include "comm/collectives.h"
#include "comm/loopback/loopback.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Stops every fsync of a file until it is opened.
class Gate : public Files {
 public:
  void open() { promise_.set_value(); }
  void sync(int file, const fs::path& path) override {
    opened_.wait();
    Files::sync(file, path);
  }

 private:
  std::promise<void> promise_;
  std::shared_future<void> opened_ = promise_.get_future().share();
};

class FailingSync : public Files {
  void sync(int, const fs::path& path) override {
    throw CheckpointError("cannot bring " + path.string() + " to the disk: Input/output error");
  }
};

TEST(BackgroundSaver, CommitsWhatItWasGiven) {
  TempDir dir;
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 5);
    Store store(dir.path(), driver, {});
    BackgroundSaver saver(store);
    EXPECT_FALSE(saver.under_way());
    saver.begin(20, model.state(), some_facts());
    EXPECT_TRUE(saver.under_way());
    const auto outcome = saver.collect();
    EXPECT_FALSE(saver.under_way());
    EXPECT_EQ(outcome.step, 20);
    EXPECT_EQ(outcome.failure, "");
    EXPECT_GT(outcome.save_s, 0);
    Model loaded(driver.rank(), 9);
    State state = loaded.state();
    store.load(20, state);
    loaded.numbers = state.numbers;
    EXPECT_EQ(loaded, model);
  });
}

// While a save is held up by its disk, control and bulk lanes carry what training says, in an order of its own.
TEST(BackgroundSaver, DoesNotHoldUpTheExchange) {
  TempDir dir;
  const auto gate = std::make_shared<Gate>();
  on_ranks(3, [&](comm::Driver& driver) {
    Model model(driver.rank(), 5);
    Store store(dir.path(), driver, {}, gate);
    BackgroundSaver saver(store);
    saver.begin(20, model.state(), some_facts());
    for (uint8_t round = 0; round < 50; ++round) {
      const std::array<std::byte, 1> mine = {std::byte{round}};
      std::vector<std::vector<std::byte>> all;
      for (const int lane : {comm::Driver::kControl, driver.bulk_lane(round)}) {
        driver.run(
            "step", [&](comm::Wire& wire) { all = comm::all_gather(wire, mine, 1); }, lane);
        EXPECT_EQ(all, std::vector<std::vector<std::byte>>(3, {std::byte{round}}));
      }
    }
    EXPECT_FALSE(saver.done());
    driver.run("all were there", [](comm::Wire& wire) { comm::barrier(wire); });
    if (driver.rank() == 0) gate->open();
    EXPECT_EQ(saver.collect().failure, "");
  });
  EXPECT_TRUE(fs::exists(dir / "step-00000020/COMPLETE"));
}

TEST(BackgroundSaver, TellsEveryRankWhyASaveFailedAndTheNextOneMaySucceed) {
  TempDir dir;
  save_model(dir.path(), 2, 10, 1);
  std::vector<std::string> failures(2);
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 2);
    Store store(dir.path(), driver, {}, driver.rank() == 1 ? std::make_shared<FailingSync>() : std::make_shared<Files>());
    BackgroundSaver saver(store);
    saver.begin(20, model.state(), some_facts());
    failures[static_cast<size_t>(driver.rank())] = saver.collect().failure;
    EXPECT_EQ(store.newest_good(), 10);
    Store good(dir.path(), driver, {});
    BackgroundSaver again(good);
    again.begin(20, model.state(), some_facts());
    EXPECT_EQ(again.collect().failure, "");
    EXPECT_EQ(good.newest_good(), 20);
  });
  EXPECT_THAT(failures[0], AllOf(HasSubstr("step-00000020 was not saved: rank 1: "), HasSubstr("rank-00001.safetensors"),
                                 HasSubstr("Input/output error")));
  EXPECT_EQ(failures[0], failures[1]);
}

// Rank 1 never saves. Within the wire's deadline rank 0 learns who is absent, and what it was doing.
TEST(BackgroundSaver, NamesAPeerThatDoesNotCome) {
  TempDir dir;
  std::string said;
  const auto hub = comm::make_loopback_hub(2);
  std::promise<void> over;
  std::thread absent([&] {
    const auto transport = comm::make_loopback_transport(hub, 1);
    comm::Driver driver(*transport, 60);
    over.get_future().wait();
  });
  {
    const auto transport = comm::make_loopback_transport(hub, 0);
    comm::Driver driver(*transport, 0.8);
    Model model(0, 1);
    Store store(dir.path(), driver, {});
    BackgroundSaver saver(store);
    saver.begin(20, model.state(), some_facts());
    try {
      saver.collect();
    } catch (const CommError& e) {
      said = e.what();
    }
  }
  over.set_value();
  absent.join();
  EXPECT_THAT(said, AllOf(HasSubstr("no message from rank 1 for 0.8 s"), HasSubstr("checkpoint: ")));
  EXPECT_FALSE(fs::exists(dir / "step-00000020"));
}

// A rank that goes down for another reason lets its save end first.
TEST(BackgroundSaver, IsWaitedForWhenItGoes) {
  TempDir dir;
  on_ranks(2, [&](comm::Driver& driver) {
    Model model(driver.rank(), 3);
    Store store(dir.path(), driver, {});
    BackgroundSaver saver(store);
    saver.begin(20, model.state(), some_facts());
  });
  EXPECT_TRUE(fs::exists(dir / "step-00000020/COMPLETE"));
}

}  // namespace
}  // namespace thinwire::checkpoint::testing
