#include "trainer/metrics.h"

#include <gtest/gtest.h>

#include <array>

namespace thinwire::trainer {
namespace {

TEST(WireLedger, RatioIsOfTheRoundAndTotalOfTheRun) {
  WireLedger ledger(1000);  // dense bytes per step
  ledger.count_outside_steps(50, 60);
  ledger.end_step(50, 60, false);  // two local steps ...
  EXPECT_EQ(ledger.step_sent(), 0u);
  EXPECT_FALSE(ledger.ratio().has_value());
  ledger.end_step(150, 160, true);  // ... and a round of 100 bytes
  EXPECT_EQ(ledger.step_sent(), 100u);
  EXPECT_EQ(ledger.step_received(), 100u);
  EXPECT_DOUBLE_EQ(*ledger.ratio(), 2000.0 / 100);
  EXPECT_DOUBLE_EQ(*ledger.ratio_total(), 2000.0 / 150);  // what was said before the first step counts
}

TEST(WireLedger, WhatSavesSayCountsForTheRunAndForNoStep) {
  WireLedger ledger(1000);
  ledger.end_step(100, 100, false);
  ledger.count_background(30);
  ledger.end_step(200, 200, true);
  ledger.count_background(70);
  EXPECT_EQ(ledger.step_sent(), 100u);
  EXPECT_DOUBLE_EQ(*ledger.ratio(), 2000.0 / 200);
  EXPECT_DOUBLE_EQ(*ledger.ratio_total(), 2000.0 / 270);
}

TEST(WireLedger, GoesOnAfterAResume) {
  WireLedger before(1000);
  before.end_step(40, 0, false);
  WireLedger after(1000);
  after.restore(before.state());
  after.count_outside_steps(10, 0);
  after.end_step(30, 0, true);
  EXPECT_DOUBLE_EQ(*after.ratio(), 2000.0 / 60);  // the round began before the stop
  EXPECT_DOUBLE_EQ(*after.ratio_total(), 2000.0 / 70);
}

TEST(WireLedger, NothingSentIsNoRatio) {
  WireLedger alone(0);
  alone.end_step(0, 0, true);
  EXPECT_FALSE(alone.ratio().has_value());
  EXPECT_FALSE(alone.ratio_total().has_value());
}

}  // namespace
}  // namespace thinwire::trainer
