#include "tests/support/transport_suite.h"

#include "tests/support/transport_cases.h"

namespace thinwire::test {

std::span<const TransportCase> transport_cases() {
  static const TransportCase cases[] = {
      {"BarrierLetsNobodyLeaveBeforeAllEntered", barrier_lets_nobody_leave_before_all_entered},
      {"BroadcastReachesEveryoneFromEveryRoot", broadcast_reaches_everyone_from_every_root},
      {"AllGatherCutsUnequalMessagesToSize", all_gather_cuts_unequal_messages_to_size},
      {"AllGatherFindsUnknownSizes", all_gather_finds_unknown_sizes},
      {"AllToAllCarriesEveryPairsMessage", all_to_all_carries_every_pairs_message},
      {"SumOfWholeNumbersIsExact", sum_of_whole_numbers_is_exact},
      {"SumAddsInRankOrderToTheBit", sum_adds_in_rank_order_to_the_bit},
      {"MessagesOfOnePeerArriveInOrder", messages_of_one_peer_arrive_in_order},
      {"ChannelsDoNotMix", channels_do_not_mix},
      {"SubgroupsWorkBesideEachOther", subgroups_work_beside_each_other},
      {"CountersFollowTheFormulas", counters_follow_the_formulas},
      {"DriverRunsJobsInTheOrderPosted", driver_runs_jobs_in_the_order_posted},
      {"MessageBeyondTheCapacityFails", message_beyond_the_capacity_fails},
      {"AbortUnblocksEveryWaiter", abort_unblocks_every_waiter},
      {"DeadlineNamesTheAbsentPeer", deadline_names_the_absent_peer},
      {"JobThatThrowsEndsItOnAllRanks", job_that_throws_ends_it_on_all_ranks},
      {"AbortOfTheTrainingThreadEndsAWaitingJob", abort_of_the_training_thread_ends_a_waiting_job},
  };
  return cases;
}

}  // namespace thinwire::test
