#include "dp/ledger/ledger_store.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "base/json.h"

namespace cloister::dp {
namespace {

std::string NowUtc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

tl::unexpected<base::Error> Damaged(const Database& database, const std::string& detail) {
  return base::Fail(base::Code::kDataLoss,
                    "privacy ledger has a row that cannot be read (" + detail + "), " +
                        database.where() +
                        ": restore the newest copy; an older one forgets what was spent");
}

base::Result<Event> ParseEvent(const Database& database, const std::string& text) {
  const nlohmann::json json = base::ParseJson(text);
  auto event = EventFromJson(json);
  if (!event) return Damaged(database, event.error().message);
  // As it was written and in no other way: of a key that stands there twice a parser takes one.
  if (ToJson(*event).dump() != text) return Damaged(database, "an event in another spelling");
  return event;
}

// Rows of the data set ?1 and of those that it shares a unit with.
constexpr char kTouching[] =
    "(data_set = ?1 OR data_set IN (SELECT other FROM overlaps WHERE data_set = ?1))";

const char* Column(WhichEvent which) {
  return which == WhichEvent::kCounted ? "event" : "coalesce(own_event, event)";
}

}  // namespace

base::Result<std::optional<DataSetRow>> FindDataSet(const Database& database,
                                                    const std::string& id) {
  CLOISTER_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare("SELECT unit, neighbours, epsilon, delta FROM data_sets LEFT JOIN budgets "
                       "ON data_set = id WHERE id = ? ORDER BY budgets.entry DESC LIMIT 1"));
  CLOISTER_ASSIGN_OR_RETURN(const bool found, statement.Bind(id).Step());
  if (!found) return std::optional<DataSetRow>();
  const auto unit = ParseUnit(statement.Text(0));
  const auto neighbours = ParseNeighbours(statement.Text(1));
  const PrivacyBudget budget{statement.Real(2), statement.Real(3)};
  const bool budget_sound = budget.epsilon > 0 && budget.delta > 0 && budget.delta < 1;
  if (!unit || !neighbours || !budget_sound) return Damaged(database, "data set " + id);
  return std::optional(DataSetRow{id, *unit, *neighbours, budget});
}

base::Result<std::vector<Overlap>> OverlapsOf(const Database& database, const std::string& id) {
  CLOISTER_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare(
          "SELECT other, divided_anew FROM overlaps WHERE data_set = ? ORDER BY other"));
  statement.Bind(id);
  std::vector<Overlap> others;
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return others;
    others.push_back({statement.Text(0), statement.Integer(1) != 0});
  }
}

base::Status InsertDataSet(const Database& database, Seal& seal, const DataSetRow& row,
                           const std::string& name, std::int64_t units,
                           std::span<const Overlap> overlapping) {
  const Value values[] = {
      row.id, name,    std::string(UnitName(row.unit)), std::string(NeighboursName(row.neighbours)),
      units,  NowUtc()};
  CLOISTER_RETURN_IF_ERROR(seal.Append(database, "data_sets", values));
  CLOISTER_RETURN_IF_ERROR(InsertBudget(database, seal, row.id, row.budget));
  for (const auto& [other, divided_anew] : overlapping) {
    const std::int64_t anew = divided_anew ? 1 : 0;
    const Value there[] = {row.id, other, anew};
    const Value back[] = {other, row.id, anew};
    CLOISTER_RETURN_IF_ERROR(seal.Append(database, "overlaps", there));
    CLOISTER_RETURN_IF_ERROR(seal.Append(database, "overlaps", back));
  }
  return {};
}

base::Status InsertBudget(const Database& database, Seal& seal, const std::string& id,
                          const PrivacyBudget& budget) {
  const Value values[] = {id, budget.epsilon, budget.delta};
  return seal.Append(database, "budgets", values);
}

base::Result<Event> JoinedEvent(const Database& database, const std::string& text,
                                std::int64_t count) {
  CLOISTER_ASSIGN_OR_RETURN(Event event, ParseEvent(database, text));
  if (__builtin_mul_overflow(event.steps, count, &event.steps)) {
    return Damaged(database, "more steps than can be counted");
  }
  event.delta_slack *= static_cast<double>(count);
  return event;
}

base::Result<Statement> RowsOf(const Database& database, const SpendSelection& spends,
                               std::int64_t after) {
  // The plus signs keep SQLite from looking through all rows of the set by its index.
  CLOISTER_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare("SELECT entry, " + std::string(Column(spends.which)) +
                       " FROM spends WHERE entry > ?1 AND (+data_set = ?2 OR +data_set IN "
                       "(SELECT other FROM overlaps WHERE data_set = ?2)) " +
                       (spends.job ? "AND +job = ?3 " : "") + "ORDER BY entry"));
  statement.Bind(after).Bind(spends.data_set);
  if (spends.job) statement.Bind(*spends.job);
  return statement;
}

