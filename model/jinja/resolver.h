#pragma once

#include "base/result.h"
#include "model/jinja/ast.h"

namespace cloister::model::jinja {

// Gives every name of a parsed template its variable, by Jinja's rules of scope: what is set at the
// top or under `if` holds from there on; what is set in a loop, a macro or a block holds inside,
// for one pass; a macro sees the variables around it as they are when it runs. Fills in slots,
// loads and inputs. kDataLoss, "line N: …", for a filter or test that there is not (unless it
// stands under an `if`, where Jinja too waits until it is run) and for an assignment to `loop`
// inside a loop.
base::Status Resolve(Tree& tree);

}  // namespace cloister::model::jinja
