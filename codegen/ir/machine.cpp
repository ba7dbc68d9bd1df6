#include "machine.h"

#include <utility>

namespace pit::ir {

namespace {
/// Access to shared memory that is not ordered.
[[noreturn]] void race(const std::string &element, const std::string &what) {
  throw AccessError(element + " " + what);
}
}  // namespace

/// Accesses to a tile in shared memory: each must come after those it conflicts with.
class SharedTrace final : public AccessObserver {
 public:
  SharedTrace(Machine *machine, const Buffer *buffer)
      : machine_(machine), buffer_(buffer), marks_(static_cast<std::size_t>(buffer->size())) {}

  void read(std::int64_t element) override {
    if (machine_->landing_) return;
    read_by(element, machine_->current_, false,
            {machine_->current_->accesses, machine_->current_->now});
  }
  void write(std::int64_t element) override {
    if (machine_->landing_) return;
    write_by(element, machine_->current_, {machine_->current_->accesses, machine_->current_->now},
             true, false);
  }

  void read_by(std::int64_t element, const Agent *agent, bool async_proxy, Moment moment) {
    Mark &mark = at(element);
    if (mark.writer == nullptr) {
      if (async_proxy) race(name(element), "is read but was never written");
      return;  // the buffer says so
    }
    if (mark.under_way)
      race(name(element), "is read before the copy into it, by " + mark.writer->name +
                              ", is known to have landed");
    if (!agent->known.seen.knows(mark.written)) {
      race(name(element), "is read by " + agent->name +
                              ", but nothing orders that after the write by " + mark.writer->name);
    }
    if (async_proxy && mark.generic && !agent->known.fenced.knows(mark.written)) {
      race(
          name(element),
          "is read by an asynchronous mma but was written through the generic proxy with no `fence "
          "async` between");
    }
    for (auto &[reader, read] : mark.readers) {
      if (read.component != moment.component) continue;
      read.time = std::max(read.time, moment.time);
      return;
    }
    mark.readers.emplace_back(agent, moment);
  }

  void write_by(std::int64_t element, const Agent *agent, Moment moment, bool generic,
                bool under_way) {
    Mark &mark = at(element);
    if (mark.writer != nullptr && (mark.under_way || !agent->known.seen.knows(mark.written))) {
      race(name(element), "is written by " + agent->name +
                              ", but nothing orders that after the write by " + mark.writer->name);
    }
    for (const auto &[reader, read] : mark.readers) {
      if (!agent->known.seen.knows(read)) {
        race(name(element),
             "is written by " + agent->name + ", but " + reader->name + " may still read it");
      }
    }
    mark.readers.clear();
    mark.writer = agent;
    mark.written = moment;
    mark.generic = generic;
    mark.under_way = under_way;
  }
  void landed(std::int64_t element) { at(element).under_way = false; }

 private:
  struct Mark {
    const Agent *writer = nullptr;
    Moment written;
    bool generic = false, under_way = false;
    std::vector<std::pair<const Agent *, Moment>> readers;  ///< since the write
  };
  Machine *machine_;
  const Buffer *buffer_;
  std::vector<Mark> marks_;

  Mark &at(std::int64_t element) { return marks_[static_cast<std::size_t>(element)]; }
  std::string name(std::int64_t element) const {
    return buffer_->describe(buffer_->at_element(element));
  }
};

/// Registers are not touched while matrix instructions use them.
class RegisterTrace final : public AccessObserver {
 public:
  RegisterTrace(Machine *machine, const Buffer *buffer) : machine_(machine), buffer_(buffer) {}
  void read(std::int64_t element) override { look(element, "read"); }
  void write(std::int64_t element) override { look(element, "written"); }
  int under_way = 0;

