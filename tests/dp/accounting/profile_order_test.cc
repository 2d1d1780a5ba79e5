#include <gtest/gtest.h>

#include <cmath>

#include "dp/accounting/accountant.h"
#include "dp/accounting/pld_accountant.h"

// δ at an ε of rare samples, from the chance to be sampled down to where no double tells it.
namespace cloister::dp {
namespace {

TEST(PldProfile, FallsOverAllDecadesForEveryMechanismAndRelation) {
  for (const Mechanism mechanism :
       {Mechanism::kGaussian, Mechanism::kLaplace, Mechanism::kDiscreteGaussian}) {
    for (const Neighbours relation : {Neighbours::kRemove, Neighbours::kAdd,
                                      Neighbours::kAddOrRemoveOne, Neighbours::kReplaceOne}) {
      for (const double rate : {1e-7, 1e-5, 1e-3}) {
        for (const std::int64_t steps : {1, 100, 100'000}) {
          const Event event{3, rate, steps, relation, 0, mechanism};
          double last = 1;
          for (const double epsilon : {0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 100.0}) {
            const PrivacyCost cost = CostAtEpsilon({&event, 1}, epsilon, Accountant::kPld).value();
            EXPECT_LE(cost.delta, last * 1.001) << ToJson(event) << " " << epsilon;
            // Nothing only where no loss is above ε: Laplace noise's, and a unit that was added.
            if (mechanism != Mechanism::kLaplace && relation != Neighbours::kAdd) {
              EXPECT_GT(cost.delta, 0) << ToJson(event) << " " << epsilon;
            }
            last = cost.delta;
          }
          EXPECT_LE(last, 1.0001e-30) << ToJson(event);
        }
      }
    }
  }
}

TEST(PldProfile, IsNotTheChanceToBeSampledWhereNoLatticeHoldsIt) {
  struct Row {
    Event event;
    double epsilon;
  };
  for (const Row& row :
       {Row{{3, 1e-5, 100'000, Neighbours::kAddOrRemoveOne}, 2},
        Row{{3, 1e-5, 100'000, Neighbours::kAddOrRemoveOne}, 10},
        Row{{1.3902, 1.4587e-5, 25384, Neighbours::kReplaceOne}, 13.85},
        Row{{3, 1e-7, 10, Neighbours::kReplaceOne, 0, Mechanism::kDiscreteGaussian}, 0.1},
        // Many losses, whose coarse ones are another mechanism's.
        Row{{3, 1e-7, 10, Neighbours::kRemove, 0, Mechanism::kDiscreteGaussian, 30}, 2}}) {
    EXPECT_LE(PldDelta({&row.event, 1}, row.epsilon).value(), 1.0001e-30) << ToJson(row.event);
  }
}

}  // namespace
}  // namespace cloister::dp
