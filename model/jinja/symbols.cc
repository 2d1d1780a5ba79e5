#include "model/jinja/symbols.h"

namespace cloister::model::jinja {

int InputNames::IndexOf(const std::string& name) {
  const auto [found, added] = index_.emplace(name, static_cast<int>(names_.size()));
  if (added) names_.push_back(name);
  return found->second;
}

int Symbols::Define(const std::string& name, Load::Kind load) {
  const auto [found, added] = entries_.try_emplace(name, Entry{frame_.slots, load});
  if (added) ++frame_.slots;
  found->second.load = load;
  return found->second.slot;
}

bool Symbols::KnownOutside(const std::string& name) const {
  for (const Symbols* scope = parent_; scope != nullptr; scope = scope->parent_) {
    if (scope->entries_.contains(name)) return true;
  }
  return false;
}

void Symbols::NoteStored(const std::string& name) {
  if (stores_.insert(name).second) stored_.push_back(name);
}

void Symbols::Read(const std::string& name) {
  if (!entries_.contains(name) && !KnownOutside(name)) Define(name, Load::Kind::kInput);
}

void Symbols::Store(const std::string& name) {
  NoteStored(name);
  if (entries_.contains(name)) return;
  Define(name, KnownOutside(name) ? Load::Kind::kOuter : Load::Kind::kUndefined);
}

int Symbols::Declare(const std::string& name) {
  NoteStored(name);
  return Define(name, Load::Kind::kNothing);
}

void Symbols::EndBranches(std::size_t begun) {
  for (std::size_t i = begun; i < stored_.size(); ++i) {
    const std::string& name = stored_[i];
    entries_.at(name).load = KnownOutside(name) ? Load::Kind::kOuter : Load::Kind::kInput;
  }
}

bool Symbols::Find(const std::string& name, const FrameLayout& seen_from, Variable& found) const {
  for (const Symbols* scope = this; scope != nullptr; scope = scope->parent_) {
    const auto entry = scope->entries_.find(name);
    if (entry == scope->entries_.end()) continue;
    found = {seen_from.depth - scope->frame_.depth, entry->second.slot};
    return true;
  }
  return false;
}

Loads Symbols::MakeLoads(InputNames& inputs) const {
  Loads loads;
  for (const auto& [name, entry] : entries_) {
    if (entry.load == Load::Kind::kNothing) continue;
    Load load{entry.load, entry.slot, {}, -1};
    if (entry.load == Load::Kind::kOuter) parent_->Find(name, frame_, load.outer);
    if (entry.load == Load::Kind::kInput) load.input = inputs.IndexOf(name);
    loads.push_back(load);
  }
  return loads;
}

}  // namespace cloister::model::jinja