 private:
  Machine *machine_;
  const Buffer *buffer_;
  void look(std::int64_t element, const char *how) {
    if (machine_->landing_ || under_way == 0) return;
    race(buffer_->describe(buffer_->at_element(element)),
         "is " + std::string(how) + " while a matrix instruction that uses it is under way");
  }
};

namespace {
SharedTrace &trace(Buffer *buffer) { return *static_cast<SharedTrace *>(buffer->observer.get()); }
RegisterTrace *registers_of(Buffer *buffer) {
  return dynamic_cast<RegisterTrace *>(buffer->observer.get());
}
}  // namespace

Machine::Machine(const Interleaving &interleaving, std::uint32_t point, int blocks)
    : interleaving_(interleaving),
      coroutines_(interleaving.seed * 2654435761u + point),
      blocks_(static_cast<std::size_t>(blocks)) {}

Agent *Machine::make_agent(std::string name, int block, int warps) {
  agents_.push_back(std::make_unique<Agent>());
  Agent *const agent = agents_.back().get();
  agent->name = std::move(name);
  if (blocks_.size() > 1) agent->name += " of block " + std::to_string(block);
  agent->block = block;
  agent->warps = warps;
  agent->accesses = components_++;
  agent->matrix = components_++;
  agent->copies = components_++;
  return agent;
}

void Machine::run(const std::function<void(Agent *)> &body, int warps) {
  for (std::size_t rank = 0; rank < blocks_.size(); ++rank) {
    Agent *const agent = make_agent("the block", static_cast<int>(rank), warps);
    coroutines_.add([this, agent, body] {
      enter(agent);
      body(agent);
      require_nothing_under_way(*agent);
    });
  }
  coroutines_.run([this] { when_idle(); });
  if (!pending_.empty())
    throw AccessError("a copy that " + pending_.front().agent->name +
                      " issued is still under way at the end of the block: nothing waits for it");
}

void Machine::run_roles(Agent *parent, const std::vector<Role> &roles,
                        const std::function<void(Agent *, const Role &)> &body) {
  auto running = std::make_shared<std::size_t>(roles.size());
  for (const Role &role : roles) {
    Agent *const agent = make_agent("role " + role.name, parent->block, role.warps);
    agent->known = parent->known;
    agent->iteration = parent->iteration;
    parent->children.push_back(agent);
    coroutines_.add([this, agent, body, &role, running] {
      enter(agent);
      body(agent, role);
      require_nothing_under_way(*agent);
      --*running;
    });
  }
  await(parent, [running] { return *running == 0; }, [] { return "the end of its roles"; });
}

void Machine::require_nothing_under_way(const Agent &agent) const {
  if (std::max(agent.landed, agent.handed) != agent.issued)
    throw AccessError("a copy that " + agent.name + " issued is still under way at its end");
  for (const Agent::MatrixGroup &group : agent.matrix_groups) {
    if (!group.registers.empty())
      throw AccessError("a matrix instruction that " + agent.name +
                        " issued is still under way at its end");
  }
}

// --- memory ---

void Machine::make_shared(Agent *agent, const StoragePtr &storage,
                          const std::shared_ptr<Buffer> &buffer) {
  buffer->observer = std::make_unique<SharedTrace>(this, buffer.get());
  blocks_[static_cast<std::size_t>(agent->block)].shared[storage.get()] = buffer;
}
void Machine::make_registers(const std::shared_ptr<Buffer> &buffer) {
  buffer->observer = std::make_unique<RegisterTrace>(this, buffer.get());
}
void Machine::forget_registers(const StoragePtr &storage, Buffer *buffer) {
  const RegisterTrace *marks = registers_of(buffer);
  if (marks && marks->under_way > 0)
    race("the registers " + storage->name,
         "end while a matrix instruction that uses them is under way");
}
void Machine::forget_shared(Agent *agent, const StoragePtr &storage) {
  blocks_[static_cast<std::size_t>(agent->block)].shared.erase(storage.get());
}
bool Machine::is_shared(const Agent *agent, const StoragePtr &storage) const {
  return blocks_[static_cast<std::size_t>(agent->block)].shared.count(storage.get()) != 0;
}
Buffer &Machine::shared(int block, const StoragePtr &storage) {
  const auto &there = blocks_[static_cast<std::size_t>(block)].shared;
  const auto found = there.find(storage.get());
  if (found == there.end())
    throw AccessError("the shared tile " + storage->name + " does not exist in block " +
                      std::to_string(block) + " of the cluster");
  return *found->second;
}

// --- barriers ---

void Machine::make_barrier(Agent *agent, const BarrierPtr &barrier) {
  Barrier made;
  made.barrier = barrier;
  made.slots.resize(static_cast<std::size_t>(barrier->slots));
  for (Slot &slot : made.slots) slot.component = components_++;
  blocks_[static_cast<std::size_t>(agent->block)].barriers[barrier.get()] = std::move(made);
}

void Machine::forget_barrier(Agent *agent, const BarrierPtr &barrier) {
  // What is under way may still refer to it.
  blocks_[static_cast<std::size_t>(agent->block)].barriers.at(barrier.get()).initialised =
      Initialised::Gone;
}

Machine::Barrier &Machine::barrier(int block, const BarrierPtr &barrier) {
  auto &there = blocks_[static_cast<std::size_t>(block)].barriers;
  const auto found = there.find(barrier.get());
  if (found == there.end() || found->second.initialised == Initialised::Gone)
    throw AccessError("the barrier " + barrier->name + " does not exist in block " +
                      std::to_string(block));
  if (found->second.initialised != Initialised::Yes)
    throw AccessError("the barrier " + barrier->name +
                      " is used before `fence barriers` and a sync follow its initialisation");
  return found->second;
}

Machine::Slot &Machine::slot(int block, const BarrierPtr &of, std::int64_t number) {
  Barrier &found = barrier(block, of);
  if (number < 0 || number >= of->slots)
    throw AccessError(name_of(of, number) + " does not exist: the barrier has " +
                      std::to_string(of->slots) + " slots");
  return found.slots[static_cast<std::size_t>(number)];
}

std::string Machine::name_of(const BarrierPtr &barrier, std::int64_t slot) {
  return barrier->name + "[" + std::to_string(slot) + "]";
}

Knowledge Machine::release(Agent *agent, Arrivals each) {
  Knowledge knowledge = agent->known;
  // Who else of the role has done what it did is known only of all who arrive.
  const bool all = each == Arrivals::Thread || each == Arrivals::Warp || agent->warps == 1;
  constexpr int kWarpsOfGroup = 4;
  if (all) {
    knowledge.seen.reach({agent->accesses, agent->now});
    knowledge.fenced.reach({agent->accesses, agent->fenced_now});
  }
  // Async copies were drained by every thread for itself.
  if (each == Arrivals::Thread) {
    knowledge.seen.reach({agent->copies, agent->landed});
    knowledge.fenced.reach({agent->copies, agent->fenced_landed});
  }
  if (all || each == Arrivals::Warpgroup || agent->warps <= kWarpsOfGroup) {
    const auto under_way = static_cast<std::int64_t>(agent->matrix_groups.size());
    knowledge.seen.reach({agent->matrix, agent->groups_begun - under_way});
  }
  ++agent->now;
  return knowledge;
}

void Machine::complete(const Barrier &barrier, Slot *slot) {
  if (slot->arrivals != barrier.barrier->arrivals || slot->bytes != 0) return;
  slot->completed.join(slot->gathered);
  slot->gathered = {};
  slot->arrivals = 0;
  ++slot->phase;
  slot->completed.seen.reach({slot->component, slot->phase});
}

void Machine::arrive(const Barrier &barrier, Slot *slot, std::int64_t arrivals,
                     const Knowledge &knowledge) {
  const std::int64_t room = barrier.barrier->arrivals - slot->arrivals;
  if (arrivals > room)
    throw AccessError(std::to_string(arrivals) + " arrivals come to the barrier " +
                      barrier.barrier->name + " at once, in whose phase " + std::to_string(room) +
                      " lack");
  for (std::int64_t i = 0; i < arrivals; ++i) {
    slot->gathered.join(knowledge);
    ++slot->arrivals;
    complete(barrier, slot);
  }
}

void Machine::arrive(Agent *agent, const Arrive &node, std::int64_t number, std::int64_t bytes) {
  constexpr int kLanes = 32, kWarpsOfGroup = 4;
  const std::int64_t arrivals = node.each == Arrivals::Once        ? 1
                                : node.each == Arrivals::Warpgroup ? agent->warps / kWarpsOfGroup
                                : node.each == Arrivals::Warp      ? agent->warps
                                                                   : agent->warps * kLanes;
  const BarrierPtr of = node.at.barrier;
  for (int rank = 0; rank < static_cast<int>(blocks_.size()); ++rank) {
    if (!node.cluster && rank != agent->block) continue;
    Slot *const at = &slot(rank, of, number);
    const Barrier *const holder = &barrier(rank, of);
    if (node.after_copies) {
      Knowledge knowledge;
      knowledge.seen.reach({agent->copies, agent->issued});
      agent->handed = agent->issued;
      add_pending({agent, 0, agent->issued, [=] { arrive(*holder, at, arrivals, knowledge); }});
      continue;
    }
    at->bytes += bytes;
    arrive(*holder, at, arrivals, release(agent, node.each));
  }
  pause(agent);
}

void Machine::wait(Agent *agent, const BarrierPtr &of, std::int64_t number, std::int64_t parity) {
  if (parity != 0 && parity != 1) throw AccessError("a parity is 0 or 1");
  Slot *const at = &slot(agent->block, of, number);
  await(
      agent, [=] { return (at->phase & 1) != parity; },
      [=] {
        return "phase " + std::to_string(at->phase) + " (parity " + std::to_string(parity) +
               ") of " + name_of(of, number) + ", which has " + std::to_string(at->arrivals) +
               " of " + std::to_string(of->arrivals) + " arrivals and lacks " +
               std::to_string(at->bytes) + " bytes";
      });
  agent->known.join(at->completed);
}

void Machine::sync(Agent *agent, bool cluster) {
  for (Agent *child : agent->children) agent->known.join(release(child, Arrivals::Thread));
  agent->children.clear();
  agent->known.join(release(agent, Arrivals::Thread));
  for (auto &[node, made] : blocks_[static_cast<std::size_t>(agent->block)].barriers) {
    if (made.initialised == Initialised::Fenced) made.initialised = Initialised::Yes;
  }
  if (!cluster) return pause(agent);
  const std::int64_t number = cluster_syncs_;
  cluster_gathered_.join(agent->known);
  if (++cluster_arrived_ == static_cast<std::int64_t>(blocks_.size())) {
    cluster_arrived_ = 0;
    ++cluster_syncs_;
    cluster_completed_ = std::exchange(cluster_gathered_, {});
  }
  await(
      agent, [=, this] { return cluster_syncs_ > number; },
      [] { return "the rest of the cluster"; });
  agent->known.join(cluster_completed_);
}

void Machine::fence(Agent *agent, FenceKind kind) {
  if (kind == FenceKind::Async) {
    agent->known.fenced.join(agent->known.seen);
    agent->fenced_now = agent->now;
    agent->fenced_landed = agent->landed;
    ++agent->now;
    return;
  }
  for (auto &[node, made] : blocks_[static_cast<std::size_t>(agent->block)].barriers) {
    if (made.initialised == Initialised::No) made.initialised = Initialised::Fenced;
  }
}

// --- what is under way ---

void Machine::copy_async(Agent *agent, std::vector<Element> elements) {
  const std::int64_t number = ++agent->issued;
  for (const Element &element : elements) {
    trace(element.buffer)
        .write_by(element.place.element, agent, {agent->copies, number}, true, true);
  }
  add_pending({agent, number, 0, [elements = std::move(elements)] {
                 for (const Element &e : elements) {
                   e.buffer->write(e.place, e.value, ParallelIterations());
                   trace(e.buffer).landed(e.place.element);
                 }
               }});
  pause(agent);
}

void Machine::copy_bulk(Agent *agent, const StoragePtr &tile, std::vector<Element> elements,
                        const BarrierPtr &of, std::int64_t number, bool multicast) {
  for (int rank = 0; rank < static_cast<int>(blocks_.size()); ++rank) {
    if (!multicast && rank != agent->block) continue;
    Slot *const at = &slot(rank, of, number);
    const Barrier *const holder = &barrier(rank, of);
    std::vector<Element> list = elements;
    std::int64_t bytes = 0;
    for (Element &element : list) {
      element.buffer = &shared(rank, tile);
      trace(element.buffer)
          .write_by(element.place.element, agent, {at->component, at->phase + 1}, false, true);
      bytes += tile->type.bytes();
    }
    add_pending({agent, 0, 0, [=, list = std::move(list)] {
                   for (const Element &e : list) {
                     e.buffer->write(e.place, e.value, ParallelIterations());
                     trace(e.buffer).landed(e.place.element);
                   }
                   at->bytes -= bytes;
                   complete(*holder, at);
                 }});
  }
  pause(agent);
}

void Machine::issue_matrix(Agent *agent, const std::vector<Element> &reads,
                           std::vector<Buffer *> registers, std::function<void()> work) {
  for (const Element &element : reads) {
    trace(element.buffer)
        .read_by(element.place.element, agent, true, {agent->matrix, agent->groups_begun});
  }
  Agent::MatrixGroup &group = agent->matrix_groups.back();
  for (Buffer *buffer : registers) {
    if (RegisterTrace *marks = registers_of(buffer)) ++marks->under_way;
    group.registers.push_back(buffer);
  }
  if (interleaving_.landing == Landing::AtOnce) {
    landing_ = true;
    work();
    landing_ = false;
  } else {
    group.work.push_back(std::move(work));
  }
}

void Machine::commit(Agent *agent, Engine engine) {
  if (engine == Engine::Copies) {
    agent->copy_groups.push_back(agent->issued);
  } else {
    agent->matrix_groups.emplace_back();
    ++agent->groups_begun;
  }
}

void Machine::drain(Agent *agent, Engine engine, int pending) {
  const auto left = static_cast<std::size_t>(pending);
  if (engine == Engine::Copies) {
    while (agent->copy_groups.size() > left) {
      agent->landed = agent->copy_groups.front();
      agent->copy_groups.pop_front();
      land_copies(agent, agent->landed);
    }
    return pause(agent);
  }
  while (agent->matrix_groups.size() > left + 1) {
    Agent::MatrixGroup &group = agent->matrix_groups.front();
    landing_ = true;
    for (const auto &work : group.work) work();
    landing_ = false;
    for (Buffer *buffer : group.registers) {
      if (RegisterTrace *marks = registers_of(buffer)) --marks->under_way;
    }
    agent->matrix_groups.pop_front();
  }
  pause(agent);
}

bool Machine::may_land(const Pending &pending) const {
  if (pending.after == 0) return true;
  for (const Pending &other : pending_) {
    if (other.agent == pending.agent && other.copy != 0 && other.copy <= pending.after)
      return false;
  }
  return true;
}

void Machine::land(std::size_t number) {
  const Pending pending = std::move(pending_[number]);
  pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(number));
  landing_ = true;
  pending.land();
  landing_ = false;
}

