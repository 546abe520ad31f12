// The parts of a report's page: HTML of the runs that are compared, in the order of their colours.
#pragma once
#include <string>
#include <vector>

#include "report/run_record.h"

namespace thinwire::report {

std::string runs_table(const std::vector<RunRecord>& runs);    // one row each: how it ended, what it cost
std::string loss_charts(const std::vector<RunRecord>& runs);   // against steps, time and bytes
std::string time_bars(const std::vector<RunRecord>& runs);     // where a step's time went
std::string bytes_chart(const std::vector<RunRecord>& runs);   // sent, and what fp32 would have sent
std::string layer_tables(const std::vector<RunRecord>& runs);  // codec, bits and error of each layer
std::string differences(const std::vector<RunRecord>& runs);   // of the configurations; of one run, what is in it
std::string event_lists(const std::vector<RunRecord>& runs);   // plans, fallbacks, stops and failures

}  // namespace thinwire::report
