#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dp/mechanism/privacy_types.h"
#include "trainer/data/example.h"
#include "trainer/data/record_file.h"

namespace cloister::trainer {

// What must be true of held-out records before anything is spent on the training records.

// Held-out records that also stand among the training records would be trained on and then shown
// through their loss, which ε does not cover; with unit "user" so would other records of a user who
// is trained on. kDataLoss naming file and line of the first one. Memory: 32 bytes a held-out
// record.
base::Status CheckDisjoint(const RecordFile& train, const RecordFile& held_out,
                           dp::PrivacyUnit unit);

// A held-out row of another form than a record, and the conversations that it might stand as among
// the training records.
struct HeldOutRow {
  std::vector<security::Sha256Digest> hashes;  // HashOf() each
  std::string unit;                            // whose it is; empty where it does not say
  std::string where;                           // "file:line"
};
base::Status CheckDisjoint(const RecordFile& train, std::span<const HeldOutRow> rows,
                           dp::PrivacyUnit unit);

// Whether at least one record has an answer token within the cut: else there is no loss to show.
// kFailedPrecondition naming `path`, and `max_tokens` by its dotted or message name.
base::Status CheckHasAnswer(std::span<const Example> held_out, const std::filesystem::path& path,
                            const char* max_tokens);

}  // namespace cloister::trainer
