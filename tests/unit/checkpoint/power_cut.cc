#include "power_cut.h"

#include <algorithm>

#include "base/check.h"
#include "base/draw.h"
#include "support.h"

namespace thinwire::checkpoint::testing {
namespace {
namespace fs = std::filesystem;

constexpr uint64_t kFileStates = 4;  // nothing new, half of it, its length with zeros, all
constexpr size_t kMostChanges = 62;  // of names of one directory, at once

std::string content_in(const std::string& certain, const std::string& content, uint64_t choice) {
  const size_t half = certain.size() + (content.size() - certain.size()) / 2;
  if (choice == 0) return certain;
  if (choice == 1) return content.substr(0, half);
  if (choice == 2) return content.substr(0, half) + std::string(content.size() - half, '\0');
  return content;
}
}  // namespace

void make_tree(const fs::path& root, const Tree& tree) {
  for (const auto& [path, content] : tree) {  // directories come before what they hold
    if (content)
      testing::write(root / path, *content);
    else
      fs::create_directory(root / path);
  }
}

NotedDisk::NotedDisk(const fs::path& root) : root_(root) { load(root); }

NotedDisk::Inode NotedDisk::load(const fs::path& path) {
  const Inode inode = initial_.size();
  initial_.emplace_back();
  now_.emplace_back();
  if (!fs::is_directory(path)) {
    initial_[inode].certain = initial_[inode].content = testing::read(path);
    return inode;
  }
  initial_[inode].is_directory = true;
  for (const std::string& name : names_in(path)) {
    const Inode child = load(path / name);
    initial_[inode].names[name] = now_[inode][name] = child;
  }
  return inode;
}

NotedDisk::Inode NotedDisk::inode_of(const fs::path& path) const {
  Inode inode = 0;
  for (const fs::path& name : path.lexically_relative(root_)) {
    if (name != ".") inode = now_[inode].at(name.string());
  }
  return inode;
}

void NotedDisk::Change::apply(Names& names) const {
  if (!removed.empty()) names.erase(removed);
  if (!added.empty()) names[added] = inode;
}

void NotedDisk::attempt(const fs::path& path) {
  if (++attempts_ == failing_attempt_) throw CheckpointError("cannot touch " + path.string() + ": No space left on device");
}

void NotedDisk::note(Operation operation) {
  if (operation.kind == Operation::Kind::change) operation.change.apply(now_[operation.inode]);
  operations_.push_back(std::move(operation));
}

int NotedDisk::create(const fs::path& path) {
  attempt(path);
  const int file = Files::create(path);
  open_[file] = now_.size();
  now_.emplace_back();
  note({Operation::Kind::change, directory_of(path), {"", path.filename(), open_[file]}, "file"});
  return file;
}

void NotedDisk::write(int file, ConstBytes bytes, const fs::path& path) {
  attempt(path);
  Files::write(file, bytes, path);
  note({Operation::Kind::write, open_.at(file), {}, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())});
}

void NotedDisk::sync(int file, const fs::path& path) {
  attempt(path);
  note({Operation::Kind::sync_file, open_.at(file), {}, ""});
}

void NotedDisk::make_directory(const fs::path& path) {
  attempt(path);
  Files::make_directory(path);
  now_.emplace_back();
  note({Operation::Kind::change, directory_of(path), {"", path.filename(), now_.size() - 1}, "directory"});
}

void NotedDisk::sync_directory(const fs::path& path) {
  attempt(path);
  note({Operation::Kind::sync_directory, inode_of(path), {}, ""});
}

void NotedDisk::rename(const fs::path& from, const fs::path& to) {
  check(from.parent_path() == to.parent_path(), "renames stay within a directory");
  attempt(to);
  const Inode inode = inode_of(from);
  Files::rename(from, to);
  note({Operation::Kind::change, directory_of(to), {from.filename(), to.filename(), inode}, ""});
}

void NotedDisk::remove_file(const fs::path& path) {
  attempt(path);
  Files::remove_file(path);
  note({Operation::Kind::change, directory_of(path), {path.filename(), "", 0}, ""});
}

void NotedDisk::remove_directory(const fs::path& path) {
  attempt(path);
  Files::remove_directory(path);
  note({Operation::Kind::change, directory_of(path), {path.filename(), "", 0}, ""});
}

void NotedDisk::apply(Nodes& nodes, const Operation& operation) {
  if (operation.kind == Operation::Kind::change && !operation.change.added.empty() && operation.change.inode >= nodes.size()) {
    nodes.resize(operation.change.inode + 1);
    nodes.back().is_directory = operation.bytes == "directory";
  }
  Node& node = nodes[operation.inode];
  switch (operation.kind) {
    case Operation::Kind::change: node.changes.push_back(operation.change); break;
    case Operation::Kind::write: node.content += operation.bytes; break;
    case Operation::Kind::sync_file: node.certain = node.content; break;
    case Operation::Kind::sync_directory:
      for (const Change& change : node.changes) change.apply(node.names);
      node.changes.clear();
  }
}

uint64_t NotedDisk::num_choices(const Node& node) {
  if (!node.is_directory) return node.certain == node.content ? 1 : kFileStates;
  check(node.changes.size() <= kMostChanges, "the changes of a directory can be enumerated");
  return uint64_t{1} << node.changes.size();
}

void NotedDisk::add_to(Tree& tree, const Nodes& nodes, const Choice& choice, Inode inode, const std::string& path) {
  Names names = nodes[inode].names;
  for (size_t i = 0; i < nodes[inode].changes.size(); ++i) {
    if ((choice[inode] >> i & 1) != 0) nodes[inode].changes[i].apply(names);
  }
  for (const auto& [name, child] : names) {
    const Node& node = nodes[child];
    tree[path + name] = node.is_directory ? std::nullopt : std::optional(content_in(node.certain, node.content, choice[child]));
    if (node.is_directory) add_to(tree, nodes, choice, child, path + name + "/");
  }
}

std::set<Tree> NotedDisk::states_after(size_t num_operations, size_t most, uint64_t seed) const {
  Nodes nodes = initial_;
  for (size_t i = 0; i < num_operations; ++i) apply(nodes, operations_[i]);
  double num_states = 1;
  for (const Node& node : nodes) num_states *= static_cast<double>(num_choices(node));
  const bool all = num_states <= static_cast<double>(most);
  std::set<Tree> states;
  for (uint64_t s = 0; s < (all ? static_cast<uint64_t>(num_states) : most); ++s) {
    Choice choice(nodes.size());
    uint64_t rest = s;  // a number of mixed radix
    for (Inode inode = 0; inode < nodes.size(); ++inode) {
      const uint64_t radix = num_choices(nodes[inode]);
      choice[inode] = all ? rest % radix : Draw(seed).fork(s).below(inode, radix);
      rest /= radix;
    }
    Tree tree;
    add_to(tree, nodes, choice, 0, "");
    states.insert(std::move(tree));
  }
  return states;
}

}  // namespace thinwire::checkpoint::testing