base::Result<std::vector<double>> FilterOrders(const Database& database, const std::string& id) {
  std::vector<double> orders;
  for (const char* const sql : {"SELECT alpha FROM orders WHERE data_set = ?",
                                "SELECT DISTINCT alpha FROM orders WHERE data_set IN "
                                "(SELECT other FROM overlaps WHERE data_set = ?)"}) {
    CLOISTER_ASSIGN_OR_RETURN(Statement statement, database.Prepare(sql));
    statement.Bind(id);
    for (;;) {
      CLOISTER_ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) break;
      const double order = statement.Real(0);
      if (!(order > 1 && order <= 1e6)) return Damaged(database, "filter order");
      orders.push_back(order);
    }
    if (!orders.empty()) break;
  }
  return orders;
}

base::Status RecordOrders(const Database& database, Seal& seal, const std::string& id,
                          std::span<const double> orders) {
  CLOISTER_ASSIGN_OR_RETURN(
      Statement known, database.Prepare("SELECT 1 FROM orders WHERE data_set = ? AND alpha = ?"));
  for (const double order : orders) {
    known.Reset();
    CLOISTER_ASSIGN_OR_RETURN(const bool there, known.Bind(id).Bind(order).Step());
    if (there) continue;
    const Value values[] = {id, order};
    CLOISTER_RETURN_IF_ERROR(seal.Append(database, "orders", values));
  }
  return {};
}

base::Result<bool> HasSpend(const Database& database, const std::string& id, const SpendKey& key) {
  CLOISTER_ASSIGN_OR_RETURN(
      Statement statement, database.Prepare(std::string("SELECT 1 FROM spends WHERE ") + kTouching +
                                            " AND job = ?2 AND round = ?3 AND attempt = ?4"));
  statement.Bind(id).Bind(key.job).Bind(key.round).Bind(key.attempt);
  return statement.Step();
}

base::Result<bool> HasSpent(const Database& database, const std::string& id) {
  CLOISTER_ASSIGN_OR_RETURN(Statement statement,
                            database.Prepare("SELECT 1 FROM spends WHERE data_set = ? LIMIT 1"));
  return statement.Bind(id).Step();
}

base::Status InsertSpend(const Database& database, Seal& seal, const std::string& id,
                         const Spend& spend) {
  Value own;
  if (spend.own_noise_only) own = ToJson(*spend.own_noise_only).dump();
  const Value values[] = {
      id,  spend.key.job, spend.key.round, spend.key.attempt, ToJson(spend.event).dump(),
      own, NowUtc()};
  return seal.Append(database, "spends", values);
}

base::Result<std::vector<Ledger::Row>> Spends(const Database& database,
                                              const std::optional<std::string>& job) {
  CLOISTER_ASSIGN_OR_RETURN(
      Statement statement,
      database.Prepare(std::string("SELECT s.data_set, d.name, s.job, s.round, s.attempt, s.event, "
                                   "s.own_event, s.time FROM spends s JOIN data_sets d "
                                   "ON d.id = s.data_set ") +
                       (job ? "WHERE s.job = ? " : "") + "ORDER BY s.entry"));
  if (job) statement.Bind(*job);
  std::vector<Ledger::Row> rows;
  for (;;) {
    CLOISTER_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) return rows;
    Ledger::Row row;
    row.data_set = statement.Text(0);
    row.name = statement.Text(1);
    row.spend.key = {statement.Text(2), statement.Integer(3), statement.Integer(4)};
    CLOISTER_ASSIGN_OR_RETURN(row.spend.event, ParseEvent(database, statement.Text(5)));
    if (!statement.IsNull(6)) {
      CLOISTER_ASSIGN_OR_RETURN(Event own, ParseEvent(database, statement.Text(6)));
      row.spend.own_noise_only = own;
    }
    row.time = statement.Text(7);
    rows.push_back(std::move(row));
  }
}

base::Result<RecordedStep> ReadStep(const Database& database, const std::string& job) {
  CLOISTER_ASSIGN_OR_RETURN(Statement statement,
                            database.Prepare("SELECT step, mark FROM released_steps WHERE job = ? "
                                             "ORDER BY step DESC LIMIT 1"));
  CLOISTER_ASSIGN_OR_RETURN(const bool found, statement.Bind(job).Step());
  RecordedStep recorded;
  if (!found) return recorded;
  const std::span<const std::uint8_t> mark = statement.Bytes(1);
  if (mark.size() != recorded.mark.size()) return Damaged(database, "step of job " + job);
  recorded.step = statement.Integer(0);
  std::copy(mark.begin(), mark.end(), recorded.mark.begin());
  return recorded;
}

base::Status WriteStep(const Database& database, Seal& seal, const std::string& job,
                       const RecordedStep& recorded) {
  const Value values[] = {job, recorded.step,
                          std::vector<std::uint8_t>(recorded.mark.begin(), recorded.mark.end())};
  return seal.Append(database, "released_steps", values);
}

}  // namespace cloister::dp