void Machine::land_copies(Agent *agent, std::int64_t up_to) {
  for (std::size_t i = 0; i < pending_.size();) {
    const Pending &pending = pending_[i];
    if (pending.agent == agent && pending.copy != 0 && pending.copy <= up_to)
      land(i);
    else
      ++i;
  }
}

void Machine::add_pending(Pending pending) {
  pending_.push_back(std::move(pending));
  if (interleaving_.landing == Landing::AtOnce) land(pending_.size() - 1);
}

void Machine::await(Agent *agent, std::function<bool()> ready, std::function<std::string()> what) {
  waiting_[agent] = std::move(what);
  coroutines_.wait(std::move(ready));
  waiting_.erase(agent);
  enter(agent);
}

void Machine::pause(Agent *agent) {
  if (interleaving_.landing == Landing::Random && !pending_.empty() && coroutines_.choose(2) == 0) {
    const std::size_t number = coroutines_.choose(pending_.size());
    if (may_land(pending_[number])) land(number);
  }
  coroutines_.pause();
  enter(agent);
}

void Machine::when_idle() {
  std::vector<std::size_t> possible;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (may_land(pending_[i])) possible.push_back(i);
  }
  if (!possible.empty()) return land(possible[coroutines_.choose(possible.size())]);
  std::string text = "deadlock:";
  for (const auto &agent : agents_) {
    const auto found = waiting_.find(agent.get());
    if (found != waiting_.end())
      text += (text.back() == ':' ? " " : "; ") + agent->name + " waits for " + found->second();
  }
  throw AccessError(text);
}

}  // namespace pit::ir
