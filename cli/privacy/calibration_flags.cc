#include "cli/privacy/calibration_flags.h"

namespace cloister::cli {

namespace po = boost::program_options;

void AddGoalFlags(Flags& flags) {
  flags.options.add_options()                                                       //
      ("epsilon", po::value<double>()->required(), "The epsilon to stay within")    //
      ("delta", po::value<double>()->required(), "At this delta")                   //
      ("accountant", po::value<std::string>()->default_value("pld"),                //
       "pld, or rdp, in whose figures a recipe and a data set's budget are kept")   //
      ("neighbours", po::value<std::string>()->default_value("add-or-remove-one"),  //
       "add-or-remove-one, add, remove, replace-one or zero-out");
}

base::Result<dp::PrivacyGoal> GoalOf(const po::variables_map& values) {
  dp::PrivacyGoal goal;
  goal.epsilon = values["epsilon"].as<double>();
  goal.delta = values["delta"].as<double>();
  CLOISTER_ASSIGN_OR_RETURN(goal.accountant,
                            dp::ParseAccountant(values["accountant"].as<std::string>()));
  CLOISTER_ASSIGN_OR_RETURN(goal.neighbours,
                            dp::ParseNeighbours(values["neighbours"].as<std::string>()));
  return goal;
}

}  // namespace cloister::cli
