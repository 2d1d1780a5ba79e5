// The worker of a federation site, spoken to as its daemon does.
#include "cli/train/site_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "model/adapter.h"
#include "security/primitives.h"
#include "tests/base/own_path.h"

namespace cloister::cli {
namespace {

namespace fs = std::filesystem;
namespace worker = federation::worker;
using testing::HasSubstr;

const fs::path kModel =
    fs::path(CLOISTER_TEST_DATA) / "../../models/SmolLM2-135M-Instruct.Q4_1.gguf";

base::Status NoSandbox() { return {}; }
base::Status FailingSandbox() { return base::Fail(base::Code::kInternal, "sandbox failed"); }

class SiteWorkerTest : public InOwnFolder {
 protected:
  void SetUp() override {
    if (!fs::exists(kModel)) GTEST_SKIP() << "no " << kModel;
    InOwnFolder::SetUp();
    WriteRecords("train.jsonl", 0, 20);
    WriteRecords("eval.jsonl", 100, 102);
  }

  void WriteRecords(const std::string& name, int from, int to) const {
    std::ofstream file(folder_ / name);
    for (int i = from; i < to; ++i) {
      file << R"({"messages": [{"role": "user", "content": "Say )" << i
           << R"("}, {"role": "assistant", "content": "It is )" << i << "\"}]}\n";
    }
  }

  worker::Open Job() const {
    static const std::string hash = security::Hex(security::HashFile(kModel.string()).value());
    worker::Open open;
    open.job = "ab12";
    open.model = kModel;
    open.model_sha256 = hash;
    open.data = folder_;
    open.ledger = folder_ / "ledger.sqlite";
    open.lora = {{"rank", 1}, {"alpha", 1.0}, {"targets", {"v_proj"}}, {"first_layer", 29}};
    open.clip_norm = 0.1;
    open.noise_multiplier = 1.0;
    open.sampling_rate = 0.1;
    open.unit = "record";
    open.neighbours = "add-or-remove-one";
    open.spacing = 0.1 / (1 << 16);
    open.noise_shares = 2;
    open.sites = 4;
    open.rounds = 3;
    open.units_cap = 100;
    open.budget_epsilon = 20;
    open.budget_delta = 1e-4;
    open.job_delta = 1e-5;
    open.max_tokens = 64;
    open.evaluation_rows = 2;
    open.micro_batch_tokens = 256;
    open.threads = 1;
    return open;
  }

  static base::Frame Frame(nlohmann::json header, std::span<const float> parameters = {}) {
    const auto bytes = std::as_bytes(parameters);
    return {std::move(header), {bytes.begin(), bytes.end()}};
  }
  static SiteWorker::Answer Ask(SiteWorker& site, nlohmann::json header,
                                std::span<const float> parameters = {}) {
    return site.Handle(Frame(std::move(header), parameters));
  }
  static void ExpectError(const SiteWorker::Answer& answer, base::Code code,
                          const std::string& text) {
    ASSERT_EQ(answer.header["type"], "error") << answer.header.dump();
    const base::Error error = worker::ErrorFromJson(answer.header);
    EXPECT_EQ(error.code, code);
    EXPECT_THAT(error.message, HasSubstr(text));
    EXPECT_TRUE(answer.payload.empty());
  }
  static constexpr std::int64_t kParameters = 576 + 192;
};

TEST_F(SiteWorkerTest, TrainsEvaluatesAndAnswersARoundOnce) {
  const std::vector<float> parameters(kParameters, 0.01F);
  std::vector<std::int64_t> first(kParameters);
  worker::Update spent;
  {
    SiteWorker site(&NoSandbox);
    const auto opened = Ask(site, worker::ToJson(Job()));
    ASSERT_EQ(opened.header["type"], "opened") << opened.header.dump();
    EXPECT_EQ(worker::OpenedFromJson(opened.header)->parameters, kParameters);
    EXPECT_EQ(worker::OpenedFromJson(opened.header)->epsilon, 0);

    const auto evaluated = Ask(site, {{"type", "evaluate"}}, parameters);
    ASSERT_EQ(evaluated.header["type"], "evaluated") << evaluated.header.dump();
    EXPECT_GT(evaluated.header["loss"].get<double>(), 0.5);
    EXPECT_EQ(evaluated.header["rows"], 2);

    const auto update =
        Ask(site, worker::ToJson(worker::Train{.round = 1, .attempt = 1}), parameters);
    ASSERT_EQ(update.header["type"], "update") << update.header.dump();
    const auto said = worker::UpdateFromJson(update.header).value();
    EXPECT_GT(said.epsilon, 0);
    EXPECT_GT(said.epsilon_own_noise, said.epsilon);  // less noise alone
    EXPECT_EQ(update.header.size(), 3U);              // type and the two: nothing of the records
    ASSERT_EQ(update.payload.size(), kParameters * sizeof(std::int64_t));
    std::memcpy(first.data(), update.payload.data(), update.payload.size());
    ExpectError(Ask(site, worker::ToJson(worker::Train{.round = 1, .attempt = 1}), parameters),
                base::Code::kAlreadyExists, "round 1");

    // Still usable, and another round is another draw with other noise.
    const auto again =
        Ask(site, worker::ToJson(worker::Train{.round = 2, .attempt = 1}), parameters);
    ASSERT_EQ(again.header["type"], "update") << again.header.dump();
    EXPECT_NE(std::memcmp(first.data(), again.payload.data(), again.payload.size()), 0);
    spent = worker::UpdateFromJson(again.header).value();
    EXPECT_GT(spent.epsilon, said.epsilon);
  }
  // The noise is there: its share is 1.0 * C / sqrt(2), C being 2^16 lattice units.
  double squares = 0;
  for (const std::int64_t value : first) squares += static_cast<double>(value * value);
  const double deviation = std::sqrt(squares / kParameters) / (1 << 16);
  EXPECT_GT(deviation, 0.6);
  EXPECT_LT(deviation, 1.0);

  // Another worker on the same ledger knows what was spent and does not answer it again either.
  SiteWorker restarted(&NoSandbox);
  const auto opened = worker::OpenedFromJson(Ask(restarted, worker::ToJson(Job())).header);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->epsilon, spent.epsilon);
  EXPECT_EQ(opened->epsilon_own_noise, spent.epsilon_own_noise);
  ExpectError(Ask(restarted, worker::ToJson(worker::Train{.round = 1, .attempt = 1}), parameters),
              base::Code::kAlreadyExists, "");
}

