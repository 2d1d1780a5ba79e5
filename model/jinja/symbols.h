#pragma once

#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "model/jinja/ast.h"

namespace cloister::model::jinja {

// What becomes one Frame when it runs: a template, a macro, a recursive loop.
struct FrameLayout {
  int depth = 0;  // frames around it
  int slots = 0;
};

// The names that a template takes from its input, or the globals, each once.
class InputNames {
 public:
  int IndexOf(const std::string& name);
  std::vector<std::string> Take() { return std::move(names_); }

 private:
  std::map<std::string, int> index_;
  std::vector<std::string> names_;
};

// The names of one scope, as found by looking through its statements before any of it runs.
class Symbols {
 public:
  Symbols(FrameLayout& frame, const Symbols* parent) : frame_(frame), parent_(parent) {}

  FrameLayout& frame() const { return frame_; }

  void Read(const std::string& name);
  void Store(const std::string& name);
  // A parameter or loop variable: its value comes from elsewhere. Returns its slot.
  int Declare(const std::string& name);
  // Around the branches of an `if`, none of which may run: what they are the first to store starts
  // as what it was before.
  std::size_t BeginBranches() const { return stored_.size(); }
  void EndBranches(std::size_t begun);

  // Where a name that the scope or one around it knows lies, seen from `seen_from`.
  bool Find(const std::string& name, const FrameLayout& seen_from, Variable& found) const;
  Loads MakeLoads(InputNames& inputs) const;

 private:
  struct Entry {
    int slot;
    Load::Kind load;
  };
  int Define(const std::string& name, Load::Kind load);
  bool KnownOutside(const std::string& name) const;
  void NoteStored(const std::string& name);

  FrameLayout& frame_;
  const Symbols* parent_;
  std::map<std::string, Entry> entries_;  // of the names that are this scope's own
  std::unordered_set<std::string> stores_;
  std::vector<std::string> stored_;  // the same in order
};

}  // namespace cloister::model::jinja
