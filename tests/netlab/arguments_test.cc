#include "tools/netlab/arguments.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "config/values.h"

namespace thinwire::netlab {
namespace {
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Arguments parse(std::vector<std::string> options) {
  options.insert(options.end(), {"--", "true"});
  return parse_arguments(options);
}

std::string error_of(const std::vector<std::string>& words) {
  try {
    parse_arguments(words);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(NetlabUnits, RatesArePowersOfTenOfBits) {
  EXPECT_EQ(config::parse_rate("200Mbit"), 200e6);
  EXPECT_EQ(config::parse_rate("1.5Gbit/s"), 1.5e9);
  EXPECT_EQ(config::parse_rate("64kbit"), 64e3);
  EXPECT_EQ(config::parse_rate("9600bit/s"), 9600);
  for (const char* text : {"", "200", "200MB", "Mbit", "200mbit", "200 Mbit", "-1Mbit", "0Mbit", "1e400Mbit", "200Mbit/", "/s", "infbit"}) {
    EXPECT_EQ(config::parse_rate(text), std::nullopt) << text;
  }
}

TEST(NetlabUnits, RatesArePrintedInTheLargestUnitThatFits) {
  EXPECT_EQ(config::print_rate(200e6), "200 Mbit/s");
  EXPECT_EQ(config::print_rate(1.25e9), "1.25 Gbit/s");
  EXPECT_EQ(config::print_rate(999), "999 bit/s");
  EXPECT_EQ(config::print_rate(0), "0 bit/s");
}

TEST(NetlabUnits, CutsNameAHostAMomentAndASpan) {
  EXPECT_EQ(parse_cut("1@5s:3s"), (Cut{1, 5, 3}));
  EXPECT_EQ(parse_cut("12@0s:250ms"), (Cut{12, 0, 0.25}));
  for (const char* text :
       {"", "1", "1@5s", "1:3s", "@5s:3s", "1@:3s", "1@5s:", "1@5s:0s", "-1@5s:3s", "a@5s:3s", "1:5s@3s", "1@5s:3s:1s"}) {
    EXPECT_EQ(parse_cut(text), std::nullopt) << text;
  }
}

TEST(NetlabArguments, WhatIsNotSaidIsAPlainWireBetweenTwoHosts) {
  const Arguments arguments = parse({});
  EXPECT_EQ(arguments.hosts, 2);
  EXPECT_EQ(arguments.wire.bits_per_s, std::nullopt);
  EXPECT_EQ(arguments.wire.delay, 0ns);
  EXPECT_EQ(arguments.wire.loss, 0);
  EXPECT_EQ(arguments.mtu_bytes, 1500);
  EXPECT_EQ(arguments.timeout_s, std::nullopt);
  EXPECT_THAT(arguments.cuts, IsEmpty());
}

TEST(NetlabArguments, EachOptionHasItsUnit) {
  const Arguments arguments =
      parse({"--hosts", "3",    "--rate", "10Mbit", "--delay",   "1.5ms", "--loss", "0.5%",    "--queue", "64kB",
             "--mtu",   "9000", "--seed", "7",      "--timeout", "10m",   "--cut",  "1@5s:3s", "--cut",   "2@1s:1s"});
  EXPECT_EQ(arguments.hosts, 3);
  EXPECT_EQ(arguments.wire.bits_per_s, 10e6);
  EXPECT_EQ(arguments.wire.delay, 1500us);
  EXPECT_EQ(arguments.wire.loss, 0.005);
  EXPECT_EQ(arguments.wire.queue_bytes, 64'000);
  EXPECT_EQ(arguments.mtu_bytes, 9000);
  EXPECT_EQ(arguments.seed, 7u);
  EXPECT_EQ(arguments.timeout_s, 600);
  EXPECT_THAT(arguments.cuts, ElementsAre(Cut{1, 5, 3}, Cut{2, 1, 1}));
}

TEST(NetlabArguments, TheCommandIsWhateverStandsBehindTheFirstDashes) {
  EXPECT_THAT(parse_arguments({"--hosts", "4", "--", "mpirun", "-n", "2", "--", "--rate"}).command,
              ElementsAre("mpirun", "-n", "2", "--", "--rate"));
}

TEST(NetlabArguments, TheQueueHoldsARoundTripButAtLeastAQuarterMegabyte) {
  EXPECT_EQ(parse({"--rate", "200Mbit", "--delay", "50ms"}).wire.queue_bytes, 200'000'000 / 8 / 10);
  EXPECT_EQ(parse({"--rate", "200Mbit", "--delay", "1ms"}).wire.queue_bytes, 256'000);
  EXPECT_EQ(parse({"--rate", "200Mbit", "--delay", "50ms", "--queue", "1kB"}).wire.queue_bytes, 1000);
}

TEST(NetlabArguments, WhatIsWrongIsNamedWithWhatIsAccepted) {
  EXPECT_THAT(error_of({"--rate", "200", "--measure"}), HasSubstr("--rate: '200' is not a rate from 1kbit to 100Gbit, such as 200Mbit"));
  EXPECT_THAT(error_of({"--hosts", "201", "--measure"}), HasSubstr("'201' is not a number from 1 to 200"));
  EXPECT_THAT(error_of({"--hosts", "0", "--measure"}), HasSubstr("'0' is not a number from 1 to 200"));
  EXPECT_THAT(error_of({"--delay", "10 ms", "--measure"}), HasSubstr("'10 ms' is not a time from 0 to 60s"));
  EXPECT_THAT(error_of({"--delay", "-1ms", "--measure"}), HasSubstr("--delay"));
  EXPECT_THAT(error_of({"--loss", "101%", "--measure"}), HasSubstr("'101%' is not a fraction from 0% to 100%"));
  EXPECT_THAT(error_of({"--mtu", "575", "--measure"}), HasSubstr("from 576 to 65535"));
  EXPECT_THAT(error_of({"--queue", "0", "--measure"}), HasSubstr("such as 64kB"));
  EXPECT_THAT(error_of({"--timeout", "0", "--measure"}), HasSubstr("such as 10m"));
  EXPECT_THAT(error_of({"--cut", "1@5s", "--measure"}), HasSubstr("'1@5s' is not HOST@AT:FOR, such as 1@5s:3s"));
  EXPECT_THAT(error_of({"--cut", "2@5s:3s", "--measure"}), HasSubstr("there is no host 2; they are 0 to 1"));
  EXPECT_THAT(error_of({"--speed", "1", "--measure"}), HasSubstr("--speed"));
}

TEST(NetlabArguments, ThereIsACommandOrAMeasurementAndNotBoth) {
  EXPECT_THAT(error_of({}), HasSubstr("either a command, behind `--`, or --measure"));
  EXPECT_THAT(error_of({"--"}), HasSubstr("either a command"));
  EXPECT_THAT(error_of({"--measure", "--", "true"}), HasSubstr("either a command"));
  EXPECT_THAT(error_of({"--hosts", "1", "--measure"}), HasSubstr("two ends"));
  EXPECT_THAT(error_of({"mpirun", "-n", "2"}), HasSubstr("the command stands behind `--`"));
}

TEST(NetlabArguments, HelpTellsTheDefaultsAndTheExitCodes) {
  try {
    parse_arguments({"--help"});
    FAIL();
  } catch (const Help& help) {
    for (const char* word : {"--rate", "default 2", "124", "77", "--on HOST"}) EXPECT_THAT(help.text, HasSubstr(word));
  }
}

}  // namespace
}  // namespace thinwire::netlab
