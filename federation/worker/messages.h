#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::federation::worker {

// What a site's daemon and its worker say to each other over a base::FrameChannel. The daemon asks,
// the worker answers every request with one frame, in order. A frame's header has "type"; an answer
// of type "error" has "code" and "message" (base::Error).
//
//   open      -> opened     once, first: everything about job and site that the worker must know
//   evaluate  -> evaluated  payload f32: adapter parameters; answer: held-out loss
//   train     -> update     payload f32: adapter parameters; answer's payload i64: noised integers
//   (close the channel to end the worker)
//
// ToJson gives a whole header, its "type" included. …FromJson checks the type, every field's kind
// and range, and refuses fields that are missing or unknown (kDataLoss, naming message and field).

// The part of the signed job that the worker acts on, after the daemon has checked signature and
// policy.
struct Open {
  std::string job;  // hex hash of the signed job: the ledger's SpendKey::job
  std::filesystem::path model;
  std::string model_sha256;    // the worker refuses another file
  std::filesystem::path data;  // folder with train.jsonl and eval.jsonl
  std::filesystem::path ledger;
  nlohmann::json lora;  // rank, alpha, targets, first_layer
  double clip_norm = 0;
  double noise_multiplier = 0;
  double sampling_rate = 0;
  std::string unit;               // "record"
  std::string neighbours;         // "add-or-remove-one"
  double spacing = 0;             // lattice g
  std::int64_t noise_shares = 0;  // t - c
  std::int64_t sites = 0;         // n
  std::int64_t rounds = 0;
  std::int64_t units_cap = 0;  // units of a site; what more come to is cut before noise
  double budget_epsilon = 0;   // the site's own policy, for this data set, over all jobs
  double budget_delta = 0;
  double job_delta = 0;
  std::int64_t max_tokens = 0;  // per example, truncated beyond
  std::int64_t evaluation_rows = 0;
  std::int64_t micro_batch_tokens = 0;  // padded tokens a micro-batch holds at most
  std::int64_t threads = 0;
};
nlohmann::json ToJson(const Open& open);
base::Result<Open> OpenFromJson(const nlohmann::json& json);

struct Opened {
  std::int64_t parameters = 0;  // d
  // What the ledger holds for this job already, as in Update; may be absent on the wire (zeros).
  double epsilon = 0;
  double epsilon_own_noise = 0;
};
nlohmann::json ToJson(const Opened& opened);
base::Result<Opened> OpenedFromJson(const nlohmann::json& json);

struct Train {
  std::int64_t round = 0;
  std::int64_t attempt = 0;
};
nlohmann::json ToJson(const Train& train);
base::Result<Train> TrainFromJson(const nlohmann::json& json);

// The spend of this update is durable in the ledger before this leaves the worker. Counts of
// sampled units, losses and times are secrets of the site: none is here.
struct Update {
  // Of this job so far at job_delta; infinity, where there is no bound, travels as null.
  double epsilon = 0;            // at most c colluders
  double epsilon_own_noise = 0;  // with this site's noise alone
};
nlohmann::json ToJson(const Update& update);
base::Result<Update> UpdateFromJson(const nlohmann::json& json);

struct Evaluated {
  double loss = 0;  // mean over examples of the mean answer-token loss, held-out rows
  std::int64_t rows = 0;
};
nlohmann::json ToJson(const Evaluated& evaluated);
base::Result<Evaluated> EvaluatedFromJson(const nlohmann::json& json);

// The header of an "evaluate" request, which has no fields.
nlohmann::json EvaluateRequest();

// The "type" of a header, empty where it has none.
std::string MessageType(const nlohmann::json& header);

nlohmann::json ErrorToJson(const base::Error& error);
base::Error ErrorFromJson(const nlohmann::json& json);

}  // namespace cloister::federation::worker
