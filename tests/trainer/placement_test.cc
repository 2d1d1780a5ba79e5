// Which process of how many this is, by the environments of torchrun and Slurm.
#include "trainer/distributed/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace cloister::trainer {
namespace {

using testing::HasSubstr;

base::Result<Placement> Of(const std::map<std::string, std::string>& variables) {
  return PlacementFrom([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

void ExpectFault(const std::map<std::string, std::string>& variables, const std::string& message) {
  const auto place = Of(variables);
  ASSERT_FALSE(place);
  EXPECT_EQ(place.error().code, base::Code::kInvalidArgument);
  EXPECT_THAT(place.error().message, HasSubstr(message));
}

TEST(Placement, IsOneProcessWithoutAnEnvironment) {
  const auto place = Of({});
  ASSERT_TRUE(place);
  EXPECT_EQ(place->size, 1);
  EXPECT_EQ(place->rank, 0);
}

TEST(Placement, FollowsTorchrun) {
  std::map<std::string, std::string> variables = {{"RANK", "3"},          {"WORLD_SIZE", "4"},
                                                  {"LOCAL_RANK", "1"},    {"LOCAL_WORLD_SIZE", "2"},
                                                  {"MASTER_ADDR", "one"}, {"MASTER_PORT", "2950"},
                                                  {"SLURM_PROCID", "0"},  {"SLURM_NTASKS", "9"}};
  auto place = Of(variables);
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(place->rank, 3);
  EXPECT_EQ(place->size, 4);
  EXPECT_EQ(place->local_size, 2);
  EXPECT_EQ(place->host, "one");
  EXPECT_EQ(place->port, 2950);
  EXPECT_FALSE(place->agent_store);
  EXPECT_FALSE(place->loopback_only);
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  variables["TORCHELASTIC_RESTART_COUNT"] = "2";
  place = Of(variables);
  ASSERT_TRUE(place);
  EXPECT_TRUE(place->agent_store);
  EXPECT_EQ(place->attempt, "2");
  variables["WORLD_SIZE"] = "3";
  ExpectFault(variables, "RANK is '3': several processes need a whole number of 0 to 2");
  variables.erase("WORLD_SIZE");
  ExpectFault(variables, "WORLD_SIZE is missing");
  ExpectFault({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "1"}}, "MASTER_ADDR");
  ExpectFault({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}, "MASTER_PORT is missing");
  ExpectFault({{"RANK", "x"}, {"WORLD_SIZE", "2"}}, "RANK is 'x'");
  // One process needs to meet nobody.
  EXPECT_TRUE(Of({{"RANK", "0"}, {"WORLD_SIZE", "1"}}));
}

TEST(Placement, FollowsSlurm) {
  std::map<std::string, std::string> variables = {{"SLURM_PROCID", "1"},
                                                  {"SLURM_NTASKS", "6"},
                                                  {"SLURM_LOCALID", "1"},
                                                  {"SLURM_JOB_ID", "41234567"},
                                                  {"SLURM_JOB_NODELIST", "cpu[07-09,12],big1"}};
  auto place = Of(variables);
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(place->rank, 1);
  EXPECT_EQ(place->size, 6);
  EXPECT_EQ(place->host, "cpu07");
  EXPECT_EQ(place->port, 12000 + 14567);
  variables["MASTER_ADDR"] = "other";
  variables["MASTER_PORT"] = "7";
  place = Of(variables);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->host, "other");
  EXPECT_EQ(place->port, 7);
  variables.erase("MASTER_ADDR");
  variables.erase("SLURM_JOB_NODELIST");
  ExpectFault(variables, "MASTER_ADDR");
}

TEST(Placement, TakesTheFirstHostOfAList) {
  EXPECT_EQ(FirstHost("a"), "a");
  EXPECT_EQ(FirstHost("a,b"), "a");
  EXPECT_EQ(FirstHost("n[3]"), "n3");
  EXPECT_EQ(FirstHost("n[003-017,20],m1"), "n003");
  EXPECT_EQ(FirstHost("rack[1-2]n[5,6]"), "rack1n5");
  EXPECT_EQ(FirstHost("n[2,3]-ib,x"), "n2-ib");
  EXPECT_EQ(FirstHost("n[3"), "");
  EXPECT_EQ(FirstHost(""), "");
}

}  // namespace
}  // namespace cloister::trainer