TEST_F(SiteWorkerTest, RefusesWhatItMustAndGoesOn) {
  SiteWorker site(&NoSandbox);
  ExpectError(Ask(site, {{"type", "evaluate"}}), base::Code::kFailedPrecondition, "open");
  ExpectError(Ask(site, {{"hello", 1}}), base::Code::kInvalidArgument, "type");

  worker::Open job = Job();
  job.model_sha256 = std::string(64, '0');
  ExpectError(Ask(site, worker::ToJson(job)), base::Code::kPermissionDenied, "SHA-256");
  job = Job();
  job.unit = "user";
  ExpectError(Ask(site, worker::ToJson(job)), base::Code::kUnimplemented, "unit");

  ASSERT_EQ(Ask(site, worker::ToJson(Job())).header["type"], "opened");
  const std::vector<float> few(kParameters - 1, 0.0F), bad(kParameters, NAN);
  ExpectError(Ask(site, worker::ToJson(worker::Train{.round = 1, .attempt = 1}), few),
              base::Code::kInvalidArgument, "768");
  ExpectError(Ask(site, {{"type", "evaluate"}}, bad), base::Code::kInvalidArgument, "finite");
}

// A refusal would tell how many units there are, which ε counts as a secret.
TEST_F(SiteWorkerTest, TakesPartWithMoreUnitsThanTheCap) {
  worker::Open job = Job();
  job.units_cap = 19;
  SiteWorker site(&NoSandbox);
  ASSERT_EQ(Ask(site, worker::ToJson(job)).header["type"], "opened");
  const std::vector<float> parameters(kParameters, 0.0F);
  const auto answer =
      Ask(site, worker::ToJson(worker::Train{.round = 1, .attempt = 1}), parameters);
  EXPECT_EQ(answer.header["type"], "update");
}

TEST_F(SiteWorkerTest, NoDrawIsMadeThatTheBudgetWasNotAskedFor) {
  SiteWorker site(&NoSandbox);
  ASSERT_EQ(Ask(site, worker::ToJson(Job())).header["type"], "opened");
  const std::vector<float> parameters(kParameters, 0.0F);
  const auto train = [&](std::int64_t round, std::int64_t attempt) {
    return Ask(site, {{"type", "train"}, {"round", round}, {"attempt", attempt}}, parameters);
  };
  ExpectError(train(0, 1), base::Code::kInvalidArgument, "round 0");
  ExpectError(train(4, 1), base::Code::kInvalidArgument, "round 4");
  ExpectError(train(1, 0), base::Code::kInvalidArgument, "attempt 0");
  ExpectError(train(1, 2), base::Code::kUnimplemented, "attempt 2");
  EXPECT_TRUE(dp::Ledger::OpenReadOnly(folder_ / "ledger.sqlite").value()->Rows()->empty());
  EXPECT_EQ(train(3, 1).header["type"], "update");
}

TEST_F(SiteWorkerTest, HeldOutRecordInTheTrainingFileIsRefused) {
  WriteRecords("eval.jsonl", 18, 22);
  SiteWorker site(&NoSandbox);
  ExpectError(Ask(site, worker::ToJson(Job())), base::Code::kDataLoss, "eval.jsonl:1");
}

TEST_F(SiteWorkerTest, HeldOutRecordsWithoutAnAnswerAreRefusedBeforeAnythingIsSpent) {
  worker::Open job = Job();
  job.max_tokens = 8;
  SiteWorker site(&NoSandbox);
  ExpectError(Ask(site, worker::ToJson(job)), base::Code::kFailedPrecondition, "max_tokens");
}

TEST_F(SiteWorkerTest, EndsQuietlyWhenTheDaemonHasLeft) {
  for (const bool asks : {false, true}) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    base::FrameChannel channel(ends[0]);
    {
      base::FrameChannel daemon(ends[1]);
      if (asks) {
        ASSERT_TRUE(daemon.Send({{"type", "evaluate"}}));
      }
    }
    SiteWorker site(&NoSandbox);
    const base::Status status = ServeWorker(channel, site);
    EXPECT_TRUE(status) << status.error().message;
  }
}

TEST_F(SiteWorkerTest, BudgetOfThePolicyIsAskedBeforeAnythingIsDone) {
  worker::Open job = Job();
  job.budget_epsilon = 0.01;
  SiteWorker site(&NoSandbox);
  ExpectError(Ask(site, worker::ToJson(job)), base::Code::kResourceExhausted, "");
}

TEST_F(SiteWorkerTest, NetworkIsGoneBeforeTheDataIsOpened) {
  worker::Open job = Job();
  job.data = folder_ / "absent";
  SiteWorker open(&NoSandbox), sandboxed(&FailingSandbox);
  ExpectError(Ask(open, worker::ToJson(job)), base::Code::kNotFound, "absent");
  ExpectError(Ask(sandboxed, worker::ToJson(job)), base::Code::kInternal, "sandbox failed");
}

}  // namespace
}  // namespace cloister::cli
